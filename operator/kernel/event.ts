import type { EventAction } from './action.ts';
import { apiVersionOf, type KubernetesObject, type ResourceType } from './object.ts';

export const events: ResourceType = {
  group: 'events.k8s.io',
  version: 'v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
};

export type EventSource = {
  /** Who speaks, such as `openos.dev/controller`, and which process of theirs. */
  readonly reportingController: string;
  readonly instance: string;
  /** Makes the name of the Event unique. */
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
};

/** The Event as the API server takes it: cut to its limits, in the namespace of what it is about (`default` for what has none). */
export function eventBody(
  { regarding, type, reason, action, note }: EventAction,
  { reportingController, instance, name, now }: EventSource,
): KubernetesObject & { readonly metadata: { readonly namespace: string } } & Readonly<Record<string, unknown>> {
  return {
    apiVersion: apiVersionOf(events),
    kind: events.kind,
    metadata: { namespace: regarding.namespace ?? 'default', name: `${regarding.name.slice(0, 230)}.${name}` },
    eventTime: microTime(now),
    reportingController,
    reportingInstance: instance.slice(0, 128),
    type,
    reason,
    action,
    note: truncated(note, 1024),
    regarding,
  };
}

/** Milliseconds since the epoch as a `metav1.MicroTime`: the server insists on six decimals. */
export function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}

/** At most so many bytes of UTF-8, cut between characters, with an ellipsis when something was cut. */
export function truncated(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const ellipsis = '…';
  // A character that is cut in two decodes to U+FFFD.
  const head = Buffer.from(text)
    .subarray(0, bytes - Buffer.byteLength(ellipsis))
    .toString();
  return head.replace(/\uFFFD$/, '') + ellipsis;
}

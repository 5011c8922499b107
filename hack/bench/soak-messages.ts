import type { RetentionTimes } from '../../operator/store/repositories/retention.ts';

/** What soak.ts and the publisher's process tell each other; the publisher's settings are its one argument, as JSON. */
export type SoakSettings = {
  readonly databaseUrl: string;
  readonly natsUrl: string;
  readonly keep: RetentionTimes;
  /** Between two walks of the retention through all tables; milliseconds. */
  readonly walkEveryMs: number;
};

export type ToPublisher =
  | { readonly kind: 'committed'; readonly id: string }
  | { readonly kind: 'sample' }
  | { readonly kind: 'stop' };

export type FromPublisher =
  | { readonly kind: 'publishing' }
  | { readonly kind: 'acked'; readonly events: readonly (readonly [id: string, atMs: number])[] }
  | ({ readonly kind: 'sample' } & PublisherSample);

/** How the process is: memory and handles now, the event loop's delay since the last time and since the start. */
export type PublisherSample = {
  readonly rssMiB: number;
  readonly heapMiB: number;
  readonly handles: number;
  readonly rejections: number;
  readonly loopP99Ms: number;
  readonly runLoopP99Ms: number;
  /** Rows by table that the retention has removed since the start. */
  readonly removed: Readonly<Record<'outbox' | 'transition' | 'audit_log', number>>;
};

/** Milliseconds of the one clock that all processes of a machine share. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

type Attribute = { readonly key: string; readonly value: { readonly stringValue?: string } };

/** A span as OTLP in JSON has it. */
export type CollectedSpan = {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly startTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status: { readonly code?: number };
};
type ResourceSpans = {
  readonly resource: { readonly attributes: readonly Attribute[] };
  readonly scopeSpans: readonly { readonly spans: readonly CollectedSpan[] }[];
};

/** An OpenTelemetry collector on loopback that keeps what it gets. */
export type Collector = {
  readonly url: string;
  readonly received: readonly { readonly path: string | undefined; readonly body: string }[];
  resources(): readonly ResourceSpans[];
  spans(): readonly CollectedSpan[];
  stop(): void;
};

/** Starts one; `onSpans` is called with the spans of each request as it arrives. */
export async function startCollector(onSpans?: (spans: readonly CollectedSpan[]) => void): Promise<Collector> {
  const received: { readonly path: string | undefined; readonly body: string }[] = [];
  const server = createServer((request, response) => {
    const keep = (body: string) => {
      received.push({ path: request.url, body });
      onSpans?.(spansOf(resourcesIn(body)));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    };
    // Who sends it may be killed in the middle.
    text(request).then(keep, () => response.destroy());
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const { port } = server.address() as AddressInfo;
  const resources = () => received.flatMap(({ body }) => resourcesIn(body));
  return {
    received,
    resources,
    spans: () => spansOf(resources()),
    url: `http://127.0.0.1:${port}`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function resourcesIn(body: string): readonly ResourceSpans[] {
  return (JSON.parse(body) as { readonly resourceSpans: readonly ResourceSpans[] }).resourceSpans;
}

function spansOf(resources: readonly ResourceSpans[]): readonly CollectedSpan[] {
  return resources.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

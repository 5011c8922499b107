import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

type Attribute = { readonly key: string; readonly value: { readonly stringValue?: string } };

/** A span as OTLP in JSON has it. */
export type CollectedSpan = {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
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

export async function startCollector(): Promise<Collector> {
  const received: { readonly path: string | undefined; readonly body: string }[] = [];
  const take = async (request: IncomingMessage) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    received.push({ path: request.url, body: Buffer.concat(chunks).toString() });
  };
  const server = createServer((request, response) => {
    take(request).then(
      () => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'),
      // Who sent it was killed in the middle.
      () => response.destroy(),
    );
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const { port } = server.address() as AddressInfo;
  const resources = () =>
    received.flatMap(
      ({ body }) => (JSON.parse(body) as { readonly resourceSpans: readonly ResourceSpans[] }).resourceSpans,
    );
  return {
    received,
    resources,
    spans: () => resources().flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    url: `http://127.0.0.1:${port}`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

import type { UninstallConfig } from './config.ts';
import { KubeClient } from './kernel/client.ts';
import { loadKubeConfig } from './kernel/credentials.ts';
import { type RequestSample, Transport } from './kernel/transport.ts';

/** The client of the API server with the credentials of this process; `onRequest` counts what was asked. */
export function createClient(
  config: UninstallConfig,
  onRequest: (verb: string, resource: string, status: number | undefined) => void,
): KubeClient {
  const transport = new Transport({
    credentials: loadKubeConfig(config.kubeconfig ?? 'in-cluster'),
    version: config.version,
    // Counted as the API server counts: by its verbs, a subresource with its resource.
    onRequest: ({ verb, resource, status }) =>
      onRequest(apiVerbs[verb], resource.split('/')[0] ?? '', status === 0 ? undefined : status),
  });
  return new KubeClient(transport, { instance: config.podName });
}

const apiVerbs = {
  GET: 'get',
  WATCH: 'watch',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
} as const satisfies Record<RequestSample['verb'], string>;

import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { OperatorError } from './errors.ts';

/** TLS material in the shapes Node's tls module takes. */
export type TlsMaterial = {
  readonly ca?: Buffer | string;
  readonly cert?: Buffer | string;
  readonly key?: Buffer | string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
};

/** Where the API server is and how to speak to it. `resolve` is asked before every request: tokens and certificates rotate. */
export type Credentials = {
  readonly server: URL;
  resolve(): Promise<{ readonly tls: TlsMaterial; readonly headers: Readonly<Record<string, string>> }>;
};

/**
 * Credentials from a kubeconfig file (its current context), or, for `in-cluster`, from the service
 * account mounted into the pod. Throws ConfigInvalid (terminal) when they cannot be read.
 */
export function loadKubeConfig(source: string): Credentials {
  const config = new KubeConfig();
  try {
    if (source === 'in-cluster') config.loadFromCluster();
    else config.loadFromFile(source);
  } catch (cause) {
    throw invalid(`cannot read the kubeconfig ${source}`, cause);
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw invalid(`the current context of the kubeconfig ${source} names no cluster`);
  if (cluster.proxyUrl !== undefined) throw invalid(`proxy-url in the kubeconfig ${source} is not supported`);
  return { server: parseServer(cluster.server, source), resolve: () => resolve(config) };
}

async function resolve(config: KubeConfig): ReturnType<Credentials['resolve']> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const { ca, cert, key, servername, rejectUnauthorized } = options;
  return {
    tls: {
      ...(isMaterial(ca) && { ca }),
      ...(isMaterial(cert) && { cert }),
      ...(isMaterial(key) && { key }),
      ...(servername !== undefined && { servername }),
      ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
    },
    headers: headersOf(options),
  };
}

function headersOf(options: RequestOptions): Readonly<Record<string, string>> {
  const basic = options.auth == null ? {} : { authorization: `Basic ${Buffer.from(options.auth).toString('base64')}` };
  const given = Object.entries(options.headers ?? {}).map(([name, value]) => [
    name.toLowerCase(),
    String(value).trim(),
  ]);
  return { ...basic, ...Object.fromEntries(given) };
}

function isMaterial(value: unknown): value is Buffer | string {
  return Buffer.isBuffer(value) || typeof value === 'string';
}

function parseServer(server: string, source: string): URL {
  try {
    return new URL(server);
  } catch (cause) {
    throw invalid(`the kubeconfig ${source} has no usable server address`, cause);
  }
}

function invalid(message: string, cause?: unknown): OperatorError {
  return new OperatorError('ConfigInvalid', 'terminal', message, { cause });
}

import type { StoredObject } from '../../operator/kernel/object.ts';

/** One object as the API server would have stored it: where, and what. */
export type Stored = { readonly key: string; readonly object: StoredObject };

/** etcd takes 128 operations in one transaction. */
const batchSize = 100;
const batchesAtATime = 8;

/**
 * Puts objects straight into the etcd of a light cluster, whose API server listens on the port before: thousands a
 * second instead of a hundred. Nothing admits, defaults or checks them, so they have to be copies of what the API server
 * returned. It reads JSON where it would have written its own encoding.
 * @throws Error when etcd refuses a batch
 */
export async function putIntoEtcd(apiServer: URL, objects: readonly Stored[]): Promise<void> {
  const url = `http://127.0.0.1:${Number(apiServer.port) + 1}/v3/kv/txn`;
  const batches = Array.from({ length: Math.ceil(objects.length / batchSize) }, (_, index) =>
    objects.slice(index * batchSize, (index + 1) * batchSize),
  ).values();
  const lane = async (): Promise<void> => {
    for (const batch of batches) {
      const success = batch.map(({ key, object }) => ({
        requestPut: { key: base64(`/registry/${key}`), value: base64(JSON.stringify(object)) },
      }));
      const answer = await fetch(url, { method: 'POST', body: JSON.stringify({ success }) });
      if (!answer.ok) throw new Error(`etcd refuses a batch: ${await answer.text()}`);
    }
  };
  await Promise.all(Array.from({ length: batchesAtATime }, lane));
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

import { createHash } from 'node:crypto';

/** Namespace of our event ids. Changing it would give every event of the past another id. */
export const eventIdNamespace = '6f70656e-6f73-4d65-9e74-732d76310001';

const namespaceBytes = Buffer.from(eventIdNamespace.replaceAll('-', ''), 'hex');

/**
 * The id of the event with this sequence: the UUIDv5 (RFC 9562) of `<kind>/<uid>/<seq>`. The same fact
 * has the same id whoever encodes it, and however often.
 */
export function eventId(aggregate: { readonly kind: string; readonly id: string }, seq: number): string {
  return uuidV5(`${aggregate.kind}/${aggregate.id}/${seq}`);
}

/** The id of the tombstone that stands in the place of the event with this sequence. */
export function tombstoneId(aggregate: { readonly kind: string; readonly id: string }, seq: number): string {
  return uuidV5(`${aggregate.kind}/${aggregate.id}/${seq}/skipped`);
}

function uuidV5(name: string): string {
  const hash = createHash('sha1').update(namespaceBytes).update(name).digest().subarray(0, 16);
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = hash.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

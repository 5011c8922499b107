/** A block of addresses: 4 or 6, its first address as a number, and how many leading bits count. */
type Block = { readonly bits: 32 | 128; readonly address: bigint; readonly prefix: number };

/** Whether every address of `inner` is one of `outer`. What cannot be read is in nothing and holds nothing. */
export function isSubnet(inner: string, outer: string): boolean {
  const [a, b] = [blockOf(inner), blockOf(outer)];
  if (a === undefined || b === undefined || a.bits !== b.bits || a.prefix < b.prefix) return false;
  return networkOf(a, b.prefix) === networkOf(b, b.prefix);
}

/** Whether the two share an address: blocks lie one in the other or apart. */
export function overlap(one: string, other: string): boolean {
  return isSubnet(one, other) || isSubnet(other, one);
}

function networkOf({ bits, address }: Block, prefix: number): bigint {
  return address >> BigInt(bits - prefix);
}

function blockOf(cidr: string): Block | undefined {
  const [, text = '', length = ''] = /^([^/]+)\/(\d{1,3})$/.exec(cidr) ?? [];
  const prefix = Number(length);
  const bits = text.includes(':') ? 128 : 32;
  const address = bits === 32 ? ipv4(text) : ipv6(text);
  return text === '' || address === undefined || prefix > bits ? undefined : { bits, address, prefix };
}

function ipv4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return parts.reduce((sum, part) => (sum << 8n) + BigInt(part), 0n);
}

function ipv6(text: string): bigint | undefined {
  const halves = text.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const [head = [], tail = []] = halves;
  const missing = 8 - head.length - tail.length;
  const isWhole = halves.length === 1 && missing === 0;
  const isShortened = halves.length === 2 && missing >= 1;
  if (!isWhole && !isShortened) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => '0'), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.reduce((sum, group) => (sum << 16n) + BigInt(`0x${group}`), 0n);
}

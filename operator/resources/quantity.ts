const suffixes: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A Kubernetes quantity (`500m`, `1.5Gi`, `1e3`, 4) as a number; NaN when it is none. */
export function quantityOf(quantity: string | number): number {
  // The client library's own reader throws on fractions with a binary suffix.
  const [, digits = '', suffix = ''] = /^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)$/.exec(`${quantity}`) ?? [];
  return Number(digits === '' ? Number.NaN : digits) * (suffixes[suffix] ?? Number.NaN);
}

/** The number as a quantity, in the notation people use for this resource: memory in Mi, parts of a cpu in m. */
export function quantityText(amount: number): string {
  if (Number.isInteger(amount)) {
    const gibi = amount / 2 ** 30;
    const mebi = amount / 2 ** 20;
    if (amount !== 0 && Number.isInteger(gibi)) return `${gibi}Gi`;
    if (amount !== 0 && Number.isInteger(mebi)) return `${mebi}Mi`;
    return `${amount}`;
  }
  return `${Math.ceil(amount * 1000 - 1e-6)}m`;
}

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isWithin, type Peer, type Port, type Rule } from './within.ts';

/** What gets through a rule, computed anew and for a single connection: the rules within others must agree with it. */

type Labels = Readonly<Record<string, string>>;
type Pod = { readonly namespace: string; readonly namespaceLabels: Labels; readonly labels: Labels };
type Connection = {
  /** A pod, or an address outside of the cluster. */
  readonly peer: Pod | string;
  readonly protocol: string;
  readonly port: number;
  /** What the pod that is connected to calls its port. */
  readonly portName: string;
};

const home = 'research';

function letsThrough({ peers, ports }: Rule, connection: Connection): boolean {
  const isPeer = peers.length === 0 || peers.some((peer) => matchesPeer(peer, connection.peer));
  return isPeer && (ports.length === 0 || ports.some((port) => matchesPort(port, connection)));
}

function matchesPeer({ ipBlock, namespaceSelector, podSelector }: Peer, peer: Pod | string): boolean {
  if (typeof peer === 'string') {
    return (
      ipBlock !== undefined && holds(ipBlock.cidr, peer) && !(ipBlock.except ?? []).some((one) => holds(one, peer))
    );
  }
  if (ipBlock !== undefined) return false;
  const isPlace =
    namespaceSelector === undefined ? peer.namespace === home : matches(namespaceSelector, peer.namespaceLabels);
  return isPlace && matches(podSelector ?? {}, peer.labels);
}

function holds(cidr: string, address: string): boolean {
  const bits = (text: string) =>
    text
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('');
  const [network = '', prefix = ''] = cidr.split('/');
  return bits(network).slice(0, Number(prefix)) === bits(address).slice(0, Number(prefix));
}

function matches({ matchLabels = {}, matchExpressions = [] }: NonNullable<Peer['podSelector']>, labels: Labels) {
  const isLike = Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
  return (
    isLike &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      const isIn = value !== undefined && values.includes(value);
      return operator === 'In' ? isIn : !isIn;
    })
  );
}

function matchesPort({ protocol = 'TCP', port, endPort }: Port, connection: Connection): boolean {
  if (protocol !== connection.protocol) return false;
  if (port === undefined) return true;
  if (typeof port === 'string') return port === connection.portName;
  return connection.port >= port && connection.port <= (endPort ?? port);
}

const key = fc.constantFrom('a', 'b');
const value = fc.constantFrom('1', '2', '3');
const labels = fc.dictionary(key, value, { maxKeys: 2 });
const selector = fc.record(
  {
    matchLabels: labels,
    matchExpressions: fc.array(
      fc.oneof(
        fc.record({
          key,
          operator: fc.constantFrom('In', 'NotIn'),
          values: fc.uniqueArray(value, { minLength: 1, maxLength: 3 }),
        }),
        fc.record({ key, operator: fc.constantFrom('Exists', 'DoesNotExist') }),
      ),
      { maxLength: 2 },
    ),
  },
  { requiredKeys: [] },
);
const address = fc
  .tuple(fc.constantFrom(10, 11), fc.constantFrom(0, 64, 128, 192), fc.constantFrom(0, 1), fc.constantFrom(0, 1, 255))
  .map((parts) => parts.join('.'));
const cidr = fc.tuple(address, fc.constantFrom(0, 7, 8, 9, 10, 16, 24, 32)).map(([ip, prefix]) => `${ip}/${prefix}`);
const peer: fc.Arbitrary<Peer> = fc.oneof(
  fc.record({ ipBlock: fc.record({ cidr, except: fc.array(cidr, { maxLength: 2 }) }, { requiredKeys: ['cidr'] }) }),
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector: selector }),
  fc.record({ namespaceSelector: selector, podSelector: selector }),
);
const number = fc.integer({ min: 1, max: 6 });
const port: fc.Arbitrary<Port> = fc.oneof(
  fc.record(
    { protocol: fc.constantFrom('TCP', 'UDP'), port: fc.oneof(number, fc.constantFrom('http', 'dns')) },
    { requiredKeys: [] },
  ),
  fc.tuple(number, number).map(([from, more]) => ({ port: from, endPort: from + more })),
);
const rule: fc.Arbitrary<Rule> = fc.record({
  peers: fc.array(peer, { maxLength: 2 }),
  ports: fc.array(port, { maxLength: 2 }),
});
const connection: fc.Arbitrary<Connection> = fc.record({
  peer: fc.oneof(
    address,
    fc
      .record({ namespace: fc.constantFrom(home, 'other'), more: labels, labels })
      .map(({ namespace, more, ...rest }) => ({
        ...rest,
        namespace,
        namespaceLabels: { ...more, 'kubernetes.io/metadata.name': namespace },
      })),
  ),
  protocol: fc.constantFrom('TCP', 'UDP'),
  port: fc.integer({ min: 1, max: 12 }),
  portName: fc.constantFrom('http', 'dns', ''),
});

describe('a rule that is within others', () => {
  test('lets nothing through that they do not', { timeout: 60_000 }, () => {
    const connections = fc.sample(connection, { numRuns: 300, seed: 1 });
    let within = 0;
    fc.assert(
      fc.property(rule, fc.array(rule, { maxLength: 3 }), (own, allowed) => {
        if (!isWithin(own, allowed, home)) return;
        within += 1;
        const beyond = connections.find(
          (one) => letsThrough(own, one) && !allowed.some((other) => letsThrough(other, one)),
        );
        expect(beyond).toBeUndefined();
      }),
      { numRuns: 5_000 },
    );
    // Else the property would say nothing.
    expect(within).toBeGreaterThan(100);
  });

  test('is any of them as it stands, and any of them with fewer peers or ports', () => {
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 3 }), fc.nat(), (allowed, at) => {
        const own = allowed[at % allowed.length] as Rule;
        expect(isWithin(own, allowed, home)).toBe(true);
        if (own.peers.length > 1) expect(isWithin({ ...own, peers: own.peers.slice(1) }, allowed, home)).toBe(true);
        if (own.ports.length > 1) expect(isWithin({ ...own, ports: own.ports.slice(1) }, allowed, home)).toBe(true);
      }),
    );
  });
});

describe('what is within what', () => {
  const web: Rule = {
    peers: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8', '169.254.0.0/16'] } }],
    ports: [{ port: 443 }],
  };
  const peers = (one: Peer): Rule => ({ peers: [one], ports: [] });
  const name = (namespace: string) => ({ matchLabels: { 'kubernetes.io/metadata.name': namespace } });

  test.each<[string, Rule, Rule, boolean]>([
    ['one address of a block', { ...web, peers: [{ ipBlock: { cidr: '1.1.1.1/32' } }] }, web, true],
    ['an address that is excepted', { ...web, peers: [{ ipBlock: { cidr: '10.1.1.1/32' } }] }, web, false],
    ['the metadata address', { ...web, peers: [{ ipBlock: { cidr: '169.254.169.254/32' } }] }, web, false],
    ['a block around an exception', { ...web, peers: [{ ipBlock: { cidr: '8.0.0.0/6' } }] }, web, false],
    [
      'a block around an exception that it excepts too',
      { ...web, peers: [{ ipBlock: { cidr: '8.0.0.0/6', except: ['10.0.0.0/8'] } }] },
      web,
      true,
    ],
    [
      'a block around an exception of which it excepts a part',
      { ...web, peers: [{ ipBlock: { cidr: '8.0.0.0/6', except: ['10.0.0.0/9'] } }] },
      web,
      false,
    ],
    ['another port', { ...web, ports: [{ port: 80 }] }, web, false],
    ['another protocol', { ...web, ports: [{ protocol: 'UDP', port: 443 }] }, web, false],
    ['all ports', { ...web, ports: [] }, web, false],
    ['all peers', { ...web, peers: [] }, web, false],
    ['all the same by another family', { ...web, peers: [{ ipBlock: { cidr: '::/0' } }] }, web, false],
    [
      'a range within one',
      { peers: [], ports: [{ port: 81, endPort: 89 }] },
      { peers: [], ports: [{ port: 80, endPort: 90 }] },
      true,
    ],
    [
      'a range beyond one',
      { peers: [], ports: [{ port: 81, endPort: 91 }] },
      { peers: [], ports: [{ port: 80, endPort: 90 }] },
      false,
    ],
    ['anything in everything', web, { peers: [], ports: [] }, true],
    ['pods of one namespace in all', peers({ namespaceSelector: name('a') }), peers({ namespaceSelector: {} }), true],
    ['pods of all namespaces in one', peers({ namespaceSelector: {} }), peers({ namespaceSelector: name('a') }), false],
    ['pods of its own namespace by name', peers({ podSelector: {} }), peers({ namespaceSelector: name(home) }), true],
    ['pods of another by name', peers({ namespaceSelector: name('a') }), peers({ podSelector: {} }), false],
    ['pods in addresses', peers({ podSelector: {} }), peers({ ipBlock: { cidr: '0.0.0.0/0' } }), false],
    ['a peer that names nobody', peers({}), peers({ ipBlock: { cidr: '0.0.0.0/0' } }), false],
    ['an address that is none', peers({ ipBlock: { cidr: 'x' } }), peers({ ipBlock: { cidr: '0.0.0.0/0' } }), false],
    [
      'IPv6, however it is written',
      peers({ ipBlock: { cidr: '2001:db8:0:0:1::/80' } }),
      peers({ ipBlock: { cidr: '2001:DB8::/32' } }),
      true,
    ],
  ])('%s', (_name, own, allowed, expected) => {
    expect(isWithin(own, [allowed], home)).toBe(expected);
  });

  test('nothing is within no rules', () => {
    expect(isWithin(web, [], home)).toBe(false);
  });
});

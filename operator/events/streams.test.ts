import { describe, expect, test } from 'vitest';
import { differences, eventStream, requireServerVersion } from './streams.ts';

const settings = { replicas: 3, maxAgeMs: 7 * 86_400_000, maxBytes: 2 ** 30 };

describe('the stream', () => {
  test('is as the contract says', () => {
    expect(eventStream(settings)).toEqual({
      name: 'OPENOS_EVENTS',
      subjects: ['openos.events.>'],
      storage: 'file',
      retention: 'limits',
      discard: 'old',
      max_age: 604_800_000_000_000,
      max_bytes: 1_073_741_824,
      duplicate_window: 120_000_000_000,
      num_replicas: 3,
      allow_direct: true,
    });
  });

  test('differs where the server says something else, or nothing', () => {
    const wanted = eventStream(settings);
    expect(differences(wanted, { ...wanted })).toEqual([]);
    expect(differences(wanted, { ...wanted, num_replicas: 1, subjects: ['openos.events.>', 'x'] })).toEqual([
      'subjects',
      'num_replicas',
    ]);
    const { allow_direct: _, ...older } = wanted;
    expect(differences(wanted, older)).toEqual(['allow_direct']);
  });
});

describe('a server', () => {
  test.each(['2.12.0', '2.15.2', '3.0.0-beta.1'])('%s is new enough', (version) => {
    expect(() => requireServerVersion(version)).not.toThrow();
  });

  test.each(['2.11.9', '2.9.10', '1.99.0', '0', ''])('"%s" is too old', (version) => {
    expect(() => requireServerVersion(version)).toThrow(expect.objectContaining({ code: 'BrokerTooOld' }));
  });
});

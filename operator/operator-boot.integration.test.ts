import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { finalizers } from './api/v1alpha1/names.ts';
import { findCondition } from './kernel/conditions.ts';
import type { StoredObject } from './kernel/object.ts';
import { tenantResource } from './resources/own.ts';
import { eventually } from './testkit/eventually.ts';
import type { TestOperator } from './testkit/operator.ts';
import { freePort } from './testkit/server-process.ts';
import { startWorld, type World } from './testkit/world.ts';

const secret = `wrong-${randomBytes(6).toString('hex')}`;
// One pod that is restarted: it need not wait for the Lease of the one before.
const env = { OPENOS_POD_NAME: 'openos-boot' };

let world: World;

beforeAll(async () => {
  world = await startWorld();
  // The stream is there from then on: only its making asks the database.
  await (await world.startOperator(env)).stop();
});
afterEach(() => world.killOperators());
afterAll(() => world?.stop());

type Line = { readonly level: string; readonly code?: string; readonly err?: { readonly code?: string } };

/** The lines of a log from `warn` up. */
function alarms(log: string): readonly Line[] {
  const lines = log
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);
  return lines.filter(({ level }) => ['warn', 'error', 'fatal'].includes(level));
}

/** What every operator of these tests warns of: servers that do not wait for the disk. */
const ofTheTests: ReadonlySet<string | undefined> = new Set(['StreamNotDurable', 'DatabaseUnsafe']);
const codesOf = (lines: readonly Line[]) =>
  lines.map(({ code, err }) => code ?? err?.code).filter((code) => !ofTheTests.has(code));

/** Waits until exactly these checks of /readyz fail. */
async function failing(operator: TestOperator, ...names: readonly string[]): Promise<void> {
  await eventually(
    `readyz lacks ${names.join(', ')}`,
    async () => {
      const { checks = [] } = (await operator.readiness()) ?? {};
      const failed = checks.filter(({ ok }) => !ok).map(({ name }) => name);
      if (checks.length > 0 && failed.join() === names.join()) return true;
      throw new Error(JSON.stringify(checks));
    },
    30_000,
  );
}

describe('a wrong database password', () => {
  const wrong = () => ({ ...env, OPENOS_DATABASE_URL: world.postgres.url.replace(/:[^:@/]+@/, `:${secret}@`) });

  it('ends a migration with one line that says so', async () => {
    const { code, output } = await world.run('migrate', wrong());
    expect(code).toBe(1);
    expect(codesOf(alarms(output))).toEqual(['DatabaseAuthFailed']);
    expect(output).not.toContain(secret);
  });

  it('is told once by the controller, which is not ready', async () => {
    const operator = await world.launchOperator(wrong());
    await failing(operator, 'database');
    await world.tenant('locked');
    await world.createAgent('locked', 'out');
    const { phase } = await world.status('locked', 'out', 'waits', ({ reason }) => reason === 'DatabaseUnavailable');
    expect(phase).toBe('Pending');
    expect(codesOf(alarms(operator.log()))).toEqual(['DatabaseAuthFailed']);
    expect(operator.log()).not.toContain(secret);
    expect(await operator.stop()).toBe(0);
  });
});

describe('servers that may lose what they have', () => {
  const told = async (more: Readonly<Record<string, string>>) => {
    const operator = await world.startOperator({ ...env, ...more });
    expect(await operator.stop()).toBe(0);
    return alarms(operator.log()).map(({ code }) => code);
  };

  it('are warned of, once each, where that was allowed', async () => {
    expect((await told({})).toSorted()).toEqual(['DatabaseUnsafe', 'StreamNotDurable']);
  });

  it('are not warned of where the stream is said to sync always', async () => {
    expect(await told({ OPENOS_STREAM_SYNC: 'always' })).toEqual(['DatabaseUnsafe']);
  });

  it('are refused where it was not allowed: nothing is recorded', async () => {
    const operator = await world.launchOperator({ ...env, OPENOS_ALLOW_UNSAFE_DATABASE: 'false' });
    await failing(operator, 'database');
    expect(alarms(operator.log()).map(({ code }) => code)).toContain('DatabaseUnsafe');
    expect(await operator.stop()).toBe(0);
  });
});

describe('a broker that cannot be reached', () => {
  it('is named by /readyz, and what does not need it works', async () => {
    const port = await freePort();
    const url = `nats://openos:${secret}@127.0.0.1:${port}`;
    const operator = await world.launchOperator({ ...env, OPENOS_NATS_URL: url });
    await failing(operator, 'broker');
    await world.tenant('mute');
    await world.createAgent('mute', 'waiting');
    const status = await world.status('mute', 'waiting', 'awaits its event', (shown) => {
      return shown.reason === 'AwaitingEventPublish';
    });
    expect(findCondition(status.conditions ?? [], 'EventsPublished')).toMatchObject({ reason: 'BrokerUnavailable' });
    expect(codesOf(alarms(operator.log()))).toEqual(['BrokerUnavailable']);
    expect(operator.log()).not.toContain(secret);
    expect(await operator.stop()).toBe(0);

    await world.startOperator(env);
    await world.ready('mute', 'waiting');
  });
});

describe('a configuration that is not valid', () => {
  it('is refused as a whole: every bad key on a line of its own, no value repeated', async () => {
    const { code, output } = await world.run('controller', {
      OPENOS_DATABASE_URL: `mysql://${secret}@nowhere/x`,
      OPENOS_NATS_URL: '',
      OPENOS_HTTP_PORT: 'eighty',
      OPENOS_LEASE_SECONDS: '1',
      OPENOS_WOKERS: '8',
    });
    expect(code).toBe(2);
    const bad = ['OPENOS_DATABASE_URL', 'OPENOS_NATS_URL', 'OPENOS_HTTP_PORT', 'OPENOS_LEASE_SECONDS', 'OPENOS_WOKERS'];
    const named = output.split('\n').flatMap((line) => /^ {2}(OPENOS_\w+): \S/.exec(line)?.[1] ?? []);
    expect(named.toSorted()).toEqual(bad.toSorted());
    expect(output).not.toContain(secret);
    expect(output.trim().split('\n')).toHaveLength(bad.length + 1);
  });
});

describe('a database that was not migrated', () => {
  it('is told by /readyz, as is the stream that is made from it, and is used as soon as it is', async () => {
    await world.createDatabase('fresh');
    await world.nats.wipe();
    const fresh = { ...env, OPENOS_DATABASE_URL: world.postgres.url.replace(/\/postgres$/, '/fresh') };
    const operator = await world.launchOperator(fresh);
    await failing(operator, 'database', 'broker');
    expect((await world.run('migrate', fresh)).code).toBe(0);
    await operator.ready();
    await world.tenant('newborn');
    await world.createAgent('newborn', 'first');
    await world.ready('newborn', 'first');
  });
});

describe('an error that nobody handles', () => {
  it.each([
    ['a rejection', 'Promise.reject(error)'],
    ['an exception', 'throw error'],
  ])('ends the process with one line that says so, and not with 0: %s', async (_, last) => {
    const error = `new Error('left alone with ${world.postgres.url}')`;
    const plant = `process.on('SIGUSR2', () => { const error = ${error}; ${last}; })`;
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(plant)}`;
    const operator = await world.startOperator({ ...env, NODE_OPTIONS });
    process.kill(operator.pid, 'SIGUSR2');
    expect(await operator.ended).toBe(1);
    expect(operator.log().trimEnd().split('\n').at(-1)).toMatch(/^{"level":"error",.*left alone with postgres:/);
    expect(operator.log()).not.toContain(world.postgres.url);
  });
});

describe('openos prepare-uninstall', () => {
  const finalizersOf = async () => {
    const { items } = await world.cluster.client.list<StoredObject>(tenantResource);
    return items.flatMap(({ metadata }) => metadata.finalizers ?? []);
  };

  it('lets every Tenant go although a controller runs, which does not put the finalizer back', async () => {
    const operator = await world.startOperator(env);
    await world.tenant('parting');
    await eventually('Tenants are protected', async () => {
      return (await finalizersOf()).includes(finalizers.tenantProtection);
    });
    expect((await world.run('prepare-uninstall', { OPENOS_POD_NAME: 'openos-hook' })).code).toBe(0);
    expect(await finalizersOf()).toEqual([]);
    expect(await world.leader()).toBe('uninstall-openos-hook');
    expect(operator.log()).toContain('stopped leading');

    await world.cluster.kubectl('annotate', 'tenant', 'parting', 'example.test/touched=yes');
    await world.delete({ resource: tenantResource, name: 'parting' });
    await eventually('it is gone', async () => {
      return (await world.cluster.client.get({ resource: tenantResource, name: 'parting' })) === undefined;
    });
    expect(await finalizersOf()).toEqual([]);
    expect(await operator.stop()).toBe(0);
  });
});

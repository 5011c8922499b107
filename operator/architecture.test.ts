import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { strayTopLevel, violations } from '../hack/verify/architecture.ts';

const operator = import.meta.dirname;
const repository = join(operator, '..');

describe('the operator', async () => {
  const files = (await readdir(operator, { recursive: true }))
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.ts'))
    .sort();

  test('has sources to look at', () => {
    expect(files).toContain('main.ts');
    expect(files.filter((path) => path.startsWith('kernel/')).length).toBeGreaterThan(5);
  });

  test.each(files)('%s keeps the import rules', async (path) => {
    expect(violations(path, await readFile(join(operator, path), 'utf8'))).toEqual([]);
  });
});

test('the top level of the repository is what the architecture says', async () => {
  const ignored = (await readFile(join(repository, '.gitignore'), 'utf8')).split('\n').filter((line) => line !== '');
  expect(strayTopLevel(await readdir(repository), ignored)).toEqual([]);
});

test('a stray folder at the top level is found', () => {
  const entries = ['operator', 'src', '.git', 'dist', 'README.md', 'notes.log'];
  expect(strayTopLevel(entries, ['dist/', '*.log'])).toEqual(['src']);
});

describe('a rule is broken by', () => {
  test.each<[string, string, string]>([
    ['a database client outside of store', 'app.ts', `import { Pool } from 'pg';`],
    ['a query builder in a resource', 'resources/agent/observe.ts', `import type { Kysely } from 'kysely';`],
    ['a broker client outside of events', 'kernel/queue.ts', `import { connect } from 'nats';`],
    ['a broker package outside of events', 'store/db.ts', `import { jetstream } from '@nats-io/jetstream';`],
    [
      'the Kubernetes client outside of the kernel',
      'resources/agent/controller.ts',
      `import { KubeConfig } from '@kubernetes/client-node';`,
    ],
    ['a metrics library outside of telemetry', 'kernel/queue.ts', `import { Counter } from 'prom-client';`],
    ['a dynamic import', 'kernel/client.ts', `const x = await import('pg');`],
    ['a re-export', 'kernel/index.ts', `export * from 'pg';`],
    ['an import over several lines', 'kernel/client.ts', `import {\n  Pool,\n  type Client,\n} from 'pg';`],
    ['an import for its side effects', 'kernel/client.ts', `import 'pg';`],
    ['the kernel knowing resources', 'kernel/queue.ts', `import { decide } from '../resources/agent/decide.ts';`],
    ['the kernel knowing the store', 'kernel/leader.ts', `import { takeOver } from '../store/repositories/leader.ts';`],
    ['the kernel knowing events', 'kernel/queue.ts', `import { Publisher } from '../events/publisher.ts';`],
    ['the kernel knowing a kind', 'kernel/reconcile.ts', `import type { Agent } from '../api/v1alpha1/agent.ts';`],
    ['the contract knowing the kernel', 'api/crds.ts', `import { settled } from '../kernel/outcome.ts';`],
    ['the store knowing events', 'store/db.ts', `import { encode } from '../events/registry.ts';`],
    ['a table knowing a repository', 'store/tables/outbox.ts', `import { x } from '../repositories/outbox.ts';`],
    ['a schema knowing the broker', 'events/schemas/agent.ts', `import { x } from '../broker.ts';`],
    ['the registry knowing the publisher', 'events/registry.ts', `import { x } from './publisher.ts';`],
    ['a part of the registry knowing the broker', 'events/subjects.ts', `import { x } from './nats-broker.ts';`],
    ['one resource knowing another', 'resources/agent/observe.ts', `import type { X } from '../tenant/decide.ts';`],
    ['shared resource code knowing one', 'resources/builtin.ts', `import { podName } from './agent/pod.ts';`],
    ['telemetry knowing the store', 'telemetry/server.ts', `import { ping } from '../store/db.ts';`],
    ['main knowing the store', 'main.ts', `import { migrate } from './store/db.ts';`],
    ['the app being imported', 'config.ts', `import { createApp } from './app.ts';`],
    ['test code that would ship', 'kernel/client.ts', `import { fakeClock } from '../testkit/clock.ts';`],
    ['tools that do not ship', 'app.ts', `import { bundle } from '../hack/bundle.ts';`],
    ['a part of the app knowing the app', 'caches.ts', `import { createApp } from './app.ts';`],
    [
      'a resource knowing how it is wired',
      'resources/agent/observe.ts',
      `import type { Caches } from '../../caches.ts';`,
    ],
    ['a folder nobody knows', 'utils/strings.ts', `export const x = 1;`],
    ['process outside of main', 'app.ts', `export const x = process.env.HOME;`],
    ['process handed on', 'config.ts', `const { env } = process;`],
    ['process as a module', 'kernel/clock.ts', `import { hrtime } from 'node:process';`],
    ['the console', 'kernel/queue.ts', `console.log('x');`],
  ])('%s', (_, path, text) => {
    expect(violations(path, text)).toHaveLength(1);
  });

  test.each<[string, string]>([
    ['reads the clock', 'const x = Date.now();'],
    ['reads the clock by a constructor', 'const x = new Date();'],
    ['reads the clock by a constructor without brackets', 'const x = new Date;'],
    ['reads the clock by a call', 'const x = Date();'],
    ['reads the other clock', 'const x = performance.now();'],
    ['reads the clock inside a template', `const x = \`at \${Date.now()}\`;`],
    ['rolls dice', 'const x = Math.random();'],
    ['makes random ids', `import { randomUUID } from 'node:crypto';`],
    ['sets a timer', 'setTimeout(() => {}, 1);'],
    ['waits', 'export const x = async () => {};'],
    ['asks the network', `fetch('http://localhost');`],
    ['reads files', `import { readFileSync } from 'node:fs';`],
    ['uses a client', `import { KubeClient } from '../../kernel/client.ts';`],
    ['uses I/O of its own folder', `import { observe } from './observe.ts';`],
    ['uses the store', `import { readHistory } from '../../store/repositories/history.ts';`],
  ])('a pure file that %s', (_, text) => {
    for (const name of ['decide', 'machine', 'facts', 'status', 'pod', 'namespace', 'something-new']) {
      expect(violations(`resources/agent/${name}.ts`, text)).toHaveLength(1);
    }
  });
});

describe('no rule is broken by', () => {
  test.each<[string, string, string]>([
    ['a client at home', 'store/repositories/outbox.ts', `import { sql } from 'kysely';`],
    ['the broker at home', 'events/broker.ts', `import { connect } from 'nats';`],
    ['Kubernetes models as types', 'resources/agent/pod.ts', `import type { V1Pod } from '@kubernetes/client-node';`],
    [
      'the app seeing everything',
      'app.ts',
      `import { x } from './resources/agent/controller.ts';\nimport './store/db.ts';`,
    ],
    ['what all kinds have in common', 'kernel/conditions.ts', `import type { C } from '../api/v1alpha1/common.ts';`],
    [
      'types of what does I/O',
      'resources/agent/decide.ts',
      `import type { Row } from '../../store/repositories/history.ts';`,
    ],
    ['shared resource code', 'resources/agent/pod.ts', `import { podResource } from '../builtin.ts';`],
    ['time as data', 'resources/agent/status.ts', 'const x = new Date(now).toISOString();'],
    ['a hash', 'resources/agent/pod.ts', `import { createHash } from 'node:crypto';`],
    ['I/O where it belongs', 'resources/agent/observe.ts', 'export const x = async () => { await y(Date.now()); };'],
    ['forbidden words in comments', 'resources/agent/decide.ts', '// not Date.now()\n/* process.env, await */'],
    [
      'forbidden words in strings',
      'resources/agent/decide.ts',
      `const x = 'await process.env'; const y = /'/; const z = "Date.now()";`,
    ],
    ['a field named process', 'kernel/queue.ts', 'const x = y.process.z; const w = { process: 1 };'],
    ['the process at its edge', 'main.ts', 'process.exit(1);'],
    ['tests', 'kernel/queue.test.ts', `import { Pool } from 'pg';`],
    ['test tools', 'testkit/postgres.ts', `import { Pool } from 'pg'; console.log(process.pid);`],
  ])('%s', (_, path, text) => {
    expect(violations(path, text)).toEqual([]);
  });
});

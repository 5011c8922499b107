import { posix } from 'node:path';
import { type Import, scan } from './source.ts';

/**
 * Who may import whom inside operator/, and what the pure files must not touch. Paths are relative to
 * operator/, with slashes. An area is a folder, or a file with a place of its own; the wiring is app.ts in parts.
 */

type Area =
  | 'main'
  | 'app'
  | 'cli'
  | 'config'
  | 'permissions'
  | 'wiring'
  | 'api'
  | 'kernel'
  | 'resources'
  | 'store/tables'
  | 'store'
  | 'events/schemas'
  | 'events/registry'
  | 'events'
  | 'telemetry'
  | 'testkit';

const everything = 'everything';
const allEvents = ['events/schemas', 'events/registry', 'events'] as const satisfies readonly Area[];

/** Left may import right; api ← kernel ← resources ← app ← main, and only app sees everything. */
const mayImport: Readonly<Record<Area, readonly Area[] | typeof everything>> = {
  main: ['app', 'wiring', 'cli', 'config', 'kernel', 'telemetry'],
  app: everything,
  wiring: ['wiring', 'config', 'kernel', 'api', 'resources', 'store/tables', 'store', ...allEvents, 'telemetry'],
  cli: ['config', 'kernel'],
  config: ['kernel', 'telemetry'],
  permissions: ['api', 'kernel', 'resources', 'store', 'events'],
  api: ['api'],
  kernel: ['kernel', 'api'],
  resources: ['resources', 'kernel', 'api', 'store/tables', 'store', ...allEvents],
  'store/tables': ['store/tables'],
  store: ['store/tables', 'store', 'kernel'],
  'events/schemas': ['events/schemas', 'api'],
  'events/registry': ['events/schemas', 'events/registry', 'api', 'kernel'],
  events: [...allEvents, 'api', 'kernel', 'store/tables', 'store'],
  telemetry: ['telemetry', 'kernel'],
  testkit: everything,
};

/** The contract the kernel may know: what all kinds have in common, never a kind. */
const kernelKnowsOfApi = /^api\/(?:v1alpha1\/)?(?:common|reasons|names)\.ts$/;

/** Clients live in one folder each. `import type` of the Kubernetes models is data, not a client. */
const clientHomes: readonly { readonly packages: RegExp; readonly home: Area; readonly typesAnywhere?: true }[] = [
  { packages: /^(?:pg|kysely)(?:\/|$)|^pg-/, home: 'store' },
  { packages: /^(?:nats|@nats-io\/.+)$/, home: 'events' },
  { packages: /^undici$/, home: 'kernel' },
  { packages: /^@kubernetes\/client-node$/, home: 'kernel', typesAnywhere: true },
  { packages: /^(?:pino|prom-client|@opentelemetry\/.+)$/, home: 'telemetry' },
];

/** What an event is, in parts of one job; how it is sent is the rest of events/. */
const registryFiles = /^events\/(?:registry|errors|event-id|subjects|cloud-event|render|render-types)\.ts$/;

/** All of a resource is pure but these. */
const resourceIo = /^resources\/[^/]+\/(?:observe|controller|execute|record)\.ts$/;
const pureKernel = /^kernel\/(?:object|outcome|action|decision|conditions|finalizer|errors|rbac)\.ts$/;
const pureBuiltins = ['node:crypto', 'node:util', 'node:assert/strict'];

const impurities: readonly { readonly what: string; readonly pattern: RegExp }[] = [
  { what: 'Date.now()', pattern: /\bDate\.now\b/ },
  { what: 'new Date() without an argument', pattern: /\bnew\s+Date\b\s*(?:\(\s*\)|(?!\s*\())|(?<!new\s+)\bDate\s*\(/ },
  { what: 'performance.now()', pattern: /\bperformance\s*\./ },
  { what: 'randomness', pattern: /\bMath\.random\b|\brandom(?:UUID|Bytes|Int|FillSync|Fill)\b|\bgetRandomValues\b/ },
  { what: 'a timer', pattern: /\b(?:setTimeout|setInterval|setImmediate|queueMicrotask)\b/ },
  { what: 'async code', pattern: /\b(?:async|await)\b/ },
  { what: 'the network', pattern: /(?<![.\w])fetch\s*\(/ },
];

const processUse = /(?<![.\w$])(?:globalThis\.)?process\s*(?:\.|\?\.|\[)|[=(,]\s*process\s*[;),]/;
const consoleUse = /(?<![.\w$])console\s*\./;

/** Everything in one file that breaks a rule, as sentences; empty when it keeps them all. */
export function violations(path: string, text: string): readonly string[] {
  if (isTest(path)) return [];
  const area = areaOf(path);
  if (area === undefined) return [`${path} is in a place the architecture does not know`];
  const { imports, code } = scan(text);
  return [...imports.flatMap((each) => importViolations(path, area, each)), ...codeViolations(path, area, code)].map(
    (sentence) => `${path} ${sentence}`,
  );
}

function importViolations(path: string, area: Area, { specifier, isTypeOnly }: Import): readonly string[] {
  if (!specifier.startsWith('.')) return packageViolations(path, area, specifier, isTypeOnly);
  const target = posix.normalize(posix.join(posix.dirname(path), specifier));
  if (target.endsWith('package.json')) return [];
  if (target.startsWith('../')) return [`imports ${specifier}, which does not ship with the operator`];
  if (area === 'testkit') return [];
  if (isTest(target) || target.startsWith('testkit/')) return [`imports ${target}: test code does not ship`];
  return fileViolations(path, area, target, isTypeOnly);
}

function fileViolations(path: string, area: Area, target: string, isTypeOnly: boolean): readonly string[] {
  const targetArea = areaOf(target);
  const allowed = mayImport[area];
  if (allowed === everything) return [];
  if (targetArea === undefined || !allowed.includes(targetArea)) {
    return [`imports ${target}: ${area} may import only ${allowed.join(', ')}`];
  }
  if (area === 'kernel' && targetArea === 'api' && !kernelKnowsOfApi.test(target)) {
    return [`imports ${target}: the kernel knows nothing of the kinds`];
  }
  if (area !== 'resources') return [];
  const [kind, targetKind] = [kindOf(path), kindOf(target)];
  if (targetKind !== undefined && targetKind !== kind) return [`imports ${target}: resources do not import each other`];
  if (!isPure(path) || isTypeOnly || isPure(target)) return [];
  return [`imports ${target}: it is pure and may import only types from where I/O happens`];
}

function packageViolations(path: string, area: Area, name: string, isTypeOnly: boolean): readonly string[] {
  if (area === 'testkit') return [];
  const client = clientHomes.find(({ packages }) => packages.test(name));
  if (client !== undefined) {
    const isAtHome = area === client.home || area.startsWith(`${client.home}/`);
    if (isAtHome || (isTypeOnly && client.typesAnywhere === true)) return [];
    return [`imports ${name}: only ${client.home}/ does`];
  }
  if (name === 'node:process' || name === 'process') return [`imports ${name}: only main.ts knows the process`];
  const isBuiltin = name.startsWith('node:');
  if (isPure(path) && !isTypeOnly && isBuiltin && !pureBuiltins.includes(name))
    return [`imports ${name}, but it is pure`];
  return [];
}

function codeViolations(path: string, area: Area, code: string): readonly string[] {
  if (area === 'testkit') return [];
  const found: string[] = [];
  if (area !== 'main' && processUse.test(code)) found.push('uses process: only main.ts does');
  if (consoleUse.test(code)) found.push('uses console: there is a logger');
  if (!isPure(path)) return found;
  return [
    ...found,
    ...impurities.filter(({ pattern }) => pattern.test(code)).map(({ what }) => `uses ${what}, but it is pure`),
  ];
}

function isPure(path: string): boolean {
  if (path.startsWith('api/')) return true;
  if (path.startsWith('resources/')) return !resourceIo.test(path);
  return pureKernel.test(path) || registryFiles.test(path) || /^(?:events\/schemas|store\/tables)\//.test(path);
}

/** The folder below resources/; undefined for what all resources share and for everything else. */
function kindOf(path: string): string | undefined {
  return /^resources\/([^/]+)\//.exec(path)?.[1];
}

function isTest(path: string): boolean {
  return path.endsWith('.test.ts');
}

function areaOf(path: string): Area | undefined {
  if (registryFiles.test(path)) return 'events/registry';
  const [top = '', next] = path.split('/');
  const names = [`${top}/${next}`, top].map((name) => name.replace(/\.ts$/, ''));
  // What stands beside app.ts without a name of its own is a part of it.
  return names.find(isArea) ?? (next === undefined ? 'wiring' : undefined);
}

function isArea(name: string): name is Area {
  return Object.hasOwn(mayImport, name);
}

/** What may stand at the root of the repository, beside dotfiles and what git ignores. */
export const topLevel: readonly string[] = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'biome.json',
  'vitest.config.ts',
  'operator',
  'crds',
  'charts',
  'config',
  'e2e',
  'hack',
  'Makefile',
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'Dockerfile',
];

/** Entries of the root that have no business there. `ignored` are the lines of .gitignore. */
export function strayTopLevel(entries: readonly string[], ignored: readonly string[]): readonly string[] {
  return entries.filter(
    (name) =>
      !topLevel.includes(name) &&
      !name.startsWith('.') &&
      !ignored.some((pattern) => posix.matchesGlob(name, pattern.replace(/\/$/, ''))),
  );
}

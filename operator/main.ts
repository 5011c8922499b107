import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { createApp } from './app.ts';
import { type CommandName, parseCommandLine, usage } from './cli.ts';
import { type Config, loadConfig, loadMigrateConfig, loadUninstallConfig, type UninstallConfig } from './config.ts';
import { runEvents, runMigrate, runPrepareUninstall } from './jobs.ts';
import { OperatorError } from './kernel/errors.ts';
import type { Logger } from './kernel/logger.ts';
import { createLogger } from './telemetry/log.ts';

// Below the 30 seconds Kubernetes gives by default: better to exit by ourselves than to be killed.
const drainDeadlineMs = 25_000;
const host = {
  hostname: hostname(),
  process: randomBytes(3).toString('hex'),
  version: process.env.OPENOS_VERSION ?? 'dev',
};

const commands = {
  controller: () => run(loadConfig(process.env, host), controller),
  migrate: () => run(loadMigrateConfig(process.env, host), unlessSignalled(runMigrate)),
  events: (args) => runEvents(args, () => loadConfig(process.env, host), { print, progress, user: process.env.USER }),
  'prepare-uninstall': () => run(loadUninstallConfig(process.env, host), unlessSignalled(runPrepareUninstall)),
} as const satisfies Record<CommandName, (args: readonly string[]) => Promise<void>>;

/** Runs a job to its exit code. */
async function run<C extends UninstallConfig>(config: C, job: (config: C, log: Logger) => Promise<number>) {
  const log = createLogger({ level: config.logLevel, bindings: { pod: config.podName } });
  const fail = (err: unknown): never => {
    log.error({ err }, 'openos stops because of an error');
    process.exit(1);
  };
  process.on('uncaughtException', fail).on('unhandledRejection', fail);
  return process.exit(await job(config, log).catch(fail));
}

async function controller(config: Config, log: Logger): Promise<number> {
  const app = createApp(config, log);
  const signalled = nextSignal();
  await Promise.race([app.start(), signalled]);
  await signalled;
  log.info({ drainDeadlineMs }, 'stopping');
  const drained = app.stop().then(() => 0);
  const late = Promise.withResolvers<never>();
  setTimeout(() => late.reject(new Error('not drained in time')), drainDeadlineMs);
  return Promise.race([drained, late.promise, nextSignal()]);
}

function unlessSignalled<C>(job: (config: C, log: Logger) => Promise<void>) {
  return (config: C, log: Logger): Promise<number> => Promise.race([job(config, log).then(() => 0), nextSignal()]);
}

/** The exit code of the next signal to stop. In a container we are pid 1: unhandled, a signal would do nothing. */
function nextSignal(): Promise<number> {
  return new Promise((resolve) => process.once('SIGTERM', () => resolve(143)).once('SIGINT', () => resolve(130)));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

try {
  // Whoever reads us may have seen enough.
  process.stdout.on('error', () => process.exit(0));
  const invocation = parseCommandLine(process.argv.slice(2));
  if (invocation.kind === 'run') await commands[invocation.command](invocation.args);
  else print(invocation.kind === 'help' ? usage() : `openos ${host.version}`);
} catch (error) {
  if (!(error instanceof OperatorError)) throw error;
  progress(`openos: ${error.message}`);
  process.exitCode = ['UsageInvalid', 'ConfigInvalid'].includes(error.code) ? 2 : 1;
}

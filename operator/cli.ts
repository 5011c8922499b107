import { parseArgs } from 'node:util';
import { describeEnvironment } from './config.ts';
import { OperatorError } from './kernel/errors.ts';

export const commands = {
  controller: 'reconcile Agents and Tenants and publish their events, until told to stop',
  events: 'list, show, requeue, skip and replay events; see openos events --help',
  migrate: 'bring the database to the schema of this version, then exit',
  'prepare-uninstall': 'release what would keep Tenants in Terminating, then exit',
} as const;
export type CommandName = keyof typeof commands;

export type Invocation =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'run'; readonly command: CommandName; readonly args: readonly string[] };

/**
 * Reads the command line (without the program's own name).
 * @throws OperatorError UsageInvalid when it is not one command, --help or --version.
 */
export function parseCommandLine(args: readonly string[]): Invocation {
  // What follows is read by the command itself: its options are its own.
  if (args[0] === 'events') return { kind: 'run', command: 'events', args: args.slice(1) };
  const { values, positionals } = parse(args);
  if (values.help === true) return { kind: 'help' };
  if (values.version === true) return { kind: 'version' };
  const [command, ...rest] = positionals;
  if (command === undefined) throw usageInvalid('a command is missing');
  if (!isCommand(command) || rest.length > 0) throw usageInvalid(`"${positionals.join(' ')}" is not a command`);
  return { kind: 'run', command, args: [] };
}

/** The text of --help: commands and environment. */
export function usage(): string {
  const rows = (entries: readonly (readonly [string, string])[]): string => {
    const width = Math.max(...entries.map(([name]) => name.length));
    return entries.map(([name, text]) => `  ${name.padEnd(width)}  ${text}\n`).join('');
  };
  return [
    'usage: openos COMMAND\n\nThe control plane for AI agents on Kubernetes.\n\nCommands\n',
    rows(Object.entries(commands)),
    '\nEnvironment\n',
    rows(describeEnvironment().map(({ key, text }) => [key, text])),
    '\nExit codes: 0 done, 1 failed, 2 bad command line or configuration\n',
  ].join('');
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'v' } },
    });
  } catch (cause) {
    throw usageInvalid(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function isCommand(name: string): name is CommandName {
  return Object.hasOwn(commands, name);
}

function usageInvalid(message: string, cause?: unknown): OperatorError {
  return new OperatorError('UsageInvalid', 'terminal', `${message}; see openos --help`, { cause });
}

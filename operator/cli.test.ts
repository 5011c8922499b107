import { expect, test } from 'vitest';
import { commands, parseCommandLine, usage } from './cli.ts';

test.each(Object.keys(commands))('%s is a command', (command) => {
  expect(parseCommandLine([command])).toEqual({ kind: 'run', command, args: [] });
});

test('what follows events is for events', () => {
  const args = ['list', '--tenant', 'acme', '--help'];
  expect(parseCommandLine(['events', ...args])).toEqual({ kind: 'run', command: 'events', args });
});

test.each([
  [['--help'], 'help'],
  [['-h'], 'help'],
  [['controller', '--help'], 'help'],
  [['--version'], 'version'],
  [['-v'], 'version'],
])('%j is answered with the %s', (args, kind) => {
  expect(parseCommandLine(args)).toEqual({ kind });
});

test.each([
  [[]],
  [['toString']],
  [['controler']],
  [['controller', 'migrate']],
  [['--verbose']],
  [['--help=no']],
])('%j is refused with a code', (args) => {
  expect(() => parseCommandLine(args)).toThrow(expect.objectContaining({ code: 'UsageInvalid' }));
});

test('the help names every command and every key', () => {
  const text = usage();
  for (const word of [...Object.keys(commands), 'OPENOS_DATABASE_URL', 'OTEL_EXPORTER_OTLP_ENDPOINT']) {
    expect(text).toContain(word);
  }
});

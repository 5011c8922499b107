import { trace } from '@opentelemetry/api';
import { type DestinationStream, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';
import type { Logger } from '../kernel/logger.ts';
import { redact, redactText } from './redact.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

export type LogOptions = {
  readonly level: LogLevel;
  /** On every line, for example {pod}. */
  readonly bindings?: Readonly<Record<string, unknown>>;
  /** Where lines go; standard output when left out. */
  readonly destination?: DestinationStream;
};

/**
 * JSON lines with an ISO time, the level by name and, inside a span, its trace_id and span_id. Objects,
 * messages and child bindings are redacted, whoever writes them. Lines are written synchronously: what was
 * logged before an exit is not lost.
 */
export function createLogger(options: LogOptions): Logger {
  const logger = pino(
    {
      level: options.level,
      base: redacted(options.bindings ?? {}),
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      mixin: activeSpanIds,
      // Errors are plain objects by now; pino's own serializer would drop their cause.
      serializers: { err: (err: unknown) => err },
    },
    options.destination ?? pino.destination({ fd: 1, sync: true }),
  );
  return redacting(logger);
}

// pino's own formatters see neither child bindings nor messages, so redaction stands in front of it.
function redacting(logger: PinoLogger): Logger {
  const at =
    (level: LogLevel) =>
    (details: object, message?: string): void => {
      if (!logger.isLevelEnabled(level)) return;
      logger[level](redacted(details), message === undefined ? undefined : redactText(message));
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (bindings) => redacting(logger.child(redacted(bindings))),
  };
}

function redacted(details: object): object {
  return redact(details instanceof Error ? { err: details } : details) as object;
}

function activeSpanIds(): object {
  const span = trace.getActiveSpan()?.spanContext();
  return span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId };
}

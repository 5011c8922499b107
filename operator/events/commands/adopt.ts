import { silentLogger } from '../../kernel/logger.ts';
import {
  adopt as adoptFound,
  compareFound,
  type FoundEvent,
  newestRecordedAt,
} from '../../store/repositories/adoption.ts';
import { takeOver } from '../../store/repositories/leadership.ts';
import { unitOfWork } from '../../store/unit-of-work.ts';
import { adoptMissing } from '../adoption.ts';
import { connected, type EventsPorts } from './ports.ts';
import type { EventsRequest } from './request.ts';

/**
 * `adopt`: events that are on the stream and not in the database are recorded from there. Every leader does so before
 * it records; by hand it is for looking, and for a database whose operator is kept stopped.
 */
export async function adopt(ports: EventsPorts, { dryRun, output }: EventsRequest): Promise<void> {
  const { by, db, print, progress } = ports;
  const broker = await connected(ports);
  // A leader that records at this moment is refused, and compares for itself before it goes on.
  const epoch = dryRun ? 0 : await takeOver(db, 'openos events adopt');
  const { adopted, forked } = await adoptMissing({
    broker,
    log: silentLogger,
    newestRecordedAt: () => newestRecordedAt(db),
    take: (found) =>
      dryRun ? compareFound(db, found) : unitOfWork(db, epoch, (trx) => adoptFound(trx, epoch, by.actor, found)),
  });
  for (const event of adopted) print(output === 'json' ? JSON.stringify({ ...event, dryRun }) : lineOf(event));
  progress(`${adopted.length} event(s) ${dryRun ? 'would be ' : ''}adopted`);
  if (forked.length === 0) return;
  progress(`${forked.length} event(s) differ from those on the stream under the same ids:`);
  for (const event of forked) progress(lineOf(event));
}

function lineOf({ aggregateId, eventId, eventType, occurredAt, seq, streamSeq }: FoundEvent): string {
  return [occurredAt.toISOString(), streamSeq, eventType.padEnd(20), `${aggregateId}/${seq}`, eventId].join('  ');
}

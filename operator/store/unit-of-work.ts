import { sql } from 'kysely';
import { OperatorError } from '../kernel/errors.ts';
import { StoreErrorCode } from './errors.ts';
import type { Db, Trx } from './tables/index.ts';

/**
 * Runs `work` in one transaction of the leader: all of its statements commit together, or none does.
 * The first statement is the fence: it shares a lock on the epoch's row, so that a take-over waits for
 * this transaction and every later one of an old leader is refused.
 * @throws OperatorError NotLeader; whatever `work` throws, after the rollback
 */
export async function unitOfWork<Result>(db: Db, epoch: number, work: (trx: Trx) => Promise<Result>): Promise<Result> {
  return db.transaction().execute(async (trx) => {
    const { rows } = await sql`/*fence*/ select 1 from leader_epoch where epoch = ${epoch} for share`.execute(trx);
    if (rows.length === 0) throw notLeader(epoch);
    return work(trx);
  });
}

/** The error of a writer whose epoch is over. */
export function notLeader(epoch: number): OperatorError {
  return new OperatorError(StoreErrorCode.NotLeader, 'conflict', `epoch ${epoch} is over: another operator leads`);
}

import { sql } from 'kysely';
import type { Db } from '../tables/index.ts';

/**
 * Makes `holder` the only one who may record and returns its epoch. Waits for open transactions of the
 * leader before; from then on that one gets NotLeader.
 */
export async function takeOver(db: Db, holder: string): Promise<number> {
  // A plain UPDATE: its row lock is what the shared lock of the fence is held against.
  const { rows } = await sql<{ epoch: number }>`
    update leader_epoch set epoch = epoch + 1, holder = ${holder}, taken_at = now() returning epoch`.execute(db);
  const epoch = rows[0]?.epoch;
  if (epoch === undefined) throw new Error('leader_epoch has no row');
  return epoch;
}

/** The epoch in force and who holds it. Epoch 0 is held by nobody. */
export async function currentEpoch(db: Db): Promise<{ readonly epoch: number; readonly holder: string }> {
  return db.selectFrom('leader_epoch').select(['epoch', 'holder']).executeTakeFirstOrThrow();
}

import type { PoolClient } from 'pg';

/**
 * Meets every new connection. A server that was started since the last one may have been restored, or be a standby
 * that lacks the newest commits. So nobody's epoch holds on it: before anything else is done over such a connection the
 * epoch moves on, by the clock, to one that nobody had before the restore either (once, however many processes and
 * connections see the restart); and `onRestart` is told.
 */
export function watchRestarts(onRestart: () => void): (client: PoolClient) => Promise<void> {
  let known: string | undefined;
  return async (client) => {
    const { rows } = await client.query<{ started: string }>('select pg_postmaster_start_time()::text as started');
    const started = rows[0]?.started;
    if (known !== undefined && known !== started) {
      onRestart();
      await client.query(`update leader_epoch set holder = '', taken_at = now(),
        epoch = greatest(epoch + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint)
        where taken_at < pg_postmaster_start_time()`);
    }
    known = started;
  };
}

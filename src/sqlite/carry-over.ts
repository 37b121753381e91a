import type { Database } from 'better-sqlite3'
import { Ledger, OF_ITS_ROW } from './ledger.ts'
import { establish, OURS } from './tables.ts'
import { triggersOnOurs } from './untouched.ts'

const LOG =
  'run_id, migration_id, name, direction, outcome, checksum, down_sql, inserted_at, started_at, duration_ms, error'

/**
 * Adds to `restored` what `live` remembers: its runs, and the rows of the log that a backup from before them has not. What is
 * applied in `restored` is then the last word of the log on each migration again. Gives the current id of `restored`.
 */
export function carryOver(live: Database, restored: Database): number | null {
  const whole = restored.transaction(() => {
    establish(restored, OURS)
    withoutTriggers(restored, () => {
      const before = successes(restored)
      addRuns(live, restored)
      addLog(live, restored)
      renew(restored, before)
    })
    return new Ledger(restored).current()
  })
  return whole()
}

/** Whatever was put on our tables elsewhere stays there, and does nothing while `act` writes to them. */
function withoutTriggers(db: Database, act: () => void): void {
  const triggers = triggersOnOurs(db)
  for (const { name } of triggers) db.exec(`DROP TRIGGER main."${name.replaceAll('"', '""')}"`)
  act()
  for (const { sql } of triggers) db.exec(sql)
}

function addRuns(live: Database, restored: Database): void {
  const columns = restored
    .prepare(`SELECT name FROM pragma_table_info('migration_runs', 'main')`)
    .pluck()
    .all() as string[]
  const put = restored.prepare(
    `INSERT OR REPLACE INTO main.migration_runs (${columns.join()}) VALUES (${columns.map(() => '?').join()})`,
  )
  const rows = live.prepare(`SELECT ${columns.join()} FROM main.migration_runs`).raw()
  for (const row of rows.iterate()) put.run(row)
}

function addLog(live: Database, restored: Database): void {
  const has = restored.prepare(
    `SELECT 1 FROM main.migration_log
    WHERE run_id IS ? AND migration_id = ? AND direction = ? AND outcome = ? AND started_at = ? LIMIT 1`,
  )
  const put = restored.prepare(
    `INSERT INTO main.migration_log (${LOG}) VALUES (${LOG.split(', ')
      .map(() => '?')
      .join()})`,
  )
  const rows = live.prepare(`SELECT ${LOG} FROM main.migration_log ORDER BY id`).raw()
  for (const row of rows.iterate() as IterableIterator<unknown[]>) {
    const [runId, id, , direction, outcome, , , , startedAt] = row
    if (has.get(runId, id, direction, outcome, startedAt) === undefined) put.run(row)
  }
}

/** The id of the row that tells last of each applied migration. */
function successes(db: Database): Map<number, number> {
  const sql = `SELECT m.id, max(l.id) FROM main.migration_log l JOIN main.migrations m ON m.id = l.migration_id AND ${OF_ITS_ROW}
    GROUP BY m.id`
  const rows = db.prepare(sql).raw().all() as [number, number][]
  return new Map(rows)
}

/** Repeats the rows that were the last word in the backup and are not any more, since the migration was applied again. */
function renew(restored: Database, before: ReadonlyMap<number, number>): void {
  const columns = LOG.replace('outcome', `'restored'`)
  const repeat = restored.prepare(
    `INSERT INTO main.migration_log (${LOG}) SELECT ${columns} FROM main.migration_log WHERE id = ?`,
  )
  const unknown = restored.prepare(
    `INSERT INTO main.migration_log (${LOG})
    SELECT NULL, id, name, 'up', 'restored', NULL, NULL, inserted_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 0, NULL
    FROM main.migrations WHERE id = ?`,
  )
  for (const [id, row] of successes(restored)) {
    const was = before.get(id)
    // Of what was applied without a log, a later life must not tell.
    if (was === undefined) unknown.run(id)
    else if (was !== row) repeat.run(was)
  }
}

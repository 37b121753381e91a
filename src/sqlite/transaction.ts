import type { Database } from 'better-sqlite3'
import { ask } from './ask.ts'
import { refuseGhost } from './ghost.ts'
import { isBusyConnection } from './module.ts'

/** What is known of the settings between the transactions of a run; `null` where something may have changed them. */
export interface Standing {
  settings: Restored | null
}

/**
 * Runs `body` between BEGIN IMMEDIATE and COMMIT, foreign keys off and every commit on the disk; the settings are put back.
 * `body` may call `commit` itself, as its last act. Whatever is thrown rolls all of it back.
 *
 * @param standing spares asking for settings that nothing can have changed: `body` forgets them before it runs what could.
 */
export function inTransaction<T>(
  db: Database,
  body: (commit: () => void) => T,
  standing: Standing = { settings: null },
): T {
  const before = standing.settings ?? restored(db)
  // Inside a transaction this pragma does nothing, and a table rebuild would delete the children of what it drops.
  const inside = { ...before, foreign_keys: 0, synchronous: FULL }
  standing.settings = before
  try {
    set(db, before, inside)
    ask(db, 'BEGIN IMMEDIATE').run()
    const commit = () => {
      refuseGhost(db)
      db.exec('COMMIT')
    }
    const given = body(commit)
    if (db.inTransaction) commit()
    return given
  } catch (error) {
    standing.settings = null
    // SQLite has rolled back by itself after some errors; a migration may even have closed the database.
    if (db.open && db.inTransaction) evenWhenBusy(db, () => db.exec('ROLLBACK'))
    throw error
  } finally {
    if (db.open) evenWhenBusy(db, () => set(db, standing.settings === null ? restored(db) : inside, before))
  }
}

/** In WAL the default syncs at checkpoints only; what the pragma prints does not tell. */
const FULL = 2

/** What is put back after a transaction, also after one that failed. */
export interface Restored {
  readonly foreign_keys: number
  readonly synchronous: number
  readonly legacy_alter_table: number
}

/** As functions the pragmas are asked when the statement runs; as statements, when it is compiled. */
function restored(db: Database): Restored {
  const sql = `SELECT f.foreign_keys, s.synchronous, l.legacy_alter_table
    FROM pragma_foreign_keys f, pragma_synchronous s, pragma_legacy_alter_table l`
  return ask(db, sql).get() as Restored
}

function set(db: Database, from: Restored, to: Restored): void {
  for (const name of ['foreign_keys', 'synchronous', 'legacy_alter_table'] as const) {
    if (from[name] !== to[name]) db.exec(`PRAGMA ${name} = ${to[name]}`)
  }
}

/** Does `act` though a migration has left an iterator open, which ends with the rollback. */
function evenWhenBusy(db: Database, act: () => void): void {
  try {
    act()
  } catch (error) {
    if (!isBusyConnection(error)) throw error
    db.unsafeMode(true)
    try {
      act()
    } finally {
      db.unsafeMode(false)
    }
  }
}

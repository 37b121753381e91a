import type { Database } from 'better-sqlite3'
import { isBusyConnection } from './module.ts'

/** What is put back after a transaction, also after one that failed. */
const RESTORED = ['foreign_keys', 'synchronous', 'legacy_alter_table'] as const

/**
 * Runs `body` between BEGIN IMMEDIATE and COMMIT, foreign keys off and every commit on the disk; the settings are put back.
 * `body` may call `commit` itself, as its last act. Whatever is thrown rolls all of it back.
 */
export function inTransaction<T>(db: Database, body: (commit: () => void) => T): T {
  const before = RESTORED.map((name) => [name, db.pragma(name, { simple: true })] as const)
  const restore = () => {
    for (const [name, value] of before) {
      if (db.pragma(name, { simple: true }) !== value) db.pragma(`${name} = ${value}`)
    }
  }
  try {
    // Inside a transaction this pragma does nothing, and a table rebuild would delete the children of what it drops.
    db.pragma('foreign_keys = OFF')
    // In WAL the default syncs at checkpoints only; what the pragma prints does not tell.
    db.pragma('synchronous = FULL')
    db.exec('BEGIN IMMEDIATE')
    const given = body(() => db.exec('COMMIT'))
    if (db.inTransaction) db.exec('COMMIT')
    return given
  } catch (error) {
    // SQLite has rolled back by itself after some errors; a migration may even have closed the database.
    if (db.open && db.inTransaction) evenWhenBusy(db, () => db.exec('ROLLBACK'))
    throw error
  } finally {
    if (db.open) evenWhenBusy(db, restore)
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

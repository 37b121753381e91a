import type { Database } from 'better-sqlite3'

/**
 * Runs `body` between BEGIN IMMEDIATE and COMMIT, foreign keys off and every commit on the disk; both settings are put back.
 * `body` may call `commit` itself, as its last act. Whatever is thrown rolls all of it back.
 */
export function inTransaction<T>(db: Database, body: (commit: () => void) => T): T {
  const foreignKeys = db.pragma('foreign_keys', { simple: true })
  const synchronous = db.pragma('synchronous', { simple: true })
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
    if (db.open && db.inTransaction) db.exec('ROLLBACK')
    throw error
  } finally {
    if (db.open) {
      db.pragma(`foreign_keys = ${foreignKeys}`)
      db.pragma(`synchronous = ${synchronous}`)
    }
  }
}

import Sqlite, { type Database } from 'better-sqlite3'

/** How long somebody may have the write lock, in milliseconds. */
const PATIENCE_MS = 20_000

/**
 * Begins a transaction of an application as soon as nobody has the write lock. It asks every millisecond: SQLite's own waiting
 * sleeps for up to 100, in which the next step or runner may come first, or the run be over.
 */
export function hold(db: Database): void {
  db.pragma('busy_timeout = 0')
  const deadline = Date.now() + PATIENCE_MS
  while (!begun(db)) {
    if (Date.now() > deadline) throw new Error(`somebody else holds ${db.name}`)
    pause(1)
  }
}

function begun(db: Database): boolean {
  try {
    db.exec('BEGIN IMMEDIATE')
    return true
  } catch (error) {
    if (error instanceof Sqlite.SqliteError && error.code.startsWith('SQLITE_BUSY')) return false
    throw error
  }
}

/** Waits without giving way. */
export function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

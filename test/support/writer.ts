// An application that waits until a run of a kind is under way, then writes a row in a transaction of some milliseconds.
import Sqlite from 'better-sqlite3'

const [, , file, kind, ms] = process.argv
const db = new Sqlite(file, { timeout: 10_000 })
const begun = db.prepare(`SELECT 1 FROM migration_runs WHERE kind = ? AND status = 'running'`)
console.log('ready')
// Not by a timer: the moment is short.
while (begun.get(kind) === undefined);
// It asks every millisecond: SQLite's own waiting sleeps for up to 100, in which the run may be over.
db.pragma('busy_timeout = 0')
while (!begins()) pause(1)
db.exec(`INSERT INTO cats (name) VALUES ('acknowledged')`)
pause(Number(ms))
db.exec('COMMIT')
db.close()

function begins(): boolean {
  try {
    db.exec('BEGIN IMMEDIATE')
    return true
  } catch (error) {
    if (error instanceof Sqlite.SqliteError && error.code.startsWith('SQLITE_BUSY')) return false
    throw error
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

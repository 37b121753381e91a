import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import type { Clock } from './clock.ts'
import type { Form } from './copy.ts'
import { openGuarded } from './database.ts'
import { failure } from './failure.ts'
import { stat } from './files.ts'
import { holdLike, holdTo, isElsewhere, refuseGhost } from './ghost.ts'
import { isBusyConnection } from './module.ts'

/** A database that a runner has claimed. */
export interface Claimed {
  readonly database: string
  readonly lockTimeoutMs: number
  /** Since when. */
  readonly clock: Clock
}

/** The connection of a run: in WAL, each commit synced. */
export function openForRun({ database, lockTimeoutMs }: Claimed, form?: Form): Database {
  const db = openGuarded(database, { timeout: lockTimeoutMs })
  try {
    // Only a database without a page takes another form.
    if (form !== undefined) db.exec(`PRAGMA page_size = ${form.pageSize}; PRAGMA encoding = '${form.encoding}'`)
    switchToWal(db, lockTimeoutMs)
    commitWell(db)
    holdTo(db)
    // Once, and not back and forth with each step.
    db.pragma('foreign_keys = OFF')
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * Each commit synced; and the WAL begun anew when it has half as many pages as is SQLite's custom: a sync of a file that has
 * grown takes longer than that of one which is written over, as a checkpoint now and then does not.
 */
function commitWell(db: Database): void {
  db.pragma('synchronous = FULL')
  db.pragma('wal_autocheckpoint = 500')
}

/** A reader of a database in another journal mode keeps it from being switched, and SQLite does not always wait for it. */
function switchToWal(db: Database, lockTimeoutMs: number): void {
  const deadline = performance.now() + lockTimeoutMs
  for (;;) {
    try {
      const mode = db.pragma('journal_mode = WAL', { simple: true })
      if (mode === 'wal') return
      throw new MigrationError(
        'database-unavailable',
        `the database stays in the journal mode ${mode}; WAL needs a local file system`,
      )
    } catch (error) {
      const locked = failure(error, 'internal').code === 'database-locked'
      if (!locked || performance.now() >= deadline) throw error
      pause(20)
    }
  }
}

/** Waits without giving way: a runner has nothing else to do. */
export function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** Another connection in the middle of a run: a module may have left functions and defaults on `db` that the next step must not find. */
export function renew(db: Database, { database, lockTimeoutMs }: Claimed): Database {
  const fresh = openGuarded(database, { timeout: lockTimeoutMs, fileMustExist: true })
  try {
    commitWell(fresh)
    fresh.exec('PRAGMA foreign_keys = OFF')
    // It has its part in the WAL before the other one goes: the last one that closes a database takes its WAL away.
    fresh.pragma('data_version')
    holdLike(fresh, db)
    refuseGhost(fresh)
    db.close()
    return fresh
  } catch (error) {
    fresh.close()
    throw error
  }
}

/** After a failure another connection: a refused PRAGMA may have changed the old one. `null` where the file is gone, or another. */
export function openAnew(db: Database, { database, lockTimeoutMs }: Claimed): Database | null {
  // As long as it is open, no other file has its inode.
  const gone = stat(database) === undefined || isElsewhere(db)
  try {
    db.close()
  } catch (error) {
    // A module has left an iterator open. Its transaction is rolled back, and this process ends soon.
    if (!isBusyConnection(error)) throw error
  }
  if (gone) return null
  const fresh = openGuarded(database, { timeout: lockTimeoutMs, fileMustExist: true })
  fresh.pragma('synchronous = FULL')
  cutWal(fresh)
  return fresh
}

/**
 * Has all that is committed in the file itself, and nothing in the WAL: on a full disk, what a failed step has left there can
 * then be cut off again, and a file that is put in this one's place does not get its pages. Readers only put it off: nobody
 * waits for them. Gives what kept it from being done.
 */
export function cutWal(db: Database): MigrationError | null {
  const patience = db.pragma('busy_timeout', { simple: true })
  try {
    db.pragma('busy_timeout = 0')
    db.pragma('wal_checkpoint(TRUNCATE)', { simple: true })
    return null
  } catch (error) {
    return failure(error, 'internal')
  } finally {
    db.pragma(`busy_timeout = ${patience}`)
  }
}

/** How often it is tried to record the end of a run, each time for as long as LOCK_TIMEOUT, and for this at the least. */
export const RECORD_TRIES = 5
const LEAST_PATIENCE_MS = 1_000

/**
 * Writes the end of a run, as patiently as an application that holds the write lock makes it necessary. What the run did is
 * committed and told whether or not this succeeds; the next run finds what is missing. Gives whether it has.
 */
export function record(db: Database, write: () => void, tries: number): boolean {
  try {
    const patience = Number(db.pragma('busy_timeout', { simple: true }))
    db.pragma(`busy_timeout = ${Math.max(patience, LEAST_PATIENCE_MS)}`)
    refuseGhost(db)
    db.transaction(write).immediate()
    return true
  } catch (error) {
    const locked = failure(error, 'internal').code === 'database-locked'
    if (locked && tries > 1) return record(db, write, tries - 1)
    console.error('the end of the run could not be recorded:', error)
    return false
  }
}

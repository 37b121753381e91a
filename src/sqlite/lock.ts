import { statSync, utimesSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'

/** The side database that is locked for the whole of a run. */
export function lockPath(database: string): string {
  return `${database}.lock`
}

/**
 * Takes the run lock: an exclusive transaction on an empty side database, in which nothing is ever written. The kernel frees
 * it when its holder dies, so it cannot be left behind. Disposing of it gives it back. `null` while another process has it.
 *
 * @param at the moment, in milliseconds since 1970, that others are told as the beginning: no run from before it has the lock.
 */
export function takeLock(database: string, at: number): Disposable | null {
  const side = new Sqlite(lockPath(database), { timeout: 0 })
  try {
    side.exec('BEGIN EXCLUSIVE')
    stamp(lockPath(database), at)
    return { [Symbol.dispose]: () => void side.close() }
  } catch (error) {
    side.close()
    if (isBusy(error)) return null
    throw named(database, error)
  }
}

/** By its path: an open descriptor would take the lock along when it is closed. */
function stamp(path: string, at: number): void {
  try {
    utimesSync(path, at / 1000, at / 1000)
  } catch {
    // It belongs to another user, who lets us write; then the last run that has not ended is taken for the holder.
  }
}

/** Since when the lock is held by whoever holds it, in milliseconds since 1970; 0 where nobody can know. */
export function heldSince(database: string): number {
  return Math.floor(statSync(lockPath(database), { throwIfNoEntry: false })?.mtimeMs ?? 0)
}

/** Whether a run holds the lock. Reads only, creates nothing and never waits. */
export function isLocked(database: string): boolean {
  if (statSync(lockPath(database), { throwIfNoEntry: false }) === undefined) return false
  const side = new Sqlite(lockPath(database), { readonly: true, timeout: 0 })
  try {
    side.prepare('SELECT 1 FROM sqlite_schema').get()
    return false
  } catch (error) {
    if (isBusy(error)) return true
    throw named(database, error)
  } finally {
    side.close()
  }
}

/** What is damaged there is not the database, and may be removed. */
function named(database: string, error: unknown): unknown {
  if (!(error instanceof Sqlite.SqliteError && /^SQLITE_(NOTADB|CORRUPT)/.test(error.code))) return error
  const advice = `${lockPath(database)} is not the empty file that a run locks; remove it while nothing runs, and post again`
  return new MigrationError('database-unavailable', advice, {}, { cause: error })
}

function isBusy(error: unknown): boolean {
  return error instanceof Sqlite.SqliteError && error.code.startsWith('SQLITE_BUSY')
}

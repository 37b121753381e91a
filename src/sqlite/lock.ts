import { statSync, utimesSync } from 'node:fs'
import Sqlite from 'better-sqlite3'

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
    throw error
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
    throw error
  } finally {
    side.close()
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Sqlite.SqliteError && error.code.startsWith('SQLITE_BUSY')
}

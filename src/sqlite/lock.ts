import { statSync } from 'node:fs'
import Sqlite from 'better-sqlite3'

/** The side database that is locked for the whole of a run. */
export function lockPath(database: string): string {
  return `${database}.lock`
}

/**
 * Takes the run lock: an exclusive transaction on an empty side database, in which nothing is ever written. The kernel frees
 * it when its holder dies, so it cannot be left behind. Disposing of it gives it back. `null` while another process has it.
 */
export function takeLock(database: string): Disposable | null {
  const side = new Sqlite(lockPath(database), { timeout: 0 })
  try {
    side.exec('BEGIN EXCLUSIVE')
    return { [Symbol.dispose]: () => void side.close() }
  } catch (error) {
    side.close()
    if (isBusy(error)) return null
    throw error
  }
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

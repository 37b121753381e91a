import { join } from 'node:path'
import Sqlite, { type Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { backupAt, backupName, removeDatabase, sweep, temporaryName } from './backup-files.ts'
import type { Claimed } from './connection.ts'
import { copyDatabase, copyFailure, likeness, openToRead, pageSize } from './copy.ts'
import { failure } from './failure.ts'
import type { Assignment } from './messages.ts'
import { runRecords } from './run-record.ts'
import { examine, OURS } from './tables.ts'

/** A copy of a backup, which may be written to. */
export interface Candidate {
  readonly path: string
  readonly pageSize: number
  readonly applicationId: number
  /** What it holds of `migrations`. */
  readonly migrations: string
}

/** Copies the backup, which must be sound and must not hold tables of another tool under the names of ours. */
export async function copyBackup(
  { database, lockTimeoutMs }: Claimed,
  { run, name, backups }: Assignment & { type: 'restore' },
): Promise<Candidate> {
  const { folder } = backups
  if (backupAt(folder, name) === null) {
    throw new MigrationError('not-found', `there is no backup ${name}; GET /backups lists them`)
  }
  sweep(backups, database)
  const path = join(folder, temporaryName(backupName(database, new Date(), null, run.id)))
  try {
    const source = openToRead(join(folder, name), lockTimeoutMs)
    try {
      if (source === null || source.pragma('page_count', { simple: true }) === 0) throw unusable(name, 'it is empty')
      await copyDatabase(source, path)
    } finally {
      source?.close()
    }
    return inspect(path, name)
  } catch (error) {
    removeDatabase(path)
    const known = failure(error, 'internal')
    if (known.code === 'database-unavailable') throw unusable(name, 'it is damaged or no database')
    throw error instanceof MigrationError && error.code !== 'insufficient-storage'
      ? error
      : copyFailure(error, 'free some space; nothing was changed')
  }
}

function inspect(path: string, name: string): Candidate {
  const copy = new Sqlite(path)
  try {
    if (!isSound(copy)) throw unusable(name, 'it is damaged')
    const foreign = OURS.find((table) => examine(copy, table) === 'foreign')
    if (foreign !== undefined) {
      const why = `its table ${foreign} belongs to another tool`
      throw new MigrationError('foreign-table', `${name} cannot be restored: ${why}; nothing was changed`)
    }
    const applicationId = copy.pragma('application_id', { simple: true }) as number
    return { path, pageSize: pageSize(copy), applicationId, migrations: likeness(copy).migrations }
  } finally {
    copy.close()
  }
}

/** Rows that break a CHECK or a NOT NULL are the application's affair, as are its own functions and collations. */
function isSound(db: Database): boolean {
  try {
    const found = db.pragma('quick_check') as { quick_check: string }[]
    return found.every(({ quick_check: told }) => /^(ok|CHECK constraint failed|NULL value in) ?/.test(told))
  } catch (error) {
    if (error instanceof Sqlite.SqliteError && error.code === 'SQLITE_ERROR') return true
    throw error
  }
}

/** A backup of our own may be of another time; any other file must look like this database. */
export function refuseOther(live: Database, name: string, { path, pageSize: wanted, applicationId }: Candidate): void {
  const [found, own] = [pageSize(live), live.pragma('application_id', { simple: true })]
  if (found !== wanted) {
    throw unusable(name, `it has pages of ${wanted} bytes, and the database of ${found}`)
  }
  const { pages } = likeness(live)
  if (pages <= 1 || isOurs(live, name)) return
  if (applicationId !== own) throw unusable(name, `its application_id is ${applicationId}, and the database's ${own}`)
  const copy = new Sqlite(path, { readonly: true })
  try {
    if (examine(live, 'migrations') !== 'ours' || examine(copy, 'migrations') === 'ours') return
    throw unusable(name, 'it has no table migrations, so it is of another application')
  } finally {
    copy.close()
  }
}

/** Whether the record says that a run has made this backup. */
function isOurs(live: Database, name: string): boolean {
  return runRecords(live, `json_extract(result, '$.backup') = ?`, [name], 1).length > 0
}

function unusable(name: string, why: string): MigrationError {
  return new MigrationError('invalid-request', `${name} cannot be restored: ${why}; nothing was changed`)
}

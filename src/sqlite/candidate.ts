import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite, { type Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { backupName, refuseUnknown, removeBeside, removeDatabase, sweep, temporaryName } from './backup-files.ts'
import type { Claimed } from './connection.ts'
import { copyDatabase, copyFailure, type Form, formOf, likeness } from './copy.ts'
import type { Assignment } from './messages.ts'
import { runRecords } from './run-record.ts'
import { examine, OURS } from './tables.ts'

/** A copy of a backup, which may be written to. */
export interface Candidate {
  readonly path: string
  readonly form: Form
  readonly applicationId: number
  readonly pages: number
  /** What it holds of `migrations`. */
  readonly migrations: string
  /** The first run that it knows; `null` where it knows none. */
  readonly firstRun: string | null
}

/** Copies the backup, which must be sound and must not hold tables of another tool under the names of ours. */
export async function copyBackup(
  { database, lockTimeoutMs }: Claimed,
  { run, name, backups }: Assignment & { type: 'restore' },
): Promise<Candidate> {
  const { folder } = backups
  refuseUnknown(folder, name)
  sweep(backups, database)
  const path = join(folder, temporaryName(backupName(database, new Date(), null, run.id), database))
  using source = openBackup(folder, name, lockTimeoutMs)
  try {
    await copyDatabase(source.db, path)
    return inspect(path, name)
  } catch (error) {
    removeDatabase(path)
    if (isDamage(error)) throw unusable(name, DAMAGED)
    if (error instanceof MigrationError && error.code !== 'insufficient-storage') throw error
    const advice = `a restore needs a copy of the backup in ${folder}; free some space or mend its permissions`
    throw copyFailure(error, advice)
  }
}

/** Opens the backup `name` to read it, which must be there, be allowed, and have all that it says it has. */
function openBackup(folder: string, name: string, timeout: number): Disposable & { readonly db: Database } {
  const path = join(folder, name)
  const alone = !existsSync(`${path}-wal`)
  let db: Database | null = null
  const close = () => {
    db?.close()
    // One in WAL mode gets files beside it by being read, which a reader leaves there.
    if (alone && statSync(`${path}-wal`, { throwIfNoEntry: false })?.size === 0) removeBeside(path)
  }
  try {
    db = new Sqlite(path, { readonly: true, fileMustExist: true, timeout })
    const pages = db.pragma('page_count', { simple: true }) as number
    if (pages === 0) throw unusable(name, 'it is empty')
    // What is cut off SQLite reads as zeroes. With a WAL, the file may still be smaller.
    if (alone && statSync(path).size < pages * formOf(db).pageSize)
      throw unusable(name, 'it is damaged: a part is cut off')
    return { db, [Symbol.dispose]: close }
  } catch (error) {
    close()
    if (isDamage(error)) throw unusable(name, DAMAGED)
    if (error instanceof MigrationError) throw error
    const advice = `the backup ${path} cannot be read; mend its permissions`
    throw new MigrationError('database-unavailable', advice, {}, { cause: error })
  }
}

const DAMAGED = 'it is damaged or no database'

function isDamage(error: unknown): boolean {
  return error instanceof Sqlite.SqliteError && /^SQLITE_(NOTADB|CORRUPT)/.test(error.code)
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
    const { pages, migrations } = likeness(copy)
    return { path, form: formOf(copy), applicationId, pages, migrations, firstRun: firstRunOf(copy) }
  } finally {
    copy.close()
  }
}

/** Rows that break a CHECK or a NOT NULL are the application's affair, as are its own functions and collations. */
function isSound(db: Database): boolean {
  try {
    const found = db.pragma('integrity_check') as { integrity_check: string }[]
    return found.every(({ integrity_check: told }) => /^(ok|CHECK constraint failed|NULL value in) ?/.test(told))
  } catch (error) {
    if (error instanceof Sqlite.SqliteError && error.code === 'SQLITE_ERROR') return true
    throw error
  }
}

/** A backup of our own may be of another time; any other file must look like this database. */
export function refuseOther(live: Database, name: string, { path, form, applicationId, firstRun }: Candidate): void {
  const [found, own] = [formOf(live), live.pragma('application_id', { simple: true })]
  if (found.pageSize !== form.pageSize) {
    throw unusable(name, `it has pages of ${form.pageSize} bytes, and the database of ${found.pageSize}`)
  }
  if (found.encoding !== form.encoding) {
    throw unusable(name, `it has its texts in ${form.encoding}, and the database in ${found.encoding}`)
  }
  const { pages } = likeness(live)
  if (pages <= 1 || isOurs(live, name)) return
  if (firstRun !== null && firstRunOf(live) !== null && runRecords(live, 'id = ?', [firstRun], 1).length === 0) {
    throw unusable(name, 'it has the history of another database; when it is meant, move the database away first')
  }
  if (applicationId !== own) throw unusable(name, `its application_id is ${applicationId}, and the database's ${own}`)
  const copy = new Sqlite(path, { readonly: true })
  try {
    if (examine(live, 'migrations') !== 'ours' || examine(copy, 'migrations') === 'ours') return
    throw unusable(name, 'it has no table migrations, so it is of another application')
  } finally {
    copy.close()
  }
}

/** Where the history of a database begins: no other database has that run, but for a copy. */
function firstRunOf(db: Database): string | null {
  if (examine(db, 'migration_runs') !== 'ours') return null
  return db.prepare('SELECT min(id) FROM main.migration_runs').pluck().get() as string | null
}

/** Whether the record says that a run has made this backup. */
function isOurs(live: Database, name: string): boolean {
  return runRecords(live, `json_extract(result, '$.backup') = ?`, [name], 1).length > 0
}

function unusable(name: string, why: string): MigrationError {
  return new MigrationError('invalid-request', `${name} cannot be restored: ${why}; nothing was changed`)
}

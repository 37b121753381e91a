import { chmodSync, closeSync, existsSync, openSync, statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import Sqlite, { type Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { failure } from './failure.ts'
import { examine } from './tables.ts'

/** What tells one copy of a database from another. */
interface Likeness {
  readonly pages: number
  readonly schema: string
  readonly migrations: string
}

/** Left free beside a copy, in bytes: a run needs some for itself. */
const MARGIN = 1 << 20

/**
 * Copies `db` to the new file `path` by SQLite's online backup, as it is at one moment, and compares the two. The copy needs
 * no file beside it.
 *
 * A read transaction is held meanwhile: without it, every write of another program would make the backup begin anew.
 */
export async function copyDatabase(db: Database, path: string): Promise<void> {
  db.exec('BEGIN')
  try {
    const wanted = likeness(db)
    refuseWithoutSpace(dirname(path), wanted.pages * formOf(db).pageSize)
    createLike(path, db.name)
    // An empty file is a database: nothing of it has to be copied, and a page would make another one of it.
    if (wanted.pages === 0) return
    const { totalPages } = await db.backup(path, { progress: () => ALL_AT_ONCE })
    // An online backup that copied nothing reports success.
    if (totalPages === 0) throw incomplete(path)
    const copy = new Sqlite(path)
    try {
      copy.pragma('journal_mode = DELETE')
      if (JSON.stringify(likeness(copy)) !== JSON.stringify(wanted)) throw incomplete(path)
    } finally {
      copy.close()
    }
  } finally {
    db.exec('COMMIT')
  }
}

/** What may not be read by others is not to be read by them in a copy; SQLite gives what it keeps beside it the same permissions. */
function createLike(path: string, other: string): void {
  closeSync(openSync(path, 'wx', 0o600))
  try {
    chmodSync(path, (statSync(other).mode & 0o777) | 0o600)
  } catch {
    // Some file systems have no permissions, and some let nobody change them: then it is for its owner alone.
  }
}

/** The most pages that an online backup copies in one go. */
export const ALL_AT_ONCE = 0x7fffffff

function incomplete(path: string): MigrationError {
  return new MigrationError('internal', `the copy ${path} is not what the database is`)
}

/** The pages, the schema and the history of `db`. */
export function likeness(db: Database): Likeness {
  const schema = db.prepare('SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY type, name').raw().all()
  const ours = examine(db, 'migrations') === 'ours'
  const migrations = ours ? db.prepare('SELECT id, name, inserted_at FROM main.migrations ORDER BY id').raw().all() : []
  return {
    pages: db.pragma('page_count', { simple: true }) as number,
    schema: JSON.stringify(schema),
    migrations: JSON.stringify(migrations),
  }
}

/** What a database is given before its first page and keeps: https://www.sqlite.org/fileformat2.html#the_database_header */
export interface Form {
  /** In bytes. */
  readonly pageSize: number
  readonly encoding: string
}

export function formOf(db: Database): Form {
  return {
    pageSize: db.pragma('page_size', { simple: true }) as number,
    encoding: db.pragma('encoding', { simple: true }) as string,
  }
}

/** Throws `insufficient-storage` where `bytes` do not fit into `folder`, before any of them is written. */
export function refuseWithoutSpace(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder)
  if (bavail * bsize >= bytes + MARGIN) return
  throw new MigrationError(
    'insufficient-storage',
    `${folder} has ${mebibytes(bavail * bsize)} free, and a copy of the database needs ${mebibytes(bytes + MARGIN)}`,
  )
}

function mebibytes(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`
}

/** What is wrong with a folder that no space would mend. */
const UNUSABLE = new Set([
  'EEXIST',
  'ENOENT',
  'ENODEV',
  'ENXIO',
  'ENOTDIR',
  'EACCES',
  'EPERM',
  'EROFS',
  'ELOOP',
  'ENAMETOOLONG',
])

/** `error` as what kept a copy from being made, with `advice`. A lock stays a lock, a damaged source damaged. */
export function copyFailure(error: unknown, advice: string): MigrationError {
  const known = failure(error, 'insufficient-storage')
  const { code, message, details } = known
  if (code === 'database-locked' || /^SQLITE_(CORRUPT|NOTADB)/.test(String(details.sqlite))) return known
  // A disk that fails is not full, whether SQLite says so or the kernel.
  const reason = String((error as { code?: unknown }).code)
  const broken = code === 'internal' || reason === 'EIO'
  const told = broken ? 'internal' : UNUSABLE.has(reason) ? 'database-unavailable' : 'insufficient-storage'
  return new MigrationError(told, `${message}; ${advice}`, details, { cause: error })
}

/** Opens the database `path` to read it; `null` where there is none. */
export function openToRead(path: string, timeout: number): Database | null {
  return existsSync(path) ? new Sqlite(path, { readonly: true, timeout }) : null
}

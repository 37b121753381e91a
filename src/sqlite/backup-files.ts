import { createHash } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { MigrationError } from '../core/errors.ts'
import type { Backup } from '../core/migration.ts'
import type { BackupPlace } from './messages.ts'

/** The name of a backup of `database`: what it is of, when it was made, the current id in it, and the run it was made for. */
export function backupName(database: string, at: Date, current: number | null, runId: string): string {
  return `${stem(database)}-${at.toISOString().replace(/[-:.]/g, '')}-${current ?? 'none'}-${runId}.db`
}

/** Under this name a copy grows: nobody takes it for a whole one, nor for one of a database of the same name elsewhere. */
export function temporaryName(name: string, database: string): string {
  return `.${name}.${statSync(database, { throwIfNoEntry: false })?.ino ?? 0}.tmp`
}

const OWN =
  /^(.*)-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z-(none|\d+)-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.db$/

/**
 * The files of `folder` that can be restored, the newest first: not the database itself. None where there is no folder. Those of
 * other databases are left out, unless it has none of this one: a database that was moved is then found by its old name.
 */
export function listBackups(folder: string, database: string): Backup[] {
  const all = backupsIn(folder).filter(({ name }) => join(folder, name) !== database)
  const own = stem(database)
  const of = ({ name }: Backup) => OWN.exec(name)?.[1] ?? null
  if (!all.some((one) => of(one) === own)) return all
  return all.filter((one) => of(one) === own || of(one) === null)
}

function backupsIn(folder: string): Backup[] {
  return names(folder)
    .flatMap((name) => backupAt(folder, name) ?? [])
    .sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
}

/** Whether a file may be asked for by `name`: no path, and nothing hidden. */
function isBackupName(name: string): boolean {
  return /^[^./\\\0][^/\\\0]*\.db$/.test(name)
}

/** What is known of the backup `name` without opening it; `null` where it is no file. */
export function backupAt(folder: string, name: string): Backup | null {
  if (!isBackupName(name)) return null
  const found = entryAt(join(folder, name))
  // No link: it could lead anywhere.
  if (!found?.isFile()) return null
  const [, , year, month, day, hour, minute, second, ms, current, runId] = OWN.exec(name) ?? []
  const made =
    runId === undefined ? found.mtime.toISOString() : `${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`
  const known = current === undefined || current === 'none' ? null : Number(current)
  return { name, createdAt: made, bytes: found.size, current: known, runId: runId ?? null }
}

function entryAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    // A name that no file can have, or a folder that is none or that nobody may look into.
    const { code = '' } = error as { code?: string }
    if (['ENAMETOOLONG', 'ENOTDIR', 'EACCES'].includes(code)) return undefined
    throw error
  }
}

/** Throws `not-found` where there is no backup `name`, and `database-unavailable` where that cannot be said. */
export function refuseUnknown(folder: string, name: string): void {
  if (backupAt(folder, name) !== null) return
  names(folder)
  throw new MigrationError('not-found', `there is no backup ${name}; GET /backups lists them`)
}

/** Deletes the backup `name`, which must be the one that was made for the run `runId`: a record may say anything. */
export function removeBackup(folder: string, name: string, runId: string): void {
  if (OWN.exec(name)?.[10] === runId) removeDatabase(join(folder, name))
}

/**
 * Deletes the oldest backups of `database` until `keep` are left, those of `spared` and of other programs not counted.
 *
 * @param hasMade whether a run is one of this database's: somebody else's may have the same path, in a container of its own.
 */
export function prune(
  { folder, keep }: BackupPlace,
  database: string,
  spared: readonly string[],
  hasMade: (runId: string) => boolean,
): void {
  const own = backupsIn(folder).filter(({ name, runId }) => {
    return OWN.exec(name)?.[1] === stem(database) && !spared.includes(name) && runId !== null && hasMade(runId)
  })
  for (const { name } of own.slice(keep)) rmSync(join(folder, name), { force: true })
}

/** Removes what a dead run has left half made. Only the holder of the run lock may call this, and before it makes any; what is of a run that died, anybody. */
export function sweep({ folder }: Pick<BackupPlace, 'folder'>, database: string, of = ''): void {
  for (const left of leftovers(folder, database)) if (left.includes(of)) rmSync(left, { force: true })
}

/** What a dead or a living run has half made. */
export function leftovers(folder: string, database: string): string[] {
  // Whether a folder can be used is said when a backup is made.
  if (!isFolder(folder)) return []
  const begun = `.${stem(database)}-`
  const inode = statSync(database, { throwIfNoEntry: false })?.ino ?? 0
  return names(folder)
    .filter((name) => {
      const [, whole = '', of] = /^\.(.*)\.(\d+)\.tmp(?:-journal|-wal|-shm)?$/.exec(name) ?? []
      if (!name.startsWith(begun) || !OWN.test(whole)) return false
      // Of a file that was replaced since, as of one of the same path in another container, only its age tells that nobody makes it.
      return of === '0' || of === String(inode) || isOld(join(folder, name))
    })
    .map((name) => join(folder, name))
}

/** A copy that grows is written to all the time. */
const OLD_MS = 24 * 3_600_000

function isOld(path: string): boolean {
  const written = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY
  return Date.now() - written > OLD_MS
}

/** Removes a database file with all that SQLite keeps beside it. */
export function removeDatabase(path: string): void {
  // Where the folder is none, there is nothing to remove.
  if (!isFolder(dirname(path))) return
  rmSync(path, { force: true })
  removeBeside(path)
}

/** Removes what SQLite keeps beside a database file that nobody has open. */
export function removeBeside(path: string): void {
  for (const end of ['-wal', '-shm', '-journal']) rmSync(`${path}${end}`, { force: true })
}

/** Waits until what is at `path`, a file or the names in a folder, is on the disk. Never of a database that is open. */
export function sync(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function isFolder(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

/** Of which database: its name, which may be part of a URL and of a shell line, and what tells it from others so named. */
function stem(database: string): string {
  const name = basename(database)
    .replace(/[^A-Za-z0-9._]/g, '_')
    .replace(/^\./, '_')
  return `${name}-${createHash('sha256').update(database).digest('hex').slice(0, 8)}`
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return []
    const advice = `the folder of the backups, ${folder}, cannot be read; mend its permissions or set BACKUP_DIR`
    throw new MigrationError('database-unavailable', advice, {}, { cause: error })
  }
}

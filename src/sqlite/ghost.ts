import { type Stats, statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { RACY_MS, TIMED } from '../core/timed.ts'
import { stat } from './files.ts'

interface Held {
  readonly file: string | null
  /** `null` as long as there is none: SQLite creates it late. */
  wal: string | null
  /** Whether no name in the folder comes or goes without another time of the folder. */
  readonly timed: boolean
  /** The folder as it was when the WAL was found to be the same; `null` where that would not tell. */
  folder: Stats | null
}

const held = new WeakMap<Database, Held>()

/** From now on `db` may commit only while its name still means the file that was opened, and its WAL is the one that others see. */
export function holdTo(db: Database): void {
  const timed = TIMED.has(statfsSync(dirname(db.name)).type)
  held.set(db, { file: identity(db.name), wal: identity(`${db.name}-wal`), timed, folder: null })
}

/** `fresh` is to commit to what `old` had open. */
export function holdLike(fresh: Database, old: Database): void {
  const was = held.get(old)
  if (was !== undefined) held.set(fresh, { ...was })
}

/**
 * Throws where the file that `db` has open, or its WAL, was deleted or replaced: what is committed to a ghost is lost.
 *
 * For the WAL its folder is asked, and the WAL itself only where that has changed: Linux gives a file whose time was asked for
 * another one with the next write, however soon, and then its sync has to write that too
 * (https://docs.kernel.org/filesystems/multigrain-ts.html).
 */
export function refuseGhost(db: Database): void {
  const was = held.get(db)
  if (was === undefined) return
  if (identity(db.name) === was.file && isWalStill(db, was)) return
  throw ghostly(db)
}

/** Why nothing more is committed to what `db` has open. */
export function ghostly({ name }: Database): MigrationError {
  const message = `${name} or its WAL was deleted or replaced while the run was under way; what was not committed is undone; post again`
  return new MigrationError('database-unavailable', message)
}

/** Whether the name of the file that `db` has open means another one by now, or none. */
export function isElsewhere(db: Database): boolean {
  const was = held.get(db)
  return was !== undefined && identity(db.name) !== was.file
}

function isWalStill(db: Database, was: Held): boolean {
  const folder = was.timed ? stat(dirname(db.name)) : undefined
  if (folder !== undefined && isSame(folder, was.folder)) return true
  const wal = identity(`${db.name}-wal`)
  was.wal ??= wal
  if (wal !== was.wal) return false
  was.folder = folder !== undefined && Date.now() - folder.ctimeMs > RACY_MS ? folder : null
  return true
}

function isSame(now: Stats, before: Stats | null): boolean {
  return (
    before !== null &&
    now.ctimeMs === before.ctimeMs &&
    now.mtimeMs === before.mtimeMs &&
    now.ino === before.ino &&
    now.dev === before.dev
  )
}

function identity(file: string): string | null {
  const found = stat(file)
  return found === undefined ? null : `${found.dev} ${found.ino}`
}

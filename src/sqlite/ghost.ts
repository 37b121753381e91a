import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { stat } from './files.ts'

interface Held {
  readonly file: string | null
  /** `null` as long as there is none: SQLite creates it late. */
  wal: string | null
}

const held = new WeakMap<Database, Held>()

/** From now on `db` may commit only while its name still means the file that was opened, and its WAL is the one that others see. */
export function holdTo(db: Database): void {
  held.set(db, { file: identity(db.name), wal: identity(`${db.name}-wal`) })
}

/** `fresh` is to commit to what `old` had open. */
export function holdLike(fresh: Database, old: Database): void {
  const was = held.get(old)
  if (was !== undefined) held.set(fresh, { ...was })
}

/** Throws where the file that `db` has open, or its WAL, was deleted or replaced: what is committed to a ghost is lost. */
export function refuseGhost(db: Database): void {
  const was = held.get(db)
  if (was === undefined) return
  const wal = identity(`${db.name}-wal`)
  was.wal ??= wal
  if (identity(db.name) === was.file && wal === was.wal) return
  throw new MigrationError(
    'database-unavailable',
    `${db.name} or its WAL was deleted or replaced while the run was under way; what was not committed is undone; post again`,
  )
}

function identity(file: string): string | null {
  const found = stat(file)
  return found === undefined ? null : `${found.dev} ${found.ino}`
}

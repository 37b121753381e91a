import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { stat } from './files.ts'

const held = new WeakMap<Database, string>()

/** From now on `db` may commit only while its name still means the file that was opened. */
export function holdTo(db: Database): void {
  held.set(db, identity(db.name))
}

/** Throws where the file that `db` has open was deleted or replaced: what is committed to a ghost is lost. */
export function refuseGhost(db: Database): void {
  const was = held.get(db)
  if (was === undefined || identity(db.name) === was) return
  throw new MigrationError(
    'database-unavailable',
    `${db.name} was deleted or replaced while the run was under way; what was not committed is undone; post again`,
  )
}

function identity(file: string): string {
  const found = stat(file)
  return `${found?.dev} ${found?.ino}`
}

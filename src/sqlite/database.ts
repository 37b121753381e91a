import Sqlite, { type Database, type Options } from 'better-sqlite3'
import { Guard, guardBy } from './guard.ts'
import { type AppliedMigration, type MigrationFunction, Migrator } from './migrator.ts'

export interface DatabaseOptions extends Options {
  /** `false` leaves the journal mode as it is. */
  readonly wal?: boolean
  /** Where each migration is printed before it runs; `console.log` by default. */
  readonly log?: (line: string) => void
}

/** A better-sqlite3 database that migrates itself. */
export interface MigratingDatabase extends Database {
  /** See {@link Migrator.addMigration}. */
  addMigration(id: number, migration: MigrationFunction): void
  /** See {@link Migrator.addRollback}. */
  addRollback(id: number, rollback: MigrationFunction): void
  /** See {@link Migrator.migrate}. */
  migrate(): void
  /** See {@link Migrator.rollback}. */
  rollbackMigration(): void
  /** See {@link Migrator.appliedMigrations}. */
  appliedMigrations(): AppliedMigration[]
  /** See {@link Migrator.lastAppliedMigration}. */
  lastAppliedMigration(): AppliedMigration | undefined
}

/**
 * Opens the database `path` (`:memory:` too), in WAL mode unless `{ wal: false }`, with the methods of a {@link Migrator} on
 * it. Statements that would end a migration's transaction are stopped before they run.
 *
 * @throws what better-sqlite3 throws for a file that cannot be opened, and MigrationError `foreign-table`.
 */
export function database(path: string, options: DatabaseOptions = {}): MigratingDatabase {
  const { wal = true, log, ...rest } = options
  const db = openGuarded(path, rest)
  try {
    if (wal) db.pragma('journal_mode = WAL')
    const migrator = new Migrator(db, log === undefined ? {} : { log })
    return Object.assign(db, {
      addMigration: (id: number, migration: MigrationFunction) => migrator.addMigration(id, migration),
      addRollback: (id: number, rollback: MigrationFunction) => migrator.addRollback(id, rollback),
      migrate: () => migrator.migrate(),
      rollbackMigration: () => migrator.rollback(),
      appliedMigrations: () => migrator.appliedMigrations(),
      lastAppliedMigration: () => migrator.lastAppliedMigration(),
    })
  } catch (error) {
    db.close()
    throw error
  }
}

/** A better-sqlite3 database whose every statement passes a guard; a `verbose` of the caller's hears them too. */
export function openGuarded(path: string, options: Options = {}): Database {
  const guard = new Guard()
  const { verbose } = options
  const hear = (text: unknown) => {
    guard.hear(text)
    verbose?.(text)
  }
  const db = new Sqlite(path, { ...options, verbose: hear })
  guardBy(db, guard)
  return db
}

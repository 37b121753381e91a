import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { logRow, openSession, type Work } from './attempt.ts'
import { Ledger, type LogRow } from './ledger.ts'
import { type RunOptions, type RunResult, runSteps } from './steps.ts'
import { establish } from './tables.ts'

/** A migration or a rollback in code. It is synchronous, and its name is what is printed and recorded. */
export type MigrationFunction = (db: Database) => void

/** A row of `migrations`. */
export interface AppliedMigration {
  readonly id: number
  readonly name: string
  /** `YYYY-MM-DD HH:MM:SS`, UTC. */
  readonly insertedAt: string
}

/**
 * Applies and rolls back numbered migrations, each in a transaction of its own together with its row in `migrations`.
 *
 * Foreign keys are off while a migration runs, so that a table can be rebuilt without losing the children of its rows
 * (https://sqlite.org/lang_altertable.html, section 7); a violation that is new at its end undoes it.
 */
export class Migrator {
  readonly #db: Database
  readonly #log: (line: string) => void
  readonly #migrations = new Map<number, MigrationFunction>()
  readonly #rollbacks = new Map<number, MigrationFunction>()
  #spoiled = false

  /**
   * Over any better-sqlite3 database; creates the table `migrations` where it is missing.
   *
   * @throws MigrationError `foreign-table` where a table of that name belongs to another tool.
   */
  constructor(db: Database, options: { log?: (line: string) => void } = {}) {
    this.#log = options.log ?? console.log
    establish(db, ['migrations'])
    this.#db = db
  }

  /** Made anew for each use: the service may have made the log since. */
  get #ledger(): Ledger {
    return new Ledger(this.#db)
  }

  /** Adds the migration `id`. Throws `invalid-request` for an id that is taken or no whole number, and for a function without a name. */
  addMigration(id: number, migration: MigrationFunction): void {
    add(this.#migrations, 'migration', id, migration)
  }

  /** Adds the rollback of migration `id`. Throws as `addMigration` does. */
  addRollback(id: number, rollback: MigrationFunction): void {
    add(this.#rollbacks, 'rollback', id, rollback)
  }

  /**
   * Applies what is not applied yet, in the order of the ids, and prints each as `0 initDb` before it runs.
   *
   * @throws MigrationError `invalid-migrations` unless the ids are 0, 1, 2, …, before anything runs; else the error of the
   * migration that failed: it is undone, those before it stay.
   */
  migrate(): void {
    this.#refuseTransaction()
    const ids = [...this.#migrations.keys()].sort((a, b) => a - b)
    const wrong = ids.findIndex((id, place) => id !== place)
    if (wrong !== -1) {
      throw new MigrationError(
        'invalid-migrations',
        `migration ${wrong} is missing; the ids must be 0, 1, 2, … without a gap`,
      )
    }
    const applied = new Set(this.#ledger.applied().map(({ id }) => id))
    this.#runAll(ids.filter((id) => !applied.has(id)).map((id) => this.#work(id, 'up')))
  }

  /**
   * Rolls back the migration that was applied last, and prints the rollback as `0 dropCats` before it runs. Where it has
   * none, it says so and changes nothing.
   *
   * @throws MigrationError of the rollback that failed: it is undone.
   */
  rollback(): void {
    this.#refuseTransaction()
    const last = this.lastAppliedMigration()
    if (last === undefined) return
    if (this.#rollbacks.has(last.id)) {
      this.#runAll([this.#work(last.id, 'down')])
      return
    }
    const row = `Migrations(id=${last.id}, name='${last.name}', inserted_at='${last.insertedAt}')`
    this.#log(`No rollback for the latest applied migration found: ${row}`)
  }

  /** The applied migrations in the order of their ids. */
  appliedMigrations(): AppliedMigration[] {
    return this.#ledger.applied()
  }

  /** The applied migration with the highest id. */
  lastAppliedMigration(): AppliedMigration | undefined {
    return this.#ledger.applied().at(-1)
  }

  /**
   * Executes `steps` one after the other until one fails, and tells how each has ended. An attempt that failed is logged,
   * where there is a log, by the caller: this connection may not be fit for it.
   */
  run(steps: readonly Work[], options: RunOptions = {}): RunResult {
    this.#refuseTransaction()
    const session = openSession(this.#db, this.#ledger, options.runId ?? null)
    const result = runSteps(session, steps, { ...options, onLine: this.#log })
    this.#spoiled ||= session.spoiled
    return result
  }

  #runAll(steps: readonly Work[]): void {
    const started = Date.now()
    const { steps: reports, error } = this.run(steps)
    if (error === null) return
    const failed = reports.findIndex(({ status }) => status === 'failed')
    const work = steps[failed]
    if (work !== undefined && this.#db.open && !this.#spoiled) {
      const row = logRow({ runId: null }, work, 'failed', started, reports[failed]?.durationMs ?? 0, error.message)
      logIfPossible(this.#ledger, row)
    }
    throw error
  }

  #work(id: number, direction: 'up' | 'down'): Work {
    const body = (direction === 'up' ? this.#migrations : this.#rollbacks).get(id)
    if (body === undefined) throw new MigrationError('internal', `migration ${id} has no ${direction}`)
    return {
      id,
      name: body.name,
      direction,
      file: null,
      checksum: null,
      keep: null,
      body,
    }
  }

  #refuseTransaction(): void {
    if (this.#spoiled) {
      throw new MigrationError(
        'invalid-request',
        'a forbidden PRAGMA may have changed this connection; open the database anew',
      )
    }
    if (this.#db.inTransaction) {
      throw new MigrationError(
        'invalid-request',
        'the database is inside a transaction; commit or roll back, then migrate',
      )
    }
  }
}

/** What has kept a migration from being made may keep this from being written, and is what the caller should hear of. */
function logIfPossible(ledger: Ledger, row: LogRow): void {
  try {
    ledger.log(row)
  } catch {
    // The error that is thrown then is the migration's.
  }
}

function add(to: Map<number, MigrationFunction>, what: string, id: number, body: MigrationFunction): void {
  const refuse = (message: string) => {
    throw new MigrationError('invalid-request', message)
  }
  if (!Number.isSafeInteger(id) || id < 0) refuse(`the id of a ${what} is a whole number from 0 on, not ${String(id)}`)
  if (typeof body !== 'function' || body.name === '')
    refuse(`${what} ${id} needs a function with a name: the name is recorded`)
  if (to.has(id)) refuse(`${what} ${id} is there already, as ${to.get(id)?.name}; give the new one an id of its own`)
  to.set(id, body)
}

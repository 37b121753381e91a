import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import type { StepReport } from '../core/migration.ts'
import { failure } from './failure.ts'
import type { Place } from './guard.ts'
import { establish, Ledger } from './ledger.ts'
import { executeInside, executeStep, logRow, openSession, type Session, type Work } from './step.ts'
import { inTransaction } from './transaction.ts'

/** A migration or a rollback in code. It is synchronous, and its name is what is printed and recorded. */
export type MigrationFunction = (db: Database) => void

/** A row of `migrations`. */
export interface AppliedMigration {
  readonly id: number
  readonly name: string
  /** `YYYY-MM-DD HH:MM:SS`, UTC. */
  readonly insertedAt: string
}

/** How a run of steps is to go. */
export interface RunOptions {
  readonly runId?: string | null
  /** All steps in one transaction. */
  readonly atomic?: boolean
  /** Hears each step before it runs and after it has ended. */
  readonly onStep?: (step: StepReport) => void
  /** Hears of each statement before it is executed. */
  readonly onStatement?: (work: Work, place: () => Place) => void
}

/** How the steps ended: a report for each, and the error that stopped them. */
export interface RunResult {
  readonly steps: readonly StepReport[]
  readonly error: MigrationError | null
}

/**
 * Applies and rolls back numbered migrations, each in a transaction of its own together with its row in `migrations`.
 *
 * Foreign keys are off while a migration runs, so that a table can be rebuilt without losing the children of its rows
 * (https://sqlite.org/lang_altertable.html, section 7); a violation that is new at its end undoes it.
 */
export class Migrator {
  readonly #db: Database
  readonly #ledger: Ledger
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
    this.#ledger = new Ledger(db)
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
    const { runId = null, atomic = false, onStep = () => {}, onStatement = () => {} } = options
    this.#refuseTransaction()
    let current: Work | undefined
    let clock = performance.now()
    const session = openSession(this.#db, this.#ledger, {
      runId,
      onStatement: (place) => current !== undefined && onStatement(current, place),
    })
    const reports = steps.map((work) => report(work, 'not-run'))
    const tell = (place: number, step: StepReport) => {
      reports[place] = step
      onStep(step)
    }
    const all = (execute: (session: Session, work: Work) => ReturnType<typeof executeStep>) => {
      for (const [place, work] of steps.entries()) {
        current = work
        clock = performance.now()
        this.#log(`${work.id} ${work.name}`)
        tell(place, report(work, 'running'))
        const { status, statements, durationMs } = execute(session, work)
        tell(place, { ...report(work, status), statements, durationMs })
      }
    }
    try {
      if (atomic) inTransaction(this.#db, () => all(executeInside))
      else all(executeStep)
      return { steps: reports, error: null }
    } catch (error) {
      this.#spoiled ||= session.spoiled
      return {
        steps: stopped(reports, atomic, performance.now() - clock),
        error: failure(error, 'internal'),
      }
    }
  }

  #runAll(steps: readonly Work[]): void {
    const started = Date.now()
    const { steps: reports, error } = this.run(steps)
    if (error === null) return
    const failed = reports.findIndex(({ status }) => status === 'failed')
    const work = steps[failed]
    if (work !== undefined && this.#db.open && !this.#spoiled) {
      this.#ledger.log(
        logRow({ runId: null }, work, 'failed', started, reports[failed]?.durationMs ?? 0, error.message),
      )
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

function report({ id, name, direction }: Work, status: StepReport['status']): StepReport {
  return { id, name, direction, status, statements: null, durationMs: null }
}

/** The reports after a failure: the step that ran has failed; in one transaction, none before it has happened. */
function stopped(reports: readonly StepReport[], atomic: boolean, sinceStep: number): StepReport[] {
  const last = reports.findLastIndex(({ status }) => status !== 'not-run')
  return reports.map((one, place) => {
    if (place > last) return one
    if (place === last)
      return {
        ...one,
        status: 'failed',
        durationMs: one.durationMs ?? Math.round(sinceStep * 1000) / 1000,
      }
    return atomic ? { ...one, status: 'not-run', statements: null, durationMs: null } : one
  })
}

import { type Stats, statSync } from 'node:fs'
import Sqlite, { type Database, type Statement } from 'better-sqlite3'
import { errorFrom, MigrationError } from '../core/errors.ts'
import type { History } from '../core/history.ts'
import type { Run, Running, StepReport } from '../core/migration.ts'
import { endStatus } from '../core/outcome.ts'
import { endOfDead } from './dead-runs.ts'
import { failure } from './failure.ts'
import { historyOf, NOTHING } from './history.ts'
import { Ledger } from './ledger.ts'
import { schemaSql } from './live-schema.ts'
import { heldSince, isLocked } from './lock.ts'
import { readBack } from './read-back.ts'
import { type RunRecord, runOf, runRecords } from './run-record.ts'
import { examine } from './tables.ts'

/**
 * Reads what the database remembers, over a read-only connection that never waits for a lock. What it gives is the same
 * object until another connection has committed.
 */
export class RecordReader {
  readonly #file: string
  #open: Open | null = null
  #known: { version: unknown; history: History } | null = null
  /** It was seen just now that what is open is what it should be; whoever asks next need not look again. */
  #looked = false

  constructor(file: string) {
    this.#file = file
  }

  /** Whether `path` leads to the file that is open, which still bears its name. */
  isOf(path: string): boolean {
    this.#looked = false
    try {
      if (this.#open === null || !isSame(this.#open, stat(this.#file))) return false
      this.#looked = path === this.#file || isSame(this.#open, stat(path))
    } catch {
      // It cannot be reached, which is told to whoever asks it something.
    }
    return this.#looked
  }

  /** The history as it was committed last. Throws `database-locked` or `database-unavailable`. */
  read(): History {
    return this.#asking((db, open) => {
      const version = open.version.get()
      if (this.#known !== null && this.#known.version === version) return this.#known.history
      const history = db.transaction(() => historyOf(db))()
      this.#known = { version, history }
      return history
    }, NOTHING)
  }

  /** The down SQL that the log kept for migration `id`. */
  keptDown(id: number): string | null {
    return this.#asking((db) => new Ledger(db).keptDown(id), null)
  }

  /** The SQL of the user's schema, as it was committed last. */
  schema(): string[] {
    return this.#asking((db) => db.transaction(() => schemaSql(db))(), [])
  }

  /** The run that holds the lock. */
  running(): Running | 'unknown' | null {
    try {
      if (!isLocked(this.#file)) return null
      return this.#asking((db) => runningOf(db, this.#file), null) ?? 'unknown'
    } catch {
      return 'unknown'
    }
  }

  /** Whether the record calls a run running, alive or not. */
  hasRunning(): boolean {
    return this.#asking((db) => runRecords(db, `status = 'running'`, [], 1).length > 0, false)
  }

  /** At most `limit` runs, the newest first, from below the id `before` on. */
  runs(limit: number, before: string | null): Run[] {
    return this.#told(before === null ? 'true' : 'id < ?', before === null ? [] : [before], limit)
  }

  run(id: string): Run | null {
    return this.#told('id = ?', [id], 1)[0] ?? null
  }

  /** A run that nobody makes any more, since nobody has the lock, is told as what it will be recorded as. */
  #told(where: string, values: readonly unknown[], limit: number): Run[] {
    const records = (db: Database) => runRecords(db, where, values, limit)
    const found = this.#asking(records, [])
    if (!found.some(({ status }) => status === 'running')) return found.map(runOf)
    const held = this.#mayBeHeld()
    return this.#asking((db) => {
      const living = held ? runningOf(db, this.#file) : null
      // It may have ended between the two questions.
      return records(db).map((one) => {
        if (one.status !== 'running') return runOf(one)
        return one.id === living?.id ? alive(db, one) : dead(db, one)
      })
    }, [])
  }

  #mayBeHeld(): boolean {
    try {
      return isLocked(this.#file)
    } catch {
      // Nobody can say, and a run that lives must not be called dead.
      return true
    }
  }

  close(): void {
    this.#forget()
  }

  #asking<T>(ask: (db: Database, open: Open) => T, absent: T): T {
    try {
      const open = this.#connection()
      return open === null ? absent : ask(open.db, open)
    } catch (error) {
      this.#forget()
      throw namingFile(failure(error, 'database-unavailable'), this.#file)
    }
  }

  /** The connection to the file that bears the name now: it may have been replaced, and a ghost must not be believed. */
  #connection(): Open | null {
    const looked = this.#looked
    this.#looked = false
    if (looked && this.#open !== null) return this.#open
    const found = stat(this.#file)
    if (this.#open !== null && !isSame(this.#open, found)) this.#forget()
    if (found === undefined) return null
    if (!found.isFile()) throw new MigrationError('database-unavailable', `${this.#file} is no file; set DATABASE_URL`)
    this.#open ??= { ...openToAsk(this.#file), dev: found.dev, ino: found.ino, size: found.size }
    return this.#open
  }

  #forget(): void {
    this.#open?.db.close()
    this.#open = null
    this.#known = null
  }
}

/** A file that was cut is no commit, and an open connection would go on with the pages that it has read. */
function isSame({ dev, ino, size }: Open, found: Stats | undefined): boolean {
  return found?.ino === ino && found.dev === dev && found.size === size
}

interface Open {
  readonly db: Database
  /** Another number when another connection has committed (https://sqlite.org/pragma.html#pragma_data_version). */
  readonly version: Statement
  readonly dev: number
  readonly ino: number
  readonly size: number
}

function openToAsk(file: string): Pick<Open, 'db' | 'version'> {
  const db = new Sqlite(file, { readonly: true, timeout: 0 })
  try {
    return { db, version: db.prepare('PRAGMA data_version').pluck() }
  } catch (error) {
    db.close()
    throw error
  }
}

function namingFile(error: MigrationError, file: string): MigrationError {
  const { code, message, details, cause } = error
  return message.includes(file) ? error : new MigrationError(code, `${file}: ${message}`, details, { cause })
}

// Never fs.open: closing such a descriptor would drop the locks that SQLite holds in this process.
function stat(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false })
}

/** A run as it stands that another process makes: its steps are recorded at its end, and in the log one by one. */
function alive(db: Database, record: RunRecord): Run {
  const steps = examine(db, 'migration_log') === 'ours' ? readBack(db, record.id, record.steps, false) : record.steps
  const next = steps.findIndex(({ status }) => status === 'not-run')
  const told = steps.map((one, place): StepReport => (place === next ? { ...one, status: 'running' } : one))
  return { ...runOf(record), steps: told }
}

/** A run as it will be recorded that nobody makes any more. When it died, nobody knows. */
function dead(db: Database, record: RunRecord): Run {
  const { steps, to, error, backup } = endOfDead(db, record)
  return { ...runOf(record), steps, to, error, backup, status: endStatus(error && errorFrom(error)) }
}

/** The run that holds the lock: the last that has not ended. One from before the lock was taken has died. */
function runningOf(db: Database, file: string): Running | null {
  if (examine(db, 'migration_runs') !== 'ours') return null
  const sql = `SELECT id, kind, started_at AS startedAt, actor FROM main.migration_runs WHERE status = 'running' ORDER BY id DESC LIMIT 1`
  const last = db.prepare(sql).get() as Running | undefined
  return last !== undefined && Date.parse(last.startedAt) >= heldSince(file) ? last : null
}

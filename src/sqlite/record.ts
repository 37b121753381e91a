import { type Stats, statSync } from 'node:fs'
import Sqlite, { type Database } from 'better-sqlite3'
import { errorFrom, MigrationError } from '../core/errors.ts'
import type { History } from '../core/history.ts'
import type { Applied, Run, Running } from '../core/migration.ts'
import { endStatus } from '../core/outcome.ts'
import { endOfDead } from './dead-runs.ts'
import { failure } from './failure.ts'
import { Ledger, SUCCESSES } from './ledger.ts'
import { isLocked } from './lock.ts'
import type { RunnerResult } from './messages.ts'
import { type RunRecord, runOf, runRecords } from './run-record.ts'
import { examine, OURS } from './tables.ts'

const NOTHING: History = { applied: [], foreignTable: null }

/**
 * Reads what the database remembers, over a read-only connection that never waits for a lock. What it gives is the same
 * object until another connection has committed.
 */
export class RecordReader {
  readonly #file: string
  #open: { db: Database; dev: number; ino: number } | null = null
  #known: { version: unknown; history: History } | null = null

  constructor(file: string) {
    this.#file = file
  }

  /** The history as it was committed last. Throws `database-locked` or `database-unavailable`. */
  read(): History {
    return this.#asking((db) => {
      const version = db.pragma('data_version', { simple: true })
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

  /** The run that holds the lock. */
  running(): Running | 'unknown' | null {
    try {
      if (!isLocked(this.#file)) return null
      return this.#asking(runningOf, null) ?? 'unknown'
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
    if (!found.some(({ status }) => status === 'running') || this.#mayBeHeld()) return found.map(runOf)
    // It may have ended between the two questions.
    const dead = (db: Database) =>
      records(db).map((one) => (one.status === 'running' ? interrupted(one, endOfDead(db, one)) : runOf(one)))
    return this.#asking(dead, [])
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

  #asking<T>(ask: (db: Database) => T, absent: T): T {
    try {
      const db = this.#connection()
      return db === null ? absent : ask(db)
    } catch (error) {
      this.#forget()
      throw namingFile(failure(error, 'database-unavailable'), this.#file)
    }
  }

  /** The connection to the file that bears the name now: it may have been replaced, and a ghost must not be believed. */
  #connection(): Database | null {
    const found = stat(this.#file)
    if (this.#open !== null && (found?.ino !== this.#open.ino || found.dev !== this.#open.dev)) this.#forget()
    if (found === undefined) return null
    if (!found.isFile()) throw new MigrationError('database-unavailable', `${this.#file} is no file; set DATABASE_URL`)
    this.#open ??= {
      db: new Sqlite(this.#file, { readonly: true, timeout: 0 }),
      dev: found.dev,
      ino: found.ino,
    }
    return this.#open.db
  }

  #forget(): void {
    this.#open?.db.close()
    this.#open = null
    this.#known = null
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

function interrupted(record: RunRecord, end: RunnerResult): Run {
  const { steps, to, error } = end
  // When it died, nobody knows.
  return { ...runOf(record), steps, to, error, status: endStatus(error && errorFrom(error)) }
}

function historyOf(db: Database): History {
  const found = OURS.map((table) => [table, examine(db, table)] as const)
  const foreign = found.find(([, state]) => state === 'foreign')
  if (foreign !== undefined) return { applied: [], foreignTable: foreign[0] }
  const [migrations, log, runs] = found.map(([, state]) => state === 'ours')
  if (!migrations) return NOTHING
  const rows = new Ledger(db).applied()
  if (rows.some(({ id }) => !Number.isSafeInteger(id) || id < 0)) return { applied: [], foreignTable: 'migrations' }
  const logged = log ? lastAttempts(db, runs === true) : new Map<number, Logged>()
  return {
    applied: rows.map((row) => appliedFrom(row, logged.get(row.id))),
    foreignTable: null,
  }
}

interface Logged {
  readonly id: number
  readonly name: string
  readonly checksum: string | null
  readonly kept: 0 | 1
  readonly durationMs: number
  readonly actor: string | null
}

/** The last success of each migration, by its id. */
function lastAttempts(db: Database, withRuns: boolean): Map<number, Logged> {
  const actor = withRuns ? '(SELECT actor FROM main.migration_runs r WHERE r.id = l.run_id)' : 'NULL'
  const sql = `SELECT migration_id AS id, name, checksum, down_sql IS NOT NULL AS kept, duration_ms AS durationMs, ${actor} AS actor
    FROM main.migration_log l WHERE direction = 'up' AND outcome IN ${SUCCESSES} ORDER BY l.id`
  return new Map((db.prepare(sql).all() as Logged[]).map((row) => [row.id, row]))
}

function appliedFrom(row: { id: number; name: string; insertedAt: string }, logged: Logged | undefined): Applied {
  // Under another name it was applied by another program, which keeps no log.
  const own = logged?.name === row.name ? logged : undefined
  return {
    ...row,
    checksum: own?.checksum ?? null,
    keptDown: own?.kept === 1,
    durationMs: own?.durationMs ?? null,
    appliedBy: own?.actor ?? null,
  }
}

function runningOf(db: Database): Running | null {
  if (examine(db, 'migration_runs') !== 'ours') return null
  const sql = `SELECT id, kind, started_at AS startedAt, actor FROM main.migration_runs WHERE status = 'running' ORDER BY id DESC LIMIT 1`
  return (db.prepare(sql).get() as Running | undefined) ?? null
}

import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { type History, isSameHistory } from '../core/history.ts'
import type { Run, Running } from '../core/migration.ts'
import { failure } from './failure.ts'
import { historyOf, NOTHING } from './history.ts'
import { Ledger } from './ledger.ts'
import { LiveConnection, type Open } from './live-connection.ts'
import { schemaSql } from './live-schema.ts'
import { isLocked } from './lock.ts'
import { runOf, runRecords } from './run-record.ts'
import { alive, dead, runningOf } from './told-run.ts'

/** How long who asks for a run waits for its server to say how it ended, in milliseconds. */
const SETTLING_MS = 1_000

/**
 * Reads what the database remembers, over a read-only connection that never waits for a lock. What it gives is the same
 * object until another connection has changed it.
 */
export class RecordReader {
  readonly #file: string
  readonly #live: LiveConnection
  /** The run of another process that was told last, and since when it has not been alive. */
  #seen: { readonly id: string; lostAt: number | null } | null = null
  #inDoubt = false
  #known: { readonly open: Open; readonly version: unknown; readonly history: History } | null = null

  constructor(file: string) {
    this.#file = file
    this.#live = new LiveConnection(file)
  }

  /** Whether `path` leads to the file that is open, which still bears its name. */
  isOf(path: string): boolean {
    return this.#live.isOf(path)
  }

  /** Believes no more that whoever has written to the file was SQLite: the next who asks has it opened anew if it was written. */
  doubt(): void {
    this.#live.doubt()
  }

  /** The answer to `question`, and whether it is doubtful: a run was alive until just now, and its server may be about to say how it has ended. */
  answer<T>(question: (record: RecordReader) => T): { readonly told: T; readonly doubtful: boolean } {
    this.#inDoubt = false
    const told = question(this)
    return { told, doubtful: this.#inDoubt }
  }

  /** The history as it was committed last. Throws `database-locked` or `database-unavailable`. */
  read(): History {
    return this.#asking((db, open) => {
      const version = open.version.get()
      if (this.#known?.open === open && this.#known.version === version) return this.#known.history
      const read = db.transaction(() => historyOf(db))()
      // Most who commit are the application, which leaves our tables alone: then all that is made of them is still good.
      const history = this.#known !== null && isSameHistory(this.#known.history, read) ? this.#known.history : read
      this.#known = { open, version, history }
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

  /** A run that nobody makes any more, since nobody has the lock, is told as what the next one will record. */
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
        return this.#mayLive(one.id, living?.id) ? alive(db, one) : dead(db, one)
      })
    }, [])
  }

  /** Whether a run lives, or was found without a life just now, having been seen with one. */
  #mayLive(id: string, living: string | undefined): boolean {
    if (id === living) this.#seen = { id, lostAt: null }
    if (this.#seen?.id !== id) return false
    if (id === living) return true
    this.#seen.lostAt ??= performance.now()
    const doubtful = performance.now() - this.#seen.lostAt < SETTLING_MS
    this.#inDoubt ||= doubtful
    return doubtful
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
    this.#live.close()
  }

  #asking<T>(ask: (db: Database, open: Open) => T, absent: T): T {
    try {
      const open = this.#live.get()
      return open === null ? absent : ask(open.db, open)
    } catch (error) {
      const told = namingFile(failure(error, 'database-unavailable'), this.#file)
      // Who is locked out for a moment has seen nothing wrong with what is open.
      if (told.code !== 'database-locked') this.#live.close()
      throw told
    }
  }
}

function namingFile(error: MigrationError, file: string): MigrationError {
  const { code, message, details, cause } = error
  return message.includes(file) ? error : new MigrationError(code, `${file}: ${message}`, details, { cause })
}

import { type Stats, statSync } from 'node:fs'
import Sqlite, { type Database, type Statement } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import type { History } from '../core/history.ts'
import type { Run, Running } from '../core/migration.ts'
import { failure } from './failure.ts'
import { historyOf, NOTHING } from './history.ts'
import { Ledger } from './ledger.ts'
import { schemaSql } from './live-schema.ts'
import { isLocked } from './lock.ts'
import { runOf, runRecords } from './run-record.ts'
import { alive, dead, runningOf } from './told-run.ts'

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
      const told = namingFile(failure(error, 'database-unavailable'), this.#file)
      // Who is locked out for a moment has seen nothing wrong with what is open.
      if (told.code !== 'database-locked') this.#forget()
      throw told
    }
  }

  /** The connection to the file that bears the name now: it may have been replaced, and a ghost must not be believed. */
  #connection(): Open | null {
    const looked = this.#looked
    this.#looked = false
    if (looked && this.#open !== null) return this.#open
    const found = stat(this.#file)
    if (this.#open !== null && isSame(this.#open, found)) return this.#open
    if (found === undefined) {
      this.#forget()
      return null
    }
    if (!found.isFile()) throw new MigrationError('database-unavailable', `${this.#file} is no file; set DATABASE_URL`)
    const { dev, ino, size } = found
    const open = { ...openToAsk(this.#file), dev, ino, size }
    this.#forget()
    this.#open = open
    return open
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

/**
 * Opens the file and reads in it, so that the connection before it is closed when this one has its part in the WAL-index: who
 * finds nobody there begins that index anew, and locks others out for it (https://sqlite.org/walformat.html#recovery).
 */
function openToAsk(file: string): Pick<Open, 'db' | 'version'> {
  const db = new Sqlite(file, { readonly: true, timeout: 0 })
  try {
    const version = db.prepare('PRAGMA data_version').pluck()
    version.get()
    return { db, version }
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

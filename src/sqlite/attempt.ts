import { randomBytes } from 'node:crypto'
import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { ask } from './ask.ts'
import { sqliteCode, stepFailure } from './failure.ts'
import { mayHaveForeignKeys } from './foreign-keys.ts'
import type { Ledger, LogRow } from './ledger.ts'
import type { Standing } from './transaction.ts'
import { hasForeignTriggers } from './untouched.ts'
import type { Watched } from './watched.ts'

/** A step ready to be executed. */
export interface Work {
  readonly id: number
  readonly name: string
  readonly direction: 'up' | 'down'
  readonly file: string | null
  readonly checksum: string | null
  /** The down SQL to keep in the log. */
  readonly keep: string | null
  /** A script, a function, or `null` for the down SQL that the log kept. */
  readonly body: string | ((db: Database) => unknown) | null
}

export interface Done {
  readonly status: 'done' | 'skipped'
  readonly statements: number | null
  readonly durationMs: number
}

/** What the steps of one run share. */
export interface Session {
  readonly db: Database
  readonly ledger: Ledger
  readonly runId: string | null
  /** No migration can guess it: who knew it could release the savepoint and set it anew. */
  readonly savepoint: string
  readonly standing: Standing
  /** The current id that the step before has left, which was committed, and the version of the database then. */
  left: { readonly version: unknown; readonly current: number } | null
  onStatement: (statement: Watched) => void
  /** A trigger may write to our tables. Once true it stays so for the run. */
  wary: boolean
  /** A table may have a foreign key. Once true it stays so for the run. */
  related: boolean
  /** A refused statement may have left its mark on the connection. */
  spoiled: boolean
}

export function openSession(db: Database, ledger: Ledger, runId: string | null): Session {
  return {
    db,
    ledger,
    runId,
    savepoint: `schemad_${randomBytes(12).toString('hex')}`,
    standing: { settings: null },
    left: null,
    onStatement: () => {},
    wary: hasForeignTriggers(db),
    related: mayHaveForeignKeys(db),
    spoiled: false,
  }
}

/** The row of `migration_log` for an attempt at `work`. */
export function logRow(
  session: Pick<Session, 'runId'>,
  work: Work,
  outcome: LogRow['outcome'],
  startedAt: number,
  durationMs: number,
  error: string | null = null,
): LogRow {
  return {
    runId: session.runId,
    migrationId: work.id,
    name: work.name,
    direction: work.direction,
    outcome,
    checksum: work.checksum,
    downSql: work.keep,
    startedAt: new Date(startedAt).toISOString(),
    durationMs,
    error,
  }
}

/**
 * Reads the state again, inside the transaction: `false` where an up is applied by now. Throws `history-moved`. Where nobody
 * else has committed since the step before, it is what that has left (https://sqlite.org/pragma.html#pragma_data_version).
 */
export function isDue({ db, ledger, left }: Session, work: Work): boolean {
  const current = left !== null && left.version === versionOf(db) ? left.current : ledger.current()
  const expected = work.direction === 'up' ? work.id - 1 : work.id
  if ((current ?? -1) === expected) return true
  if (work.direction === 'up' && ledger.isApplied(work.id)) return false
  throw new MigrationError(
    'history-moved',
    `the current migration is ${current ?? 'none'} and not ${expected} any more: another program has changed the history; look at it, then post again`,
    { id: work.id, name: work.name, direction: work.direction },
  )
}

/** Another number when another connection has committed. */
export function versionOf(db: Database): unknown {
  return ask(db, 'PRAGMA data_version').pluck().get()
}

/** Does `act`; whatever it throws names the step. */
export function named<T>(work: Work, watched: Watched | undefined, act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw stepFailure(error, work, watched && isSqliteError(error) ? watched.failed(error) : {})
  }
}

/** The refusal of what a migration may not do. */
export function forbidden(message: string): MigrationError {
  return new MigrationError('forbidden-statement', message)
}

/** Whether SQLite itself has said so. */
export function isSqliteError(error: unknown): error is Error & { code: string } {
  return sqliteCode(error) !== null
}

/** Milliseconds to a thousandth. */
export function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

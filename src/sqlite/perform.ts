import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import type { Step } from '../core/migration.ts'
import { reportOf, toldError } from '../core/outcome.ts'
import { logRow, type Work } from './attempt.ts'
import { openGuarded } from './database.ts'
import { failure } from './failure.ts'
import { establish, Ledger } from './ledger.ts'
import type { FromRunner, RunnerResult, ToRunner } from './messages.ts'
import { Migrator } from './migrator.ts'
import { functionOf, isBusyConnection } from './module.ts'
import { recordBegin, recordEnd, recordInterrupted } from './run-record.ts'
import { changesBetween, objectsOf } from './schema-changes.ts'
import type { RunResult } from './steps.ts'

/** The most statements told in a second. */
const TOLD_A_SECOND = 10
/** How often it is tried to record the end of a run, each time for as long as LOCK_TIMEOUT. */
const RECORD_TRIES = 5

/** Makes the run. Throws what kept it from beginning; what happens to its steps is in the result. */
export function performRun(
  { database, lockTimeoutMs }: { database: string; lockTimeoutMs: number },
  { run, steps }: ToRunner & { type: 'run' },
  say: (message: FromRunner) => void,
): RunnerResult {
  let db = openForRun(database, lockTimeoutMs)
  try {
    const started = Date.now()
    const clock = performance.now()
    const startedAt = new Date(started).toISOString()
    const notRun = steps.map((step) => reportOf(step))
    const from = begin(db, () => recordBegin(db, run, startedAt, new Ledger(db).current(), notRun))
    const before = objectsOf(db)
    say({ type: 'begun', startedAt, from, before })
    const works = steps.map(workOf)
    const { steps: reports, error } = migrate(db, works, run, say)
    if (error !== null) db = anew(db, database, lockTimeoutMs)
    const told = toldError(run, reports, error)
    const end: RunnerResult = {
      steps: reports,
      from,
      to: new Ledger(db).current(),
      schemaChanges: changesBetween(before, objectsOf(db)),
      error: told?.toJSON() ?? null,
      startedAt,
      finishedAt: new Date().toISOString(),
      durationMs: Math.round((performance.now() - clock) * 1000) / 1000,
    }
    record(db, () => {
      const failed = reports.findIndex(({ status }) => status === 'failed')
      const work = works[failed]
      if (work && error) {
        new Ledger(db).log(
          logRow({ runId: run.id }, work, 'failed', started, reports[failed]?.durationMs ?? 0, error.message),
        )
      }
      recordEnd(db, run, end)
    })
    return end
  } finally {
    db.close()
  }
}

/** The connection of a run: in WAL, each commit synced. */
function openForRun(database: string, lockTimeoutMs: number): Database {
  const db = openGuarded(database, { timeout: lockTimeoutMs })
  try {
    switchToWal(db, lockTimeoutMs)
    db.pragma('synchronous = FULL')
    // Once, and not back and forth with each step.
    db.pragma('foreign_keys = OFF')
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** A reader of a database in another journal mode keeps it from being switched, and SQLite does not always wait for it. */
function switchToWal(db: Database, lockTimeoutMs: number): void {
  const deadline = performance.now() + lockTimeoutMs
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (;;) {
    try {
      const mode = db.pragma('journal_mode = WAL', { simple: true })
      if (mode === 'wal') return
      throw new MigrationError(
        'database-unavailable',
        `the database stays in the journal mode ${mode}; WAL needs a local file system`,
      )
    } catch (error) {
      const locked = failure(error, 'internal').code === 'database-locked'
      if (!locked || performance.now() >= deadline) throw error
      Atomics.wait(pause, 0, 0, 20)
    }
  }
}

/** Our tables, the ends of runs that have died, and the row of this run, in one commit. Gives the current id. */
function begin(db: Database, recordRow: () => void): number | null {
  const write = db.transaction(() => {
    establish(db, ['migrations', 'migration_log', 'migration_runs'])
    recordInterrupted(db, new Date().toISOString())
    recordRow()
    return new Ledger(db).current()
  })
  return write.immediate()
}

function migrate(
  db: Database,
  works: readonly Work[],
  run: { id: string; atomic: boolean },
  say: (message: FromRunner) => void,
): RunResult {
  const told: number[] = []
  return new Migrator(db, { log: () => {} }).run(works, {
    runId: run.id,
    atomic: run.atomic,
    onStep: (step) => say({ type: 'step', step }),
    onStatement: (_, place) => {
      const now = performance.now()
      if (told.length >= TOLD_A_SECOND && now - (told[0] ?? 0) < 1000) return
      if (told.push(now) > TOLD_A_SECOND) told.shift()
      const { line, text } = place()
      say({ type: 'statement', line, text })
    },
  })
}

/** After a failure another connection: a refused PRAGMA may have changed the old one. */
function anew(db: Database, database: string, lockTimeoutMs: number): Database {
  try {
    db.close()
  } catch (error) {
    // A module has left an iterator open. Its transaction is rolled back, and this process ends soon.
    if (!isBusyConnection(error)) throw error
  }
  const fresh = openGuarded(database, { timeout: lockTimeoutMs })
  fresh.pragma('synchronous = FULL')
  // What a failed step has left in the WAL would keep a full disk full. Busy readers only put it off.
  fresh.pragma('wal_checkpoint(TRUNCATE)')
  return fresh
}

/**
 * Writes the end of a run, as patiently as an application that holds the write lock makes it necessary. The steps are
 * committed and told whether or not this succeeds; the next run finds what is missing.
 */
function record(db: Database, write: () => void): void {
  for (let tries = 1; ; tries += 1) {
    try {
      db.transaction(write).immediate()
      return
    } catch (error) {
      const locked = failure(error, 'internal').code === 'database-locked'
      if (locked && tries < RECORD_TRIES) continue
      console.error('the end of the run could not be recorded:', error)
      return
    }
  }
}

function workOf({ id, name, direction, source, checksum, keep }: Step): Work {
  const body = source?.kind === 'code' ? functionOf(source, direction) : (source?.text ?? null)
  return { id, name, direction, file: source?.file ?? null, checksum, keep, body }
}

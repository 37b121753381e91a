import type { Database } from 'better-sqlite3'
import type { MigrationError } from '../core/errors.ts'
import { hasHappened, reportOf, toldError } from '../core/outcome.ts'
import { logRow, type Work } from './attempt.ts'
import { makeBackup, type OwnBackup } from './backup.ts'
import { sweep } from './backup-files.ts'
import type { Clock } from './clock.ts'
import { type Claimed, cutWal, openAnew, openForRun, RECORD_TRIES, record, renew } from './connection.ts'
import { recordInterrupted } from './dead-runs.ts'
import { failure, tellable } from './failure.ts'
import { stat } from './files.ts'
import { refuseGhost } from './ghost.ts'
import { Ledger } from './ledger.ts'
import type { Assignment, RunnerResult, RunRow, Told } from './messages.ts'
import { executeAll, workOf } from './parts.ts'
import { recordBegin, recordEnd, UNCHANGED } from './run-record.ts'
import { changesBetween, objectsOf } from './schema-changes.ts'
import type { RunResult } from './steps.ts'
import { establish, examine, OURS } from './tables.ts'
import type { Telling } from './telling.ts'

/** Makes the run. Throws what kept it from beginning; what happens to its steps is in the result. */
export async function performRun(
  claimed: Claimed,
  { run, steps, backups }: Assignment & { type: 'run' },
  telling: Telling,
): Promise<Told> {
  let db = openForRun(claimed)
  try {
    const { clock } = claimed
    sweep(backups, claimed.database)
    recordInterrupted(db, backups)
    // Of a run that died much may be left there, and a backup wants room.
    if ((stat(`${claimed.database}-wal`)?.size ?? 0) > 0) cutWal(db)
    const backup = await makeBackup(db, claimed.database, backups, run.id)
    const { startedAt } = clock
    const notRun = steps.map((step) => reportOf(step))
    const from = begin(db, backup, (current) => {
      recordBegin(db, run, startedAt, current, { atomic: run.atomic, steps: notRun, backup: backup?.name ?? null })
    })
    const unpublished = publish(backup, notRun)
    const before = objectsOf(db)
    telling.say({ type: 'begun', startedAt, from, before, backup: backup?.name ?? null })
    const works = steps.map(workOf)
    const fresh = () => {
      db = renew(db, claimed)
      return db
    }
    const { steps: reports, error } =
      unpublished ?? withoutRoom(db, notRun) ?? executeAll(db, works, run, telling, { renew: fresh })
    if (error !== null) {
      const fresh = openAnew(db, claimed)
      if (fresh === null) return withoutFile({ steps: reports, error }, run, from, backup, clock)
      db = fresh
    }
    const kept = backup?.settle(db, reports.some(hasHappened)) ?? null
    const end: RunnerResult = {
      steps: reports,
      from,
      to: currentIn(db),
      schemaChanges: changesBetween(before, objectsOf(db)),
      error: toldError(run, reports, error && tellable(error))?.toJSON() ?? null,
      backup: kept,
      ...clock.stop(),
    }
    // Whoever ends this process while it waits for the write lock is not why the run has failed.
    if (error !== null) telling.say({ type: 'ending', result: end })
    const recorded = record(
      db,
      () => {
        if (error !== null) logFailure(db, run, works, reports, clock.started, error)
        recordEnd(db, run, end)
      },
      RECORD_TRIES,
    )
    cutWal(db)
    return { result: end, recorded }
  } finally {
    db.close()
  }
}

/** What kept the backup from getting its name: the run has been recorded by then, and so is this. */
function publish(backup: OwnBackup | null, steps: RunResult['steps']): RunResult | null {
  try {
    backup?.publish()
    return null
  } catch (error) {
    return { steps, error: failure(error, 'internal') }
  }
}

/** The end of a run whose file was deleted or replaced, with all that it had done: there is nothing to record it in. The backup stays. */
function withoutFile(
  { steps, error }: RunResult,
  run: RunRow,
  from: number | null,
  backup: OwnBackup | null,
  clock: Clock,
): Told {
  const result: RunnerResult = {
    steps,
    from,
    to: null,
    schemaChanges: UNCHANGED,
    error: toldError(run, steps, error)?.toJSON() ?? null,
    backup: backup?.name ?? null,
    ...clock.stop(),
  }
  return { result, recorded: true }
}

/** A run that could not even have its beginning checkpointed could not clear up after itself on a full disk. */
function withoutRoom(db: Database, steps: RunResult['steps']): RunResult | null {
  const error = cutWal(db)
  return error?.code === 'insufficient-storage' ? { steps, error } : null
}

/** The current id of a file that may be another than the one that the run began with. */
export function currentIn(db: Database): number | null {
  return examine(db, 'migrations') === 'ours' ? new Ledger(db).current() : null
}

/** Our tables, and what `write` writes into them, in one commit. Gives the current id. */
export function begin(db: Database, backup: OwnBackup | null, write: (current: number | null) => void): number | null {
  const whole = db.transaction(() => {
    establish(db, OURS)
    const current = new Ledger(db).current()
    write(current)
    refuseGhost(db)
    return current
  })
  try {
    return whole.immediate()
  } catch (error) {
    backup?.drop()
    throw error
  }
}

function logFailure(
  db: Database,
  run: RunRow,
  works: readonly Work[],
  reports: RunResult['steps'],
  started: number,
  error: MigrationError,
): void {
  const failed = reports.findIndex(({ status }) => status === 'failed')
  const work = works[failed]
  if (work === undefined) return
  const durationMs = reports[failed]?.durationMs ?? 0
  new Ledger(db).log(logRow({ runId: run.id }, work, 'failed', started, durationMs, error.message))
}

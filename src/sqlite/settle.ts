import { existsSync } from 'node:fs'
import type { Database } from 'better-sqlite3'
import { errorFrom, type RunError } from '../core/errors.ts'
import type { Step, StepReport } from '../core/migration.ts'
import { hasHappened, toldError } from '../core/outcome.ts'
import { logRow } from './attempt.ts'
import { settleBackup } from './backup.ts'
import { sweep } from './backup-files.ts'
import { cutWal, record } from './connection.ts'
import { openGuarded } from './database.ts'
import { Ledger } from './ledger.ts'
import type { RunnerResult, Told, ToRunner } from './messages.ts'
import { currentIn } from './perform.ts'
import { isComplete, readBack, withFailed } from './read-back.ts'
import { endOf, recordBegin, recordEnd, runRecords, UNCHANGED } from './run-record.ts'
import { changesBetween, objectsOf } from './schema-changes.ts'
import { examine } from './tables.ts'

/**
 * Reads back what a run has really done whose runner has died, and writes its end. To read takes no lock: whoever has one by
 * now, an application or the next run, delays the record and never the truth.
 */
export function settleRun(words: Settle): Told {
  const { database, lockTimeoutMs, run, backups } = words
  // What the dead one had half made.
  sweep(backups, database, run.id)
  if (!existsSync(database)) return withoutFile(words)
  const db = openGuarded(database, { timeout: lockTimeoutMs, fileMustExist: true })
  try {
    db.pragma('synchronous = FULL')
    const [row] = runRecords(db, 'id = ?', [run.id])
    // That nobody makes it any more is all that another one could know of it, and write.
    if (row && row.status !== 'running' && row.status !== 'interrupted') {
      return { result: endOf(row), recorded: true }
    }
    // Its beginning was in the file before it was told: what has nothing of it is another file.
    if (row === undefined && words.known.before !== null) return withoutFile(words)
    const result = words.told ?? endBy(db, words, row?.backup ?? null)
    db.pragma(`busy_timeout = ${RECORD_MS}`)
    const recorded = examine(db, 'migration_runs') !== 'ours' || record(db, () => write(db, words, result), 1)
    // What the dead one had written and not committed would else stay there until the next run.
    cutWal(db)
    return { result, recorded }
  } finally {
    db.close()
  }
}

type Settle = ToRunner & { type: 'settle' }

/** The end of a run whose file was deleted or replaced: there is nothing to record it in. The backup stays, which may be all that is left. */
function withoutFile({ run, steps, known, told }: Settle): Told {
  const reports = withFailed(known.reports, run.atomic)
  const error = toldError(run, reports, errorFrom(placed(known.error, reports, steps)))
  const end: RunnerResult = {
    steps: reports,
    from: known.from,
    to: null,
    schemaChanges: UNCHANGED,
    error: error?.toJSON() ?? null,
    backup: known.backup,
    ...endedNow(known),
  }
  return { result: told ?? end, recorded: true }
}

/** How a run has ended, by the record and by what was heard of it. */
function endBy(db: Database, { database, run, steps, known, backups }: Settle, named: string | null): RunnerResult {
  // A runner may have died between naming its backup and saying so.
  const backup = known.backup ?? named
  const begun = known.reports.some(({ status }) => status !== 'not-run')
  const reports = readBack(db, run.id, known.reports, begun)
  const error = isComplete(reports) ? null : toldError(run, reports, errorFrom(placed(known.error, reports, steps)))
  return {
    steps: reports,
    from: known.from,
    to: currentIn(db),
    schemaChanges: changesBetween(known.before ?? objectsOf(db), objectsOf(db)),
    error: error?.toJSON() ?? null,
    backup: settleBackup(db, backups, database, { name: backup, runId: run.id }, reports.some(hasHappened)),
    ...endedNow(known),
  }
}

function endedNow({ startedAt }: Settle['known']) {
  return { startedAt, finishedAt: new Date().toISOString(), durationMs: Date.now() - Date.parse(startedAt) }
}

/** The error with the step that has failed: where the runner was when it died, it may not have got round to saying. */
function placed(error: RunError, reports: readonly StepReport[], steps: readonly Step[]): RunError {
  const failed = reports.find(({ status }) => status === 'failed')
  if (failed === undefined || failed.id === error.id) return error
  const { id, name, direction } = failed
  const file = steps.find((step) => step.id === id)?.source?.file ?? null
  return { ...error, id, name, direction, file, line: null, statement: null, sqlite: null }
}

/** How long the answer waits for the record, in milliseconds; after that it is written later. */
const RECORD_MS = 1_000

function write(db: Database, { run, steps, known }: Settle, end: RunnerResult): void {
  const ledger = new Ledger(db)
  const failed = end.steps.find(({ status }) => status === 'failed')
  const step = steps.find(({ id, direction }) => id === failed?.id && direction === failed.direction)
  // The next run may have found it dead, and have said so.
  if (failed && step && !ledger.hasFailed(run.id, failed.id)) {
    const work = { ...step, file: step.source?.file ?? null, body: null }
    const started = Date.parse(known.startedAt)
    const message = end.error?.message ?? known.error.message
    ledger.log(logRow({ runId: run.id }, work, 'failed', started, failed.durationMs ?? 0, message))
  }
  // It may have died before its beginning was recorded.
  if (runRecords(db, 'id = ?', [run.id]).length === 0) {
    recordBegin(db, run, known.startedAt, known.from, { atomic: run.atomic, steps: end.steps })
  }
  recordEnd(db, run, end)
}

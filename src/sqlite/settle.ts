import type { Database } from 'better-sqlite3'
import { errorFrom } from '../core/errors.ts'
import { hasHappened, toldError } from '../core/outcome.ts'
import { logRow } from './attempt.ts'
import { settleBackup } from './backup.ts'
import { sweep } from './backup-files.ts'
import { type Claimed, record } from './connection.ts'
import { openGuarded } from './database.ts'
import { Ledger } from './ledger.ts'
import type { RunnerResult, ToRunner } from './messages.ts'
import { currentIn } from './perform.ts'
import { isComplete, readBack } from './read-back.ts'
import { recordEnd, recordedEnd, runRecords } from './run-record.ts'
import { changesBetween, objectsOf } from './schema-changes.ts'
import { examine } from './tables.ts'

/**
 * Reads back what a run has really done whose runner has died, and writes its end. To read takes no lock: an application that
 * holds one delays the record, which the next run completes, and never the truth.
 */
export function settleRun({ database, lockTimeoutMs }: Claimed, words: ToRunner & { type: 'settle' }): RunnerResult {
  const { run, known, backups } = words
  // What the dead one had half made.
  sweep(backups, database)
  const db = openGuarded(database, { timeout: lockTimeoutMs })
  try {
    db.pragma('synchronous = FULL')
    const ended = recordedEnd(db, run.id)
    if (ended !== null) return ended
    // A runner may have died between naming its backup and saying so.
    const backup = known.backup ?? runRecords(db, 'id = ?', [run.id])[0]?.backup ?? null
    const begun = known.reports.some(({ status }) => status !== 'not-run')
    const reports = readBack(db, run.id, known.reports, begun)
    const error = isComplete(reports) ? null : toldError(run, reports, errorFrom(known.error))
    const end: RunnerResult = {
      steps: reports,
      from: known.from,
      to: currentIn(db),
      schemaChanges: changesBetween(known.before ?? objectsOf(db), objectsOf(db)),
      error: error?.toJSON() ?? null,
      backup: settleBackup(backups, database, backup, reports.some(hasHappened)),
      startedAt: known.startedAt,
      finishedAt: new Date().toISOString(),
      durationMs: Date.now() - Date.parse(known.startedAt),
    }
    if (examine(db, 'migration_runs') === 'ours') record(db, () => write(db, words, end), 1)
    return end
  } finally {
    db.close()
  }
}

function write(db: Database, { run, steps, known }: ToRunner & { type: 'settle' }, end: RunnerResult): void {
  const failed = end.steps.find(({ status }) => status === 'failed')
  const step = steps.find(({ id, direction }) => id === failed?.id && direction === failed.direction)
  if (failed && step) {
    const work = { ...step, file: step.source?.file ?? null, body: null }
    const started = Date.parse(known.startedAt)
    new Ledger(db).log(logRow({ runId: run.id }, work, 'failed', started, failed.durationMs ?? 0, known.error.message))
  }
  recordEnd(db, run, end)
}

import type { Database } from 'better-sqlite3'
import { errorFrom } from '../core/errors.ts'
import type { StepReport } from '../core/migration.ts'
import { toldError } from '../core/outcome.ts'
import { logRow } from './attempt.ts'
import { openGuarded } from './database.ts'
import { examine, Ledger } from './ledger.ts'
import type { RunnerResult, ToRunner } from './messages.ts'
import { recordEnd, recordedEnd } from './run-record.ts'
import { changesBetween, objectsOf } from './schema-changes.ts'

/**
 * Reads back what a run has really done whose runner has died, and writes its end. A step is done when the log has its row,
 * since both were one commit; nobody's word for it counts, nor the lack of one.
 */
export function settleRun(
  { database, lockTimeoutMs }: { database: string; lockTimeoutMs: number },
  { run, steps, known }: ToRunner & { type: 'settle' },
): RunnerResult {
  const db = openGuarded(database, { timeout: lockTimeoutMs })
  try {
    db.pragma('synchronous = FULL')
    const ended = recordedEnd(db, run.id)
    if (ended !== null) return ended
    const reports = readBack(db, run.id, known.reports)
    const complete = reports.every(({ status }) => status === 'done' || status === 'skipped')
    const error = complete ? null : toldError(run, reports, errorFrom(known.error))
    const end: RunnerResult = {
      steps: reports,
      from: known.from,
      to: examine(db, 'migrations') === 'ours' ? new Ledger(db).current() : null,
      schemaChanges: changesBetween(known.before ?? objectsOf(db), objectsOf(db)),
      error: error?.toJSON() ?? null,
      startedAt: known.startedAt,
      finishedAt: new Date().toISOString(),
      durationMs: Date.now() - Date.parse(known.startedAt),
    }
    const write = db.transaction(() => {
      const failed = reports.find(({ status }) => status === 'failed')
      const step = steps.find(({ id, direction }) => id === failed?.id && direction === failed.direction)
      if (failed && step) {
        const work = { ...step, file: step.source?.file ?? null, body: null }
        const row = logRow(
          { runId: run.id },
          work,
          'failed',
          Date.parse(known.startedAt),
          failed.durationMs ?? 0,
          known.error.message,
        )
        new Ledger(db).log(row)
      }
      recordEnd(db, run, end)
    })
    if (examine(db, 'migration_runs') === 'ours') write.immediate()
    return end
  } finally {
    db.close()
  }
}

/** The steps with what the log says of each. Of those that it does not know, the one that ran has failed. */
function readBack(db: Database, runId: string, heard: readonly StepReport[]): StepReport[] {
  const sql = `SELECT migration_id, duration_ms FROM main.migration_log WHERE run_id = ? AND outcome = 'done'`
  const rows = examine(db, 'migration_log') === 'ours' ? db.prepare(sql).raw().all(runId) : []
  const done = new Map(rows as [number, number][])
  const begun = heard.some(({ status }) => status !== 'not-run')
  const unknown = heard.filter(({ id, status }) => status !== 'skipped' && !done.has(id))
  const failed = unknown.find(({ status }) => status === 'running') ?? (begun ? unknown[0] : undefined)
  return heard.map((one): StepReport => {
    if (one.status === 'skipped') return one
    const durationMs = done.get(one.id)
    if (durationMs !== undefined) return { ...one, status: 'done', durationMs }
    return {
      ...one,
      status: one === failed ? 'failed' : 'not-run',
      statements: null,
      durationMs: null,
    }
  })
}

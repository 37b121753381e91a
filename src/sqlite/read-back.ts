import type { Database } from 'better-sqlite3'
import type { StepReport } from '../core/migration.ts'
import { examine } from './tables.ts'

/**
 * The steps of the run `runId` with what the log says of each. A step has happened when the log has its row, since both were
 * one commit; nobody's word for it counts, nor the lack of one. Of the others, the one that ran has failed.
 *
 * @param heard the steps as they were told last.
 * @param begun whether one of those that have not happened must have run: the first that nobody has told to be over, else the
 * last, as in the commit of all.
 */
export function readBack(db: Database, runId: string, heard: readonly StepReport[], begun: boolean): StepReport[] {
  const sql = `SELECT migration_id, outcome, duration_ms FROM main.migration_log WHERE run_id = ? AND outcome IN ('done', 'recorded')`
  const rows = examine(db, 'migration_log') === 'ours' ? db.prepare(sql).raw().all(runId) : []
  const happened = new Map((rows as [number, 'done' | 'recorded', number][]).map((row) => [row[0], row]))
  const unknown = heard.filter(({ id, status }) => status !== 'skipped' && !happened.has(id))
  const next = unknown.find(({ status }) => status === 'not-run') ?? unknown.at(-1)
  const failed = unknown.find(({ status }) => status === 'running') ?? (begun ? next : undefined)
  return heard.map((one): StepReport => {
    if (one.status === 'skipped') return one
    const [, status, durationMs] = happened.get(one.id) ?? []
    if (status !== undefined && durationMs !== undefined) {
      return { ...one, status, durationMs: status === 'done' ? durationMs : null }
    }
    return { ...one, status: one === failed ? 'failed' : 'not-run', statements: null, durationMs: null }
  })
}

/** Whether nothing was left to do. A run without steps is a restore, whose end is recorded in its own commit. */
export function isComplete(reports: readonly StepReport[]): boolean {
  const over: readonly string[] = ['done', 'recorded', 'skipped'] satisfies StepReport['status'][]
  return reports.length > 0 && reports.every(({ status }) => over.includes(status))
}

/** The steps as they were `heard` last of a run that has died, where nothing else tells of them: the one that ran has failed. */
export function withFailed(heard: readonly StepReport[], atomic: boolean): StepReport[] {
  const running = heard.findIndex(({ status }) => status === 'running')
  // It may have died before it said that the next one had begun; or in the commit of all.
  const begun = heard.some(({ status }) => status !== 'not-run')
  const next = heard.findIndex(({ status }) => status === 'not-run')
  const ran = running === -1 && begun ? (next === -1 && atomic ? heard.length - 1 : next) : running
  return heard.map((one, place): StepReport => {
    if (place === ran) return { ...one, status: 'failed' }
    return atomic && place < ran ? { ...one, status: 'not-run', statements: null, durationMs: null } : one
  })
}

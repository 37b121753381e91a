import type { Database } from 'better-sqlite3'
import { MigrationError, type RunError } from '../core/errors.ts'
import type { RunStatus, StepReport } from '../core/migration.ts'
import { endStatus } from '../core/outcome.ts'
import { examine } from './ledger.ts'
import type { RunnerResult, RunRow } from './messages.ts'

/** Writes the row of a run that is about to execute its first step. */
export function recordBegin(
  db: Database,
  run: RunRow,
  startedAt: string,
  from: number | null,
  steps: readonly StepReport[],
): void {
  db.prepare(
    `INSERT INTO main.migration_runs
      (id, kind, parameters, status, actor, request_id, created_at, started_at, from_id, result)
    VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?, ?)`,
  ).run(
    run.id,
    run.kind,
    JSON.stringify(run.parameters),
    run.actor,
    run.requestId,
    run.createdAt,
    startedAt,
    from,
    JSON.stringify({ atomic: run.atomic, steps }),
  )
}

/** Writes how a run has ended. */
export function recordEnd(db: Database, run: RunRow, end: RunnerResult): void {
  const status = endStatus(end.error === null ? null : new MigrationError(end.error.code, end.error.message, end.error))
  const result = {
    atomic: run.atomic,
    steps: end.steps,
    schemaChanges: end.schemaChanges,
  }
  writeEnd(db, run.id, status, end.finishedAt, end.durationMs, end.to, end.error, result)
}

/**
 * Marks every run as interrupted that the record calls running. Only the holder of the run lock may call this: that it has
 * the lock proves that none of them is alive.
 */
export function recordInterrupted(db: Database, now: string): void {
  const error: RunError = {
    code: 'shutting-down',
    message:
      'this run ended without a record of its end, as when its server dies; what was not committed was rolled back',
  }
  db.prepare(
    `UPDATE main.migration_runs SET status = 'interrupted', finished_at = ?, error = ? WHERE status = 'running'`,
  ).run(now, JSON.stringify(error))
}

/** How the run `id` has ended; `null` where the record does not say so. */
export function recordedEnd(db: Database, id: string): RunnerResult | null {
  if (examine(db, 'migration_runs') !== 'ours') return null
  const sql = `SELECT from_id AS "from", to_id AS "to", error, started_at AS startedAt, finished_at AS finishedAt,
    duration_ms AS durationMs, result FROM main.migration_runs WHERE id = ? AND status <> 'running'`
  const row = db.prepare(sql).get(id) as
    | (Omit<RunnerResult, 'error'> & { error: string | null; result: string })
    | undefined
  if (row === undefined) return null
  const { result, error, ...rest } = row
  return { ...rest, ...JSON.parse(result), error: error && JSON.parse(error) }
}

function writeEnd(
  db: Database,
  id: string,
  status: RunStatus,
  finishedAt: string,
  durationMs: number,
  to: number | null,
  error: RunError | null,
  result: unknown,
): void {
  db.prepare(
    `UPDATE main.migration_runs SET status = ?, finished_at = ?, duration_ms = ?, to_id = ?, error = ?, result = ? WHERE id = ?`,
  ).run(status, finishedAt, durationMs, to, error && JSON.stringify(error), JSON.stringify(result), id)
}

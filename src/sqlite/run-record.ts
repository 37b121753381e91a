import type { Database } from 'better-sqlite3'
import { errorFrom, type RunError } from '../core/errors.ts'
import type { RowCount, Run, RunKind, RunStatus, SchemaChanges, StepReport } from '../core/migration.ts'
import { endStatus } from '../core/outcome.ts'
import type { RunnerResult, RunRow } from './messages.ts'
import { examine } from './tables.ts'

/** What the column `result` holds, as JSON. */
interface Result {
  readonly atomic: boolean
  readonly steps: readonly StepReport[]
  readonly schemaChanges?: SchemaChanges
  readonly backup?: string | null
  readonly rowCounts?: readonly RowCount[]
}

/** A row of `migration_runs`, read. */
export interface RunRecord extends Omit<RunRow, 'kind'> {
  readonly kind: RunKind
  readonly status: RunStatus
  readonly startedAt: string
  readonly finishedAt: string | null
  readonly durationMs: number | null
  readonly from: number | null
  readonly to: number | null
  readonly error: RunError | null
  readonly steps: readonly StepReport[]
  readonly schemaChanges: SchemaChanges
  readonly backup: string | null
  readonly rowCounts: readonly RowCount[] | undefined
}

/** Writes the row of a run that is about to execute its first step. */
export function recordBegin(db: Database, run: RunRow, startedAt: string, from: number | null, result: Result): void {
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
    JSON.stringify(result),
  )
}

/** Writes how a run has ended. */
export function recordEnd(db: Database, run: RunRow, end: RunnerResult): void {
  const status = endStatus(end.error && errorFrom(end.error))
  const { steps, schemaChanges, backup, rowCounts } = end
  const result: Result = { atomic: run.atomic, steps, schemaChanges, backup, ...(rowCounts && { rowCounts }) }
  db.prepare(
    `UPDATE main.migration_runs SET status = ?, finished_at = ?, duration_ms = ?, to_id = ?, error = ?, result = ? WHERE id = ?`,
  ).run(
    status,
    end.finishedAt,
    end.durationMs,
    end.to,
    end.error && JSON.stringify(end.error),
    JSON.stringify(result),
    run.id,
  )
}

/** The rows for which `where` holds, the newest first. None where there is no such table. */
export function runRecords(db: Database, where: string, values: readonly unknown[], limit = -1): RunRecord[] {
  if (examine(db, 'migration_runs') !== 'ours') return []
  const sql = `SELECT id, kind, parameters, status, actor, request_id AS requestId, created_at AS createdAt,
    started_at AS startedAt, finished_at AS finishedAt, duration_ms AS durationMs, from_id AS "from", to_id AS "to", error, result
    FROM main.migration_runs WHERE ${where} ORDER BY id DESC LIMIT ?`
  return (db.prepare(sql).all(...values, limit) as (RunRecord & { result: string })[]).map(parsed)
}

/** How the run `id` has ended; `null` where the record does not say so. */
export function recordedEnd(db: Database, id: string): RunnerResult | null {
  const [record] = runRecords(db, `id = ? AND status <> 'running'`, [id])
  return record === undefined ? null : endOf(record)
}

/** The end that a row tells. */
export function endOf(record: RunRecord): RunnerResult {
  const { steps, from, to, schemaChanges, error, backup, rowCounts, startedAt, finishedAt, durationMs } = record
  const end = { steps, from, to, schemaChanges, error, backup, startedAt }
  return {
    ...end,
    ...(rowCounts && { rowCounts }),
    finishedAt: finishedAt ?? startedAt,
    durationMs,
  }
}

/** A row as a run is told. */
export function runOf({ parameters: _, rowCounts, ...record }: RunRecord): Run {
  return { ...record, rehearsal: false, ...(rowCounts && { rowCounts }) }
}

/** A row that somebody else has written must not hide the others. */
function readable<T>(text: string, otherwise: T): T {
  try {
    return (JSON.parse(text) as T) ?? otherwise
  } catch {
    return otherwise
  }
}

/** Of a run of which nothing more can be told. */
export const UNCHANGED: SchemaChanges = { created: [], dropped: [], altered: [] }

function parsed({ result, ...row }: RunRecord & { result: string }): RunRecord {
  const text = row as unknown as { parameters: string; error: string | null }
  const {
    atomic = false,
    steps = [],
    schemaChanges = UNCHANGED,
    backup = null,
    rowCounts,
  } = readable<Partial<Result>>(result, {})
  return {
    ...row,
    parameters: readable(text.parameters, {}),
    error: text.error ? readable<RunError | null>(text.error, null) : null,
    atomic,
    steps,
    schemaChanges,
    backup,
    rowCounts,
  }
}

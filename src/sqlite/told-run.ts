import type { Database } from 'better-sqlite3'
import { errorFrom } from '../core/errors.ts'
import type { Run, Running, StepReport } from '../core/migration.ts'
import { endStatus } from '../core/outcome.ts'
import { endOfDead } from './dead-runs.ts'
import { heldSince } from './lock.ts'
import { readBack } from './read-back.ts'
import { type RunRecord, runOf } from './run-record.ts'
import { examine } from './tables.ts'

/** A run as it stands that another process makes: its steps are recorded at its end, and in the log one by one. */
export function alive(db: Database, record: RunRecord): Run {
  const steps = examine(db, 'migration_log') === 'ours' ? readBack(db, record.id, record.steps, false) : record.steps
  // Of several in one transaction nobody else can see which one it is.
  const seen = !record.atomic || steps.length === 1
  const next = seen ? steps.findIndex(({ status }) => status === 'not-run') : -1
  const told = steps.map((one, place): StepReport => (place === next ? { ...one, status: 'running' } : one))
  return { ...runOf(record), steps: told }
}

/** A run as it will be recorded that nobody makes any more. When it died, nobody knows. */
export function dead(db: Database, record: RunRecord): Run {
  const { steps, to, error, backup } = endOfDead(db, record)
  return { ...runOf(record), steps, to, error, backup, status: endStatus(error && errorFrom(error)) }
}

/** The run that holds the lock: the last that has not ended. One from before the lock was taken has died. */
export function runningOf(db: Database, file: string): Running | null {
  if (examine(db, 'migration_runs') !== 'ours') return null
  const sql = `SELECT id, kind, started_at AS startedAt, actor FROM main.migration_runs WHERE status = 'running' ORDER BY id DESC LIMIT 1`
  const last = db.prepare(sql).get() as Running | undefined
  return last !== undefined && Date.parse(last.startedAt) >= heldSince(file) ? last : null
}

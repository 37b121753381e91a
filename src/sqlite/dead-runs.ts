import { existsSync } from 'node:fs'
import type { Database } from 'better-sqlite3'
import { MigrationError, type RunError } from '../core/errors.ts'
import type { StepReport } from '../core/migration.ts'
import { hasHappened, toldError } from '../core/outcome.ts'
import { settleBackup } from './backup.ts'
import { sweep } from './backup-files.ts'
import type { Claimed } from './connection.ts'
import { openGuarded } from './database.ts'
import type { BackupPlace, RunnerResult, RunRow } from './messages.ts'
import { isComplete, readBack } from './read-back.ts'
import { type RunRecord, recordEnd, runRecords } from './run-record.ts'
import { examine } from './tables.ts'

/**
 * Writes the ends of all runs that the record calls running. Only the holder of the run lock may call this: that it has the
 * lock proves that none of them is alive.
 */
export function recordInterrupted(db: Database, database: string, backups: BackupPlace): void {
  for (const record of runRecords(db, `status = 'running'`, [])) {
    const end = endOfDead(db, record)
    const happened = end.steps.some(hasHappened)
    settleBackup(backups, database, { name: record.backup, runId: record.id }, happened)
    recordEnd(db, rowOf(record), { ...end, backup: happened ? record.backup : null })
  }
}

/** Completes the record after a crash, and removes the backups that were not yet whole. */
export function recoverRuns({ database, lockTimeoutMs }: Claimed, backups: BackupPlace): void {
  sweep(backups, database)
  if (!existsSync(database)) return
  const db = openGuarded(database, { timeout: lockTimeoutMs })
  try {
    if (runRecords(db, `status = 'running'`, []).length === 0) return
    db.pragma('synchronous = FULL')
    db.transaction(() => recordInterrupted(db, database, backups)).immediate()
  } finally {
    db.close()
  }
}

/** How a run must have ended that is not alive and has not said so: by what the log has of it. */
export function endOfDead(db: Database, record: RunRecord): RunnerResult {
  const steps = examine(db, 'migration_log') === 'ours' ? readBack(db, record.id, record.steps, true) : record.steps
  const error = isComplete(steps) ? null : toldError(rowOf(record), steps, DIED)
  const now = new Date()
  return {
    steps,
    from: record.from,
    to: currentAfter(steps, record.from),
    schemaChanges: record.schemaChanges,
    error: error && (error.toJSON() satisfies RunError),
    backup: record.backup,
    startedAt: record.startedAt,
    finishedAt: now.toISOString(),
    durationMs: Math.max(0, now.getTime() - Date.parse(record.startedAt)),
  }
}

const DIED = new MigrationError(
  'shutting-down',
  'this run ended without a word, as when its server dies; what was not committed was rolled back',
)

/** The current id that the last step which happened has left. */
function currentAfter(steps: readonly StepReport[], from: number | null): number | null {
  const last = steps.findLast(({ status }) => status === 'done' || status === 'recorded')
  if (last === undefined) return from
  if (last.direction === 'up') return Math.max(last.id, from ?? -1)
  return last.id === 0 ? null : last.id - 1
}

function rowOf({ id, kind, parameters, atomic, actor, requestId, createdAt }: RunRecord): RunRow {
  return { id, kind, parameters, atomic, actor, requestId, createdAt }
}

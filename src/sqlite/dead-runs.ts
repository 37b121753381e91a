import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Database } from 'better-sqlite3'
import { MigrationError, type RunError } from '../core/errors.ts'
import type { SchemaChanges, StepReport } from '../core/migration.ts'
import { currentAfter, hasHappened, toldError } from '../core/outcome.ts'
import { logRow } from './attempt.ts'
import { settleBackup } from './backup.ts'
import { backupAt, removeBackup, sweep } from './backup-files.ts'
import { type Claimed, cutWal } from './connection.ts'
import { openToRead } from './copy.ts'
import { openGuarded } from './database.ts'
import { Ledger } from './ledger.ts'
import type { BackupPlace, RunnerResult, RunRow } from './messages.ts'
import { isComplete, readBack } from './read-back.ts'
import { type RunRecord, recordEnd, runRecords } from './run-record.ts'
import { changesBetween, objectsOf } from './schema-changes.ts'
import { examine } from './tables.ts'

/**
 * Writes the ends of all runs that the record calls running, and deletes the oldest backups, `spared` not counted. Only the holder of the run lock may call this: that it has the
 * lock proves that none of them is alive.
 */
export function recordInterrupted(db: Database, backups: BackupPlace, spared: string | null = null): void {
  const { folder } = backups
  if (runRecords(db, RUNNING, [], 1).length === 0) return
  let newest: { readonly name: string; readonly runId: string } | null = null
  const write = db.transaction(() => {
    for (const record of runRecords(db, RUNNING, [])) {
      const { steps, ...end } = endOfDead(db, record)
      const happened = steps.some(hasHappened)
      const schemaChanges = happened ? changesSince(db, folder, record) : end.schemaChanges
      if (!happened && record.backup !== null) removeBackup(folder, record.backup, record.id)
      if (happened && record.backup !== null) newest ??= { name: record.backup, runId: record.id }
      logFailed(db, record, steps)
      recordEnd(db, rowOf(record), { ...end, steps, schemaChanges })
    }
  })
  write.immediate()
  // Else there would be one more of them with each crash.
  if (newest !== null) settleBackup(db, backups, db.name, newest, true, spared)
}

const RUNNING = `status = 'running'`

/** Completes the record after a crash, and removes the backups that were not yet whole. */
export function recoverRuns({ database, lockTimeoutMs }: Claimed, backups: BackupPlace): void {
  sweep(backups, database)
  if (!existsSync(database)) return
  // It may be taken away at this moment, and must not be there again, empty.
  const db = openGuarded(database, { timeout: lockTimeoutMs, fileMustExist: true })
  try {
    db.pragma('synchronous = FULL')
    recordInterrupted(db, backups)
    cutWal(db)
  } finally {
    db.close()
  }
}

/** How a run must have ended that is not alive and has not said so: by what the log has of it. */
export function endOfDead(db: Database, record: RunRecord): RunnerResult {
  // Of several in one transaction nobody knows which one ran.
  const known = !record.atomic || record.steps.length === 1
  const steps = examine(db, 'migration_log') === 'ours' ? readBack(db, record.id, record.steps, known) : record.steps
  const error = isComplete(steps) ? null : toldError(rowOf(record), steps, died(steps))
  return {
    steps,
    from: record.from,
    to: currentAfter(steps, record.from),
    schemaChanges: record.schemaChanges,
    error: error && (error.toJSON() satisfies RunError),
    backup: steps.some(hasHappened) ? record.backup : null,
    startedAt: record.startedAt,
    // When it died nobody knows; this is when it was found.
    finishedAt: new Date().toISOString(),
    durationMs: null,
  }
}

/** What has become of the schema since the backup of the run `record`, which is the state before it. */
function changesSince(db: Database, folder: string, { id, backup, schemaChanges }: RunRecord): SchemaChanges {
  let before: Database | null = null
  try {
    // A record may name anything.
    if (backup === null || backupAt(folder, backup)?.runId !== id) return schemaChanges
    before = openToRead(join(folder, backup), 0)
    return before === null ? schemaChanges : changesBetween(objectsOf(before), objectsOf(db))
  } catch {
    // A backup that cannot be read any more is no reason not to go on.
    return schemaChanges
  } finally {
    before?.close()
  }
}

/** The row of the log for the step in which a run died. */
function logFailed(db: Database, { id: runId, startedAt }: RunRecord, steps: readonly StepReport[]): void {
  const failed = steps.find(({ status }) => status === 'failed')
  if (failed === undefined) return
  const work = { ...failed, file: null, checksum: null, keep: null, body: null }
  new Ledger(db).log(logRow({ runId }, work, 'failed', Date.parse(startedAt), 0, DIED))
}

function died(steps: readonly StepReport[]): MigrationError {
  const failed = steps.find(({ status }) => status === 'failed')
  if (failed === undefined) return new MigrationError('shutting-down', DIED)
  const { id, name, direction } = failed
  return new MigrationError('shutting-down', DIED, {
    id,
    name,
    direction,
    file: null,
    line: null,
    statement: null,
    sqlite: null,
  })
}

const DIED = 'this run ended without a word, as when its server dies; what was not committed was rolled back'

function rowOf({ id, kind, parameters, atomic, actor, requestId, createdAt }: RunRecord): RunRow {
  return { id, kind, parameters, atomic, actor, requestId, createdAt }
}

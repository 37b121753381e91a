import { join } from 'node:path'
import Sqlite, { type Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { makeBackup, type OwnBackup } from './backup.ts'
import { backupAt, backupName, leftovers, removeDatabase, temporaryName } from './backup-files.ts'
import { carryOver } from './carry-over.ts'
import { type Claimed, openForRun, pause, record } from './connection.ts'
import { copyDatabase, copyFailure, likeness, openToRead, pageSize } from './copy.ts'
import { recordInterrupted } from './dead-runs.ts'
import { failure } from './failure.ts'
import { examine, foreignTable, Ledger, OURS } from './ledger.ts'
import { lostBetween } from './loss.ts'
import type { Assignment, FromRunner, RunnerResult } from './messages.ts'
import { begin, startClock } from './perform.ts'
import { recordBegin, recordEnd, recordedEnd, runRecords } from './run-record.ts'
import { changesBetween, objectsOf } from './schema-changes.ts'

type Restore = Assignment & { type: 'restore' }

/**
 * Puts a backup in the place of the database. A copy of it is completed beside it, with the log and the runs made since and
 * the end of this very run, and then goes into the live file by SQLite's online backup: one transaction, which connections
 * that the application holds see when they read next. Throws what kept it from beginning.
 */
export async function performRestore(
  claimed: Claimed,
  words: Restore,
  say: (message: FromRunner) => void,
): Promise<RunnerResult> {
  const { run, name, backups } = words
  const clock = startClock()
  const prepared = await prepare(claimed, words)
  let db: Database | null = null
  try {
    db = openForRun(claimed, prepared.pageSize)
    refuseOther(db, name, prepared)
    const backup = await makeBackup(db, claimed.database, backups, run.id, name)
    const live = db
    const from = begin(live, (current) => {
      recordInterrupted(live, claimed.database, backups)
      recordBegin(live, run, clock.startedAt, current, { atomic: true, steps: [], backup: backup?.name ?? null })
    })
    backup?.publish()
    const before = objectsOf(live)
    say({ type: 'begun', startedAt: clock.startedAt, from, before, backup: backup?.name ?? null })
    return await replace(claimed, live, prepared, { words, clock, from, before, backup })
  } finally {
    db?.close()
    removeDatabase(prepared.path)
  }
}

interface Begun {
  readonly words: Restore
  readonly clock: ReturnType<typeof startClock>
  readonly from: number | null
  readonly before: Readonly<Record<string, string>>
  readonly backup: OwnBackup | null
}

/** From here on it is recorded: whatever happens is in the result. */
async function replace(claimed: Claimed, live: Database, prepared: Prepared, begun: Begun): Promise<RunnerResult> {
  const { words, clock, from, before, backup } = begun
  const { run } = words
  const restored = new Sqlite(prepared.path)
  try {
    const to = carryOver(live, restored)
    const end: RunnerResult = {
      steps: [],
      from,
      to,
      schemaChanges: changesBetween(before, objectsOf(restored)),
      error: null,
      backup: backup?.name ?? null,
      rowCounts: lostBetween(claimed.database, prepared.path),
      ...clock.stop(),
    }
    recordEnd(restored, run, end)
    await overwrite(restored, live, claimed, run.id)
    backup?.settle(true)
    const whole = { ...end, ...clock.stop() }
    record(live, () => recordEnd(live, run, whole))
    return whole
  } catch (error) {
    // It may have failed after its commit, and then it has not failed.
    const ended = recordedEnd(live, run.id)
    if (ended !== null) return ended
    const known = failure(error, 'internal')
    const end: RunnerResult = {
      steps: [],
      from,
      to: new Ledger(live).current(),
      schemaChanges: changesBetween(before, objectsOf(live)),
      error: known.toJSON(),
      backup: backup?.settle(false) ?? null,
      ...clock.stop(),
    }
    record(live, () => recordEnd(live, run, end))
    return end
  } finally {
    restored.close()
  }
}

interface Prepared {
  readonly path: string
  readonly pageSize: number
  readonly applicationId: number
}

/** A copy of the backup that may be written to, and is a sound database of ours. */
async function prepare({ database, lockTimeoutMs }: Claimed, { run, name, backups }: Restore): Promise<Prepared> {
  const { folder } = backups
  if (backupAt(folder, name) === null) {
    throw new MigrationError('not-found', `there is no backup ${name}; GET /backups lists them`)
  }
  for (const left of leftovers(folder, database)) removeDatabase(left)
  const path = join(folder, temporaryName(backupName(database, new Date(), null, run.id)))
  try {
    const source = openToRead(join(folder, name), lockTimeoutMs)
    try {
      if (source !== null) await copyDatabase(source, path)
    } finally {
      source?.close()
    }
    return inspect(path, name)
  } catch (error) {
    removeDatabase(path)
    const known = failure(error, 'internal')
    if (known.code === 'database-unavailable') throw unusable(name, 'it is damaged or no database')
    throw error instanceof MigrationError && error.code !== 'insufficient-storage'
      ? error
      : copyFailure(error, 'free some space; nothing was changed')
  }
}

function inspect(path: string, name: string): Prepared {
  const copy = new Sqlite(path)
  try {
    if (copy.pragma('quick_check', { simple: true }) !== 'ok') throw unusable(name, 'it is damaged')
    const foreign = OURS.find((table) => examine(copy, table) === 'foreign')
    if (foreign !== undefined) throw foreignTable(foreign)
    if (copy.pragma('page_count', { simple: true }) === 0) throw unusable(name, 'it is empty')
    const applicationId = copy.pragma('application_id', { simple: true }) as number
    return { path, pageSize: pageSize(copy), applicationId }
  } finally {
    copy.close()
  }
}

/** A backup of our own may be of another time; any other file must look like this database. */
function refuseOther(live: Database, name: string, { path, pageSize: wanted, applicationId }: Prepared): void {
  const [found, own] = [pageSize(live), live.pragma('application_id', { simple: true })]
  if (found !== wanted) {
    throw unusable(name, `it has pages of ${wanted} bytes, and the database of ${found}`)
  }
  const { pages } = likeness(live)
  if (pages <= 1 || isOurs(live, name)) return
  if (applicationId !== own) throw unusable(name, `its application_id is ${applicationId}, and the database's ${own}`)
  const copy = new Sqlite(path, { readonly: true })
  try {
    if (examine(live, 'migrations') !== 'ours' || examine(copy, 'migrations') === 'ours') return
    throw unusable(name, 'it has no table migrations, so it is of another application')
  } finally {
    copy.close()
  }
}

/** Whether the record says that a run has made this backup. */
function isOurs(live: Database, name: string): boolean {
  return runRecords(live, `json_extract(result, '$.backup') = ?`, [name], 1).length > 0
}

function unusable(name: string, why: string): MigrationError {
  return new MigrationError('invalid-request', `${name} cannot be restored: ${why}; nothing was changed`)
}

/** Copies `restored`, which has the end of the run `runId`, into the live file, until that end is there. */
async function overwrite(
  restored: Database,
  live: Database,
  { database, lockTimeoutMs }: Claimed,
  runId: string,
): Promise<void> {
  const deadline = performance.now() + lockTimeoutMs
  for (;;) {
    // What it says does not count: it reports success for nothing where somebody holds the lock.
    await restored.backup(database, { progress: () => 0x7fffffff }).catch(unlessLocked)
    if (recordedEnd(live, runId) !== null) break
    if (performance.now() >= deadline) {
      throw new MigrationError('database-locked', 'another program holds the database; try again when it has finished')
    }
    pause(20)
  }
  // The connection of the backup does not sync what it commits.
  live.pragma('wal_checkpoint(PASSIVE)')
}

function unlessLocked(error: unknown): void {
  if (failure(error, 'internal').code !== 'database-locked') throw error
}

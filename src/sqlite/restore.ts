import { dirname } from 'node:path'
import Sqlite, { type Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { makeBackup, type OwnBackup } from './backup.ts'
import { removeDatabase } from './backup-files.ts'
import { type Candidate, copyBackup, refuseOther } from './candidate.ts'
import { carryOver } from './carry-over.ts'
import type { Clock } from './clock.ts'
import { type Claimed, cutWal, openForRun, pause, RECORD_TRIES, record } from './connection.ts'
import { ALL_AT_ONCE, likeness, refuseWithoutSpace } from './copy.ts'
import { recordInterrupted } from './dead-runs.ts'
import { failure, tellable } from './failure.ts'
import { ghostly, isElsewhere, refuseGhost } from './ghost.ts'
import { lostBetween } from './loss.ts'
import type { Assignment, FromRunner, RunnerResult, Told } from './messages.ts'
import { begin, currentIn } from './perform.ts'
import { recordBegin, recordEnd, recordedEnd, UNCHANGED } from './run-record.ts'
import { changesBetween, type Objects, objectsOf } from './schema-changes.ts'

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
): Promise<Told> {
  const { run, name, backups } = words
  const { clock } = claimed
  const candidate = await copyBackup(claimed, words)
  let db: Database | null = null
  try {
    db = openForRun(claimed, candidate.form)
    refuseOther(db, name, candidate)
    // All of it is in the WAL once before it is in the file.
    refuseWithoutSpace(dirname(claimed.database), candidate.pages * (candidate.form.pageSize + FRAME_HEAD))
    recordInterrupted(db, backups, name)
    const version = db.pragma('data_version', { simple: true })
    const backup = await makeBackup(db, claimed.database, backups, run.id, name)
    const live = db
    const from = begin(live, backup, (current) => {
      recordBegin(live, run, clock.startedAt, current, { atomic: true, steps: [], backup: backup?.name ?? null })
    })
    const before = objectsOf(live)
    say({ type: 'begun', startedAt: clock.startedAt, from, before, backup: backup?.name ?? null })
    return await replace(claimed, live, candidate, { words, clock, from, before, backup, version })
  } finally {
    db?.close()
    removeDatabase(candidate.path)
  }
}

/** In bytes: https://www.sqlite.org/fileformat2.html#the_write_ahead_log */
const FRAME_HEAD = 24

interface Begun {
  readonly words: Restore
  readonly clock: Clock
  readonly from: number | null
  readonly before: Objects
  readonly backup: OwnBackup | null
  /** What SQLite calls the state of the live file that the backup holds; our own commits do not count. */
  readonly version: unknown
}

/** From here on it is recorded: whatever happens is in the result. */
async function replace(claimed: Claimed, live: Database, candidate: Candidate, begun: Begun): Promise<Told> {
  const { words, clock, from, before, backup } = begun
  const { run } = words
  const restored = new Sqlite(candidate.path, { fileMustExist: true })
  try {
    backup?.publish()
    const to = carryOver(live, restored)
    if (likeness(restored).migrations !== candidate.migrations) {
      throw new MigrationError('internal', 'what was prepared is not what the backup holds; nothing was changed')
    }
    const end: RunnerResult = {
      steps: [],
      from,
      to,
      schemaChanges: changesBetween(before, objectsOf(restored)),
      error: null,
      backup: backup?.name ?? null,
      rowCounts: lostBetween(claimed.database, candidate.path),
      ...clock.stop(),
    }
    recordEnd(restored, run, end)
    await overwrite(restored, live, claimed, { runId: run.id, version: begun.version })
    backup?.settle(live, true)
    const whole = { ...end, ...clock.stop() }
    // Its end is in the database already, but for the time that the copying took.
    record(live, () => recordEnd(live, run, whole), RECORD_TRIES)
    cutWal(live)
    return { result: whole, recorded: true }
  } catch (error) {
    // It may have failed after its commit, and then it has not failed.
    const ended = recordedEnd(live, run.id)
    if (ended !== null) return { result: ended, recorded: true }
    const gone = isElsewhere(live)
    const known = gone ? ghostly(live) : tellable(failure(error, 'internal'))
    const failed = { steps: [], from, error: known.toJSON(), ...clock.stop() }
    // The backup stays: it may be all that is left.
    if (gone)
      return { result: { ...failed, to: null, schemaChanges: UNCHANGED, backup: backup?.name ?? null }, recorded: true }
    const end: RunnerResult = {
      ...failed,
      to: currentIn(live),
      schemaChanges: changesBetween(before, objectsOf(live)),
      backup: backup?.settle(live, false) ?? null,
    }
    const recorded = record(live, () => recordEnd(live, run, end), RECORD_TRIES)
    // What did not fit would else fill the disk until the next run.
    cutWal(live)
    return { result: end, recorded }
  } finally {
    restored.close()
  }
}

/** Copies `restored`, which has the end of the run `runId`, into the live file, until that end is there. */
async function overwrite(
  restored: Database,
  live: Database,
  { database, lockTimeoutMs }: Claimed,
  { runId, version }: { runId: string; version: unknown },
): Promise<void> {
  const deadline = performance.now() + lockTimeoutMs
  // Asked for the first time when no page is copied yet, and the live file is locked: nobody can write any more.
  const progress = () => {
    refuseWritten(live, version)
    return ALL_AT_ONCE
  }
  for (;;) {
    refuseGhost(live)
    // What it says does not count: it reports success for nothing where somebody holds the lock.
    await restored.backup(database, { progress }).catch(unlessLocked)
    if (recordedEnd(live, runId) !== null) break
    if (performance.now() >= deadline) {
      throw new MigrationError('database-locked', 'another program holds the database; try again when it has finished')
    }
    pause(20)
  }
  // The connection of the backup does not sync what it commits.
  cutWal(live)
}

/** What the application has written since the backup was made would be lost, and nobody had counted it. */
function refuseWritten(live: Database, version: unknown): void {
  if (live.pragma('data_version', { simple: true }) === version) return
  throw new MigrationError(
    'database-locked',
    'the application has written while the restore was prepared, and that would be lost; stop it, then try again',
  )
}

function unlessLocked(error: unknown): void {
  if (error instanceof MigrationError || failure(error, 'internal').code !== 'database-locked') throw error
}

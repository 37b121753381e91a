import { mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import type { Database } from 'better-sqlite3'
import { backupName, prune, removeBackup, removeBeside, removeDatabase, sync, temporaryName } from './backup-files.ts'
import { copyDatabase, copyFailure } from './copy.ts'
import { Ledger } from './ledger.ts'
import type { BackupPlace } from './messages.ts'
import { runRecords } from './run-record.ts'
import { examine } from './tables.ts'

/** The backup of a run that is about to begin. */
export interface OwnBackup {
  readonly name: string
  /** Gives it its name; after the run has been recorded, so that each backup belongs to a run which can be looked up. Throws, and leaves nothing, where it cannot. */
  publish(): void
  /** Removes it where the run has not begun. */
  drop(): void
  /** Keeps it, and deletes the oldest, when the run has changed something; else deletes it. Gives the name of what was kept. */
  settle(db: Database, changed: boolean): string | null
}

/**
 * Copies the database before the run `runId`: verified and on the disk. `null` where none are kept, or there is nothing yet.
 *
 * @throws MigrationError `insufficient-storage`: no backup, no run.
 */
export async function makeBackup(
  db: Database,
  database: string,
  { folder, keep }: BackupPlace,
  runId: string,
  spared: string | null = null,
): Promise<OwnBackup | null> {
  if (keep === 0 || isEmpty(db)) return null
  const current = examine(db, 'migrations') === 'ours' ? new Ledger(db).current() : null
  const name = backupName(database, new Date(), current, runId)
  const growing = join(folder, temporaryName(name, database))
  try {
    mkdirSync(folder, { recursive: true })
    await copyDatabase(db, growing)
    sync(growing)
  } catch (error) {
    removeDatabase(growing)
    throw copyFailure(
      error,
      `without a backup in ${folder} nothing is run; free some space there or mend its permissions, set BACKUP_DIR, or set BACKUP_KEEP=0 to do without`,
    )
  }
  return {
    name,
    drop: () => removeDatabase(growing),
    publish: () => {
      try {
        renameSync(growing, join(folder, name))
        sync(folder)
      } catch (error) {
        tidied(() => removeDatabase(growing))
        throw copyFailure(error, 'without its backup nothing was run; mend the folder of the backups')
      }
      tidy(growing)
    },
    settle: (db, changed) => settleBackup(db, { folder, keep }, database, { name, runId }, changed, spared),
  }
}

/** Removes the journal that SQLite could not remove when it had written the copy. */
function tidy(path: string): void {
  try {
    removeBeside(path)
  } catch {
    // The next run sweeps it away; this one has its backup.
  }
}

/** What becomes of the backup `name` when its run is over: a run that changed nothing must not push out a good one. */
export function settleBackup(
  db: Database,
  place: BackupPlace,
  database: string,
  { name, runId }: { name: string | null; runId: string },
  changed: boolean,
  spared: string | null = null,
): string | null {
  if (name === null) return null
  if (!changed) return tidied(() => removeBackup(place.folder, name, runId)) ? null : name
  // It counts itself, whatever the clock said when the others were made.
  const others = { ...place, keep: place.keep - 1 }
  const hasMade = (id: string) => runRecords(db, 'id = ?', [id], 1).length > 0
  if (place.keep > 0) tidied(() => prune(others, database, spared === null ? [name] : [name, spared], hasMade))
  return name
}

/** Whether a backup could be deleted decides nothing about the run. */
function tidied(act: () => void): boolean {
  try {
    act()
    return true
  } catch (error) {
    console.error('a backup could not be deleted:', error)
    return false
  }
}

function isEmpty(db: Database): boolean {
  return db.prepare('SELECT 1 FROM main.sqlite_schema LIMIT 1').get() === undefined
}

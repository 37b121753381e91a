import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { MigrationError } from '../core/errors.ts'
import { inodeOf } from '../core/inode.ts'

const MOST_LINKS = 20

/** Through links to the file itself: SQLite names the journal after what it opens, and so do we the run lock. */
export function realFile(path: string, links = 0): string {
  const whole = resolve(path)
  const found = realPath(whole)
  if (found !== null) return found
  // SQLite creates the file at the end of a link that leads nowhere yet.
  if (links < MOST_LINKS && isLink(whole)) return realFile(resolve(dirname(whole), readlinkSync(whole)), links + 1)
  const folder = realPath(dirname(whole))
  return folder === null ? whole : join(folder, basename(whole))
}

/** `null` where there is nothing, or nothing that can be reached. */
function realPath(path: string): string | null {
  try {
    // One call, and not one for each folder on the way: it is asked for each answer.
    return realpathSync.native(path)
  } catch {
    return null
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink()
  } catch {
    // It is not there, or what should be its folder is none.
    return false
  }
}

/**
 * What the kernel says of a file, `undefined` where there is none. Never by fs.open: closing such a descriptor would drop the
 * locks that SQLite holds in this process (https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
 */
export function stat(path: string): Stats | undefined {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found !== undefined) found.ino = inodeOf(found.ino, () => statSync(path, { bigint: true }).ino)
  return found
}

/**
 * A file that may be opened may still refuse the first write; so the permissions are asked, which opens nothing: those of the
 * file and of what SQLite keeps beside it, of the folder, and of the folder for temporary files where one is named.
 */
export function refuseUnwritable(file: string, temporary: string | undefined): void {
  let folder = dirname(file)
  while (!existsSync(folder)) folder = dirname(folder)
  refuseOther('folder', folder)
  if (temporary) refuseOther('folder', temporary)
  if (!existsSync(file)) return
  refuseOther('file', file)
  for (const end of ['-wal', '-shm', '-journal', '.lock']) {
    const beside = `${file}${end}`
    if (!existsSync(beside)) continue
    likeItsFile(beside, file)
    try {
      refuseOther('file', beside)
    } catch (error) {
      // SQLite, in whatever process, makes and removes them all the time.
      if (stat(beside) !== undefined) throw error
    }
  }
}

function refuseOther(kind: 'file' | 'folder', path: string): void {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    const found = statSync(path)
    if (kind === 'file' ? !found.isFile() : !found.isDirectory()) throw new Error('it is of the wrong kind')
  } catch (error) {
    const advice = `${path} is no ${kind} that can be read and written; mend its permissions or its mount`
    throw new MigrationError('database-unavailable', advice, {}, { cause: error })
  }
}

/** SQLite makes the files beside a database with the permissions that it has at that moment; they are mended with it. */
function likeItsFile(path: string, file: string): void {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
  } catch {
    try {
      chmodSync(path, statSync(file).mode & 0o777)
    } catch {
      // It belongs to somebody else, and is named next.
    }
  }
}

/** Where the copy of `database` is for as long as a rehearsal runs. Whoever has the run lock of this path owns what is there. */
export function rehearsalPath(database: string): string {
  return `${database}.rehearsal`
}

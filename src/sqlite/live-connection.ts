import type { Stats } from 'node:fs'
import Sqlite, { type Database, type Statement } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { stat } from './files.ts'
import { isLocked } from './lock.ts'

/** A read-only connection, which never waits for a lock. */
export interface Open {
  readonly db: Database
  /** Another number when another connection has committed (https://sqlite.org/pragma.html#pragma_data_version). */
  readonly version: Statement
}

/** What was found when it was opened. */
interface Found extends Open {
  readonly dev: number
  readonly ino: number
  /** The inode of the WAL-index. */
  readonly index: number | undefined
  size: number
  mtimeMs: number
  /** The version that was told with these. */
  told: unknown
  /** Whether they were believed to be what a commit has left. */
  believed: boolean
  /** When. */
  openedAt: number
  /** When it was seen last that the index is the same. */
  seenAt: number
  /** When it was seen first that the file was written, by a run; `null` before. */
  writtenAt: number | null
}

/** For how long it is believed that nobody has deleted the WAL-index of a file that is the same, in milliseconds. */
const INDEX_MS = 50
/** For how long whoever writes to the file is taken for SQLite where there is no WAL, or while a run is under way, in milliseconds. */
const BELIEVED_MS = 500

/** The connection to what bears a file's name now: it may have been replaced, and a ghost must not be believed. */
export class LiveConnection {
  readonly #file: string
  #open: Found | null = null
  /** It was seen just now that what is open is what it should be; whoever asks next need not look again. */
  #looked = false

  constructor(file: string) {
    this.#file = file
  }

  /** Whether `path` leads to the file that is open, which still bears its name. */
  isOf(path: string): boolean {
    this.#looked = false
    try {
      if (this.#open === null || !this.#isStill(this.#open, stat(this.#file))) return false
      this.#looked = path === this.#file || isFile(this.#open, stat(path))
    } catch {
      // It cannot be reached, which is told to whoever asks it something.
    }
    return this.#looked
  }

  /** `null` where there is no file. Another object when it had to be opened anew. */
  get(): Open | null {
    const looked = this.#looked
    this.#looked = false
    if (looked && this.#open !== null) return this.#open
    const found = stat(this.#file)
    if (this.#open !== null && this.#isStill(this.#open, found)) return this.#open
    if (found === undefined) {
      this.close()
      return null
    }
    if (!found.isFile()) throw new MigrationError('database-unavailable', `${this.#file} is no file; set DATABASE_URL`)
    // A process has one WAL-index for all its connections to a file. Where that has become another, or another file has taken
    // the name and the index with it, this one must be gone first: the new one would get the old index, or lose its locks on
    // the index when this one is closed (https://sqlite.org/howtocorrupt.html, section 2.2).
    if (this.#open !== null && !(isFile(this.#open, found) && this.#open.index === this.#indexNow())) this.close()
    const before = this.#indexNow()
    const opened = openToAsk(this.#file)
    this.close()
    const { dev, ino, size, mtimeMs } = found
    const index = before ?? this.#indexNow()
    const now = performance.now()
    this.#open = {
      ...opened,
      dev,
      ino,
      size,
      mtimeMs,
      index,
      believed: false,
      openedAt: now,
      seenAt: now,
      writtenAt: null,
    }
    return this.#open
  }

  /** Ends what is believed for a while. */
  doubt(): void {
    this.#looked = false
    if (this.#open === null) return
    this.#open.openedAt = Number.NEGATIVE_INFINITY
    this.#open.writtenAt = Number.NEGATIVE_INFINITY
  }

  close(): void {
    this.#open?.db.close()
    this.#open = null
  }

  /**
   * Whoever writes to a file without SQLite, as `cp` does, makes no commit, and a connection would go on with the pages that it
   * has read. In a WAL, SQLite seldom writes to the file itself either, and not at a commit. Without one it does, and knows of
   * each what it has to read again.
   */
  #isStill(open: Found, found: Stats | undefined): boolean {
    if (found === undefined || !isFile(open, found)) return false
    const now = performance.now()
    const written = found.size !== open.size || found.mtimeMs !== open.mtimeMs
    const late = now - open.openedAt > BELIEVED_MS
    if (open.believed && late) return false
    if (written && !(open.index === undefined ? !late && isCommit(open, found) : this.#isOfRun(open, now))) return false
    if (now - open.seenAt < INDEX_MS) return true
    if (this.#indexNow() !== open.index) return false
    open.seenAt = now
    return true
  }

  /** Whether a run is under way. After it the file is asked once more: the size and the time remembered are those of before. */
  #isOfRun(open: Found, now: number): boolean {
    open.writtenAt ??= now
    try {
      return now - open.writtenAt <= BELIEVED_MS && isLocked(this.#file)
    } catch {
      // Nobody can say; it is opened anew, as where nothing runs.
      return false
    }
  }

  /** The inode of the WAL-index, `undefined` where there is none: somebody may delete it while it is mapped. */
  #indexNow(): number | undefined {
    return stat(`${this.#file}-shm`)?.ino
  }
}

/** Whether what was written since the connection was asked last is of SQLite. Remembers the state. */
function isCommit(open: Found, { size, mtimeMs }: Stats): boolean {
  const told = open.version.get()
  if (told === open.told) return false
  Object.assign(open, { size, mtimeMs, told, believed: true })
  return true
}

function isFile({ dev, ino }: Found, found: Stats | undefined): boolean {
  return found?.ino === ino && found.dev === dev
}

/**
 * Opens the file and reads in it, so that the connection before it is closed when this one has its part in the WAL-index: who
 * finds nobody there begins that index anew, and locks others out for it (https://sqlite.org/walformat.html#recovery).
 */
function openToAsk(file: string): Open & { readonly told: unknown } {
  const db = new Sqlite(file, { readonly: true, timeout: 0 })
  try {
    const version = db.prepare('PRAGMA data_version').pluck()
    // In one transaction, in which a file without a WAL does not become shorter.
    const told = db.transaction(() => {
      refuseCut(db, file)
      return version.get()
    })()
    return { db, version, told }
  } catch (error) {
    db.close()
    throw error
  }
}

/** While others have the WAL-index, it tells SQLite the size of a file that was cut, and not the file. With no WAL, the file has it all. */
function refuseCut(db: Database, file: string): void {
  const bytes = Number(db.pragma('page_count', { simple: true })) * Number(db.pragma('page_size', { simple: true }))
  if ((stat(`${file}-wal`)?.size ?? 0) > 0 || (stat(file)?.size ?? 0) >= bytes) return
  throw new MigrationError('database-unavailable', `${file} is damaged: a part is cut off; restore it`)
}

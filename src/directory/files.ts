import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  type Stats,
  statSync,
} from 'node:fs'
import { sep } from 'node:path'
import { setImmediate as yieldToOthers } from 'node:timers/promises'
import { inodeOf } from '../core/inode.ts'
import type { Problem } from '../core/migration.ts'
import { RACY_MS } from '../core/timed.ts'
import { hasState, isSameStamp, NO_THROW, NUMBERS, type Stamp, type States } from './states.ts'

/** 16 MiB. */
const MOST_BYTES = 16 * 1024 * 1024
/** After so much work on many files others get a turn, in milliseconds. */
const SLICE_MS = 1

/** The state of a file without its content: as long as `stamp` is the same, so is the content, unless it is racy. */
export interface Stamped {
  readonly file: string
  readonly stamp: Stamp
  /** Milliseconds since the epoch. */
  readonly changedAt: number
  readonly problem: Problem | null
}

/** The state of each file, without its bytes. */
export async function stampAll(folder: string, files: readonly Dirent[]): Promise<Stamped[]> {
  return await inSlices(files, (file) => stampOf(folder, file))
}

/** Whether these are the same files, each unchanged. */
export function sameFiles(before: readonly Stamped[], after: readonly Stamped[]): boolean {
  return (
    before.length === after.length &&
    before.every(({ file, stamp }, at) => file === after[at]?.file && isSameStamp(stamp, after[at].stamp))
  )
}

/** The states of all; `null` where something is wrong with one of them. */
export function statesOf(stamped: readonly Stamped[]): States | null {
  const states = new Float64Array(NUMBERS * stamped.length)
  for (const [place, { stamp }] of stamped.entries()) {
    if (typeof stamp === 'string') return null
    states.set(stamp, NUMBERS * place)
  }
  return states
}

/** Whether all files still have these states. Makes nothing of them: it is asked before every change, of all files. */
export async function haveStates(folder: string, files: readonly Dirent[], states: States): Promise<boolean> {
  let [same, at] = [states.length === NUMBERS * files.length, 0]
  await inSlices(files, ({ name }) => {
    same &&= hasState(folder + sep + name, states, at)
    at += NUMBERS
  })
  return same
}

/**
 * What `make` makes of each, in slices, so that ten thousand files hold nobody up. It asks the file system without the thread
 * pool, whose turns cost more than a small file.
 */
export async function inSlices<T, M>(all: readonly T[], make: (one: T) => M): Promise<M[]> {
  const made: M[] = []
  let since = performance.now()
  for (const one of all) {
    made.push(make(one))
    if (performance.now() - since < SLICE_MS) continue
    await yieldToOthers()
    since = performance.now()
  }
  return made
}

/** Whether a file that was stamped at `now` might change without its stamp. */
export function isRacy({ changedAt }: Stamped, now: number): boolean {
  return now - changedAt < RACY_MS
}

/** A file with its bytes, or why there are none. */
export function readStamped(folder: string, entry: Dirent): { stamped: Stamped; bytes: Buffer | Problem } {
  // What is no file is not opened: whoever waits at the other end of a FIFO would take us for its reader.
  const seen = entry.isFile() ? null : stampOf(folder, entry)
  if (seen !== null && seen.problem !== null) return { stamped: seen, bytes: seen.problem }
  let opened: number
  try {
    // A FIFO that took the file's place meanwhile must not hold us up: opened so, it is open at once.
    opened = openSync(folder + sep + entry.name, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const stamped = stampOf(folder, entry)
    return { stamped, bytes: stamped.problem ?? unreadable(entry.name, error) }
  }
  try {
    const found = fstatSync(opened)
    const stamped = stampedAs(entry, found, () => fstatSync(opened, { bigint: true }).ino)
    return { stamped, bytes: stamped.problem ?? bytesOf(opened, found.size) }
  } catch (error) {
    return { stamped: stampOf(folder, entry), bytes: unreadable(entry.name, error) }
  } finally {
    closeSync(opened)
  }
}

/** What is in a file of `size` bytes; one that grows meanwhile is read again. */
function bytesOf(opened: number, size: number): Buffer {
  // Some are not as empty as they say, as those in /proc.
  if (size === 0) return readFileSync(opened)
  const bytes = Buffer.allocUnsafe(size)
  let length = 0
  for (let more = -1; more !== 0 && length < size; length += more)
    more = readSync(opened, bytes, length, size - length, null)
  return bytes.subarray(0, length)
}

/** The state of a file. */
export function stampOf(folder: string, entry: Dirent): Stamped {
  const file = entry.name
  try {
    const path = folder + sep + file
    const found = statSync(path, NO_THROW)
    if (found !== undefined) return stampedAs(entry, found, () => statSync(path, { bigint: true }).ino)
    const link = lstatSync(path, NO_THROW)
    return bad(unreadable(file, link ? { code: 'a link to nothing' } : { code: 'gone' }))
  } catch (error) {
    return bad(unreadable(file, error))
  }
}

function stampedAs({ name: file }: Dirent, found: Stats, exactInode: () => bigint): Stamped {
  if (!found.isFile()) return bad(notAFile(file))
  const { dev, size, mtimeMs, ctimeMs } = found
  if (size > MOST_BYTES) return bad(tooLarge(file, size))
  const inode = inodeOf(found.ino, exactInode)
  return { file, stamp: [dev, inode, size, mtimeMs, ctimeMs], changedAt: Math.floor(ctimeMs), problem: null }
}

function bad(problem: Problem): Stamped {
  return { file: problem.file ?? '', stamp: problem.message, changedAt: 0, problem }
}

function notAFile(file: string): Problem {
  return { code: 'not-a-file', file, message: `${file} is no regular file; take it away, or put a file in its place` }
}

function tooLarge(file: string, size: number): Problem {
  const mib = Math.ceil(size / 1024 / 1024)
  return {
    code: 'too-large',
    file,
    message: `${file} has ${mib} MiB, and 16 are allowed; split it, or load the data another way`,
  }
}

function unreadable(file: string, error: unknown): Problem {
  const why = (error as { code?: string }).code ?? 'an error'
  return {
    code: 'unreadable',
    file,
    message: `${file} cannot be read (${why}); mend its permissions or its link`,
  }
}

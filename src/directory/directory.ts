import type { Dirent } from 'node:fs'
import { resolve } from 'node:path'
import type { Directory, Problem } from '../core/migration.ts'
import { type Content, contentOf, readModules } from './content.ts'
import {
  haveStates,
  inSlices,
  isRacy,
  readStamped,
  type Stamped,
  sameFiles,
  stampAll,
  stampOf,
  statesOf,
} from './files.ts'
import { list, stampOfFolder, unlisted } from './folder.ts'
import { directoryOf } from './made.ts'
import { type Entry, entryOf, isModule } from './names.ts'
import { isSame } from './same.ts'
import { isSameStamp, type Stamp, type States } from './states.ts'

/** The migrations directory, read anew as often as it changes and no oftener. */
export interface DirectoryReader {
  /** The directory as it is now, all of it of one moment. */
  look(): Promise<Directory>
  /** The directory as it was less than a second ago: for those who ask often. */
  recent(): Promise<Directory>
}

/** A look so old, in milliseconds, is renewed; an older one is not shown any more. */
const FRESH_MS = 600
const STALE_MS = 850
/** How often a directory may change while it is read. */
const TRIES = 5

interface Known {
  readonly stamp: Stamp
  readonly entry: Entry | Problem
  readonly bytes: Buffer | null
  readonly racy: boolean
  readonly content: Content | Problem
}

/** What is in the folder for as long as it has this stamp; `null` where that would not tell. */
interface Listing {
  readonly stamp: string | null
  readonly files: readonly Dirent[]
}

/** Reads the directory `path`. Whatever is wrong with it is among the problems of what is read. */
export function openDirectory(path: string): DirectoryReader {
  const folder = resolve(path)
  let known = new Map<string, Known>()
  /** What is made of `known`; `null` where that may be of more than one moment. */
  let made: Directory | null = null
  /** The files that it was made of, none of which has to be read again unless it has another stamp. */
  let settled: { readonly files: readonly Dirent[]; readonly states: States } | null = null
  let listed: Listing | null = null
  let shown: { directory: Directory; at: number } | null = null
  let running: Promise<Directory> | null = null
  let queued: Promise<Directory> | null = null

  function look(): Promise<Directory> {
    if (running === null) return begin()
    // What is under way may have begun before the caller's change; the next look has not, and is everybody's.
    queued ??= running.then(() => {
      queued = null
      return begin()
    })
    return queued
  }

  function begin(): Promise<Directory> {
    running = fresh().finally(() => {
      running = null
    })
    return running
  }

  async function fresh(): Promise<Directory> {
    const at = performance.now()
    const directory = await readAll()
    shown = { directory, at }
    return directory
  }

  /** What was shown last, where that says the same. */
  function sameAsShown(directory: Directory): Directory {
    return shown !== null && isSame(shown.directory, directory) ? shown.directory : directory
  }

  async function readAll(): Promise<Directory> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const before = await listing()
      if ('code' in before) return sameAsShown({ migrations: [], problems: [before] })
      if (made !== null && before === settled?.files && (await haveStates(folder, before, settled.states))) return made
      const { next, stamps, changed } = await update(before)
      const unchanged = !changed && next.size === known.size
      known = next
      const racy = [...known.values()].some((one) => one.racy)
      const states = statesOf(stamps)
      settled = racy || states === null ? null : { files: before, states }
      if (unchanged && made !== null) return made
      made = null
      if (changed && !(await isStill(before, stamps, states))) continue
      made = sameAsShown(directoryOf(path, known))
      return made
    }
    const message = `${path} keeps changing while it is read; try again when it has come to rest`
    return sameAsShown({ migrations: [], problems: [{ code: 'unreadable', file: path, message }] })
  }

  /** Whether the files are what they were when they were read. */
  async function isStill(
    before: readonly Dirent[],
    stamps: readonly Stamped[],
    states: States | null,
  ): Promise<boolean> {
    const now = await listing()
    if ('code' in now) return false
    if (now === before && states !== null) return await haveStates(folder, now, states)
    return sameFiles(stamps, await stampAll(folder, now))
  }

  /** The files that are meant for us, in the order of their names; or why the directory cannot be listed. */
  async function listing(): Promise<readonly Dirent[] | Problem> {
    try {
      const stamp = stampOfFolder(folder)
      if (listed === null || stamp === null || listed.stamp !== stamp) listed = { stamp, files: await list(folder) }
      return listed.files
    } catch (error) {
      return unlisted(path, error as { code?: string })
    }
  }

  /** Reads what is not known by its stamp. A file that was read again and is the same keeps its content, the same object. */
  async function update(
    listed: readonly Dirent[],
  ): Promise<{ next: Map<string, Known>; stamps: Stamped[]; changed: boolean }> {
    const next = new Map<string, Known>()
    let changed = false
    if (listed.some(({ name }) => isModule(name))) await readModules()
    const stamps = await inSlices(listed, (entry) => {
      const old = known.get(entry.name)
      const { stamped, fresh } = learn(entry, old)
      next.set(entry.name, fresh)
      changed ||= fresh.content !== old?.content
      return stamped
    })
    return { next, stamps, changed }
  }

  function learn(listed: Dirent, old: Known | undefined): { stamped: Stamped; fresh: Known } {
    const entry = old?.entry ?? entryOf(listed.name)
    if ('code' in entry) {
      const stamped = stampOf(folder, listed)
      return { stamped, fresh: wrong(entry, stamped, entry, old, false) }
    }
    // What is not known is read at once, which tells its stamp as well.
    const still = old === undefined ? null : stampOf(folder, listed)
    if (old && still && isSameStamp(old.stamp, still.stamp) && !old.racy) return { stamped: still, fresh: old }
    const now = Date.now()
    const { stamped, bytes } = readStamped(folder, listed)
    if (!Buffer.isBuffer(bytes)) return { stamped, fresh: wrong(entry, stamped, bytes, old, stamped.problem === null) }
    const racy = isRacy(stamped, now)
    const content = old?.bytes?.equals(bytes) ? old.content : contentOf(entry, bytes, folder)
    return { stamped, fresh: { stamp: stamped.stamp, entry, bytes: racy ? bytes : null, racy, content } }
  }

  async function recent(): Promise<Directory> {
    const age = shown === null ? Number.POSITIVE_INFINITY : performance.now() - shown.at
    if (shown === null || age >= STALE_MS) return look()
    // Whoever asks when it is too old looks for himself, and is told what was wrong.
    if (age >= FRESH_MS && running === null) begin().catch(() => {})
    return shown.directory
  }

  return { look, recent }
}

/** What is known of a file that is none of ours as it is; the same problem stays the same object. */
function wrong(
  entry: Known['entry'],
  { stamp }: Stamped,
  problem: Problem,
  old: Known | undefined,
  racy: boolean,
): Known {
  const content = old && isSameProblem(old.content, problem) ? old.content : problem
  return { stamp, entry, bytes: null, racy, content }
}

function isSameProblem(one: Content | Problem, other: Problem): boolean {
  return 'code' in one && one.code === other.code && one.message === other.message
}

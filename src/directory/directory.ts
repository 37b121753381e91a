import { readdir } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Directory, Problem } from '../core/migration.ts'
import { type Content, contentOf, migrationOf } from './content.ts'
import { inSlices, isRacy, read, type Stamped, stampAll } from './files.ts'
import { type Entry, entryOf, isMeant, pair } from './names.ts'
import { isSame } from './same.ts'
import { FolderWatcher } from './watcher.ts'

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
  readonly stamp: string
  readonly bytes: Buffer | null
  readonly racy: boolean
  readonly content: Content | Problem
}

/** Reads the directory `path`. Whatever is wrong with it is among the problems of what is read. */
export function openDirectory(path: string): DirectoryReader {
  const folder = resolve(path)
  let known = new Map<string, Known>()
  const watcher = new FolderWatcher(folder)
  /** What is made of `known`; `null` where that may be of more than one moment. */
  let made: Directory | null = null
  /** The watcher hears whatever makes it another. */
  let watched = false
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
    if (made !== null && watched && (await watcher.isQuiet())) return made
    for (let tries = 0; tries < TRIES; tries += 1) {
      watcher.begin()
      const before = await listing(folder, path)
      if ('code' in before) return sameAsShown({ migrations: [], problems: [before] })
      const { next, changed } = await update(before)
      const unchanged = !changed && next.size === known.size
      known = next
      watched = before.every(({ plain }) => plain) && [...known.values()].every(({ racy }) => !racy)
      if (unchanged && made !== null) return made
      const after = changed ? await listing(folder, path) : before
      made = null
      if ('code' in after || !sameListing(before, after)) continue
      made = sameAsShown(directoryOf(path, known))
      return made
    }
    const message = `${path} keeps changing while it is read; try again when it has come to rest`
    return sameAsShown({ migrations: [], problems: [{ code: 'unreadable', file: path, message }] })
  }

  /** Reads what is not known by its stamp. A file that was read again and is the same keeps its content, the same object. */
  async function update(listed: readonly Stamped[]): Promise<{ next: Map<string, Known>; changed: boolean }> {
    const next = new Map<string, Known>()
    let changed = false
    await inSlices(listed, (stamped) => {
      const old = known.get(stamped.file)
      const fresh = old !== undefined && old.stamp === stamped.stamp && !old.racy ? old : learn(stamped, old)
      next.set(stamped.file, fresh)
      changed ||= fresh.content !== old?.content
    })
    return { next, changed }
  }

  function learn(stamped: Stamped, old: Known | undefined): Known {
    const { file, stamp, problem } = stamped
    const entry = entryOf(file)
    const none = (content: Problem, racy = false) => {
      return {
        stamp,
        bytes: null,
        racy,
        content: old && isSameProblem(old.content, content) ? old.content : content,
      }
    }
    if ('code' in entry) return none(entry)
    if (problem !== null) return none(problem)
    const racy = isRacy(stamped, Date.now())
    const bytes = read(folder, file)
    if (!Buffer.isBuffer(bytes)) return none(bytes, true)
    const kept = racy ? bytes : null
    if (old?.bytes?.equals(bytes)) return { stamp, bytes: kept, racy, content: old.content }
    return {
      stamp,
      bytes: kept,
      racy,
      content: contentOf(entry, bytes, folder),
    }
  }

  async function recent(): Promise<Directory> {
    const age = shown === null ? Number.POSITIVE_INFINITY : performance.now() - shown.at
    if (shown === null || age >= STALE_MS) return look()
    if (age >= FRESH_MS && running === null) void begin()
    return shown.directory
  }

  return { look, recent }
}

/** The files that are meant for us, each with its stamp; or why the directory cannot be listed. */
async function listing(folder: string, path: string): Promise<Stamped[] | Problem> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    // A folder is left alone, unless somebody could take it for a migration.
    const files = entries.filter(
      (entry) => isMeant(entry.name) && !(entry.isDirectory() && 'code' in entryOf(entry.name)),
    )
    return await stampAll(
      folder,
      files.sort((a, b) => (a.name < b.name ? -1 : 1)),
    )
  } catch (error) {
    const { code } = error as { code?: string }
    const absent = code === 'ENOENT' || code === 'ENOTDIR'
    const message = absent
      ? `${path} is no directory; mount it there, or set MIGRATIONS_DIR`
      : `${path} cannot be listed (${code}); mend its permissions`
    return {
      code: absent ? 'no-directory' : 'unreadable',
      file: path,
      message,
    }
  }
}

function sameListing(before: readonly Stamped[], after: readonly Stamped[]): boolean {
  return (
    before.length === after.length &&
    before.every(({ file, stamp }, at) => file === after[at]?.file && stamp === after[at].stamp)
  )
}

function directoryOf(path: string, known: ReadonlyMap<string, Known>): Directory {
  const contents = [...known].map(([file, { content }]) => ({
    file,
    content,
    entry: entryOf(file),
  }))
  const wrong = contents.flatMap(({ content }) => ('code' in content ? [content] : []))
  const entries = contents.flatMap(({ entry }) => ('code' in entry ? [] : [entry satisfies Entry]))
  if (contents.length === 0) {
    const message = `${path} has no migrations in it; is it mounted? the first is named 0000_….up.sql`
    return {
      migrations: [],
      problems: [{ code: 'no-migrations', file: path, message }],
    }
  }
  const paired = pair(entries)
  const contentOf = (file: string) => {
    const content = known.get(file)?.content
    return content === undefined || 'code' in content ? undefined : content
  }
  const migrations = paired.migrations.flatMap((files) => migrationOf(files, contentOf) ?? [])
  return { migrations, problems: [...wrong, ...paired.problems] }
}

function isSameProblem(one: Content | Problem, other: Problem): boolean {
  return 'code' in one && one.code === other.code && one.message === other.message
}

import { accessSync, constants, existsSync, lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Conduct, Engine, Order, Outcome, Patience } from '../core/engine.ts'
import { MigrationError } from '../core/errors.ts'
import type { Running } from '../core/migration.ts'
import { execute } from './execute.ts'
import { RecordReader } from './record.ts'
import { forkRunner, type RunnerProcess } from './runner-process.ts'

export interface SqliteEngineOptions {
  /** The path of the database file. */
  readonly file: string
  /** How long to wait for SQLite's write lock when the application holds it, in milliseconds. */
  readonly lockTimeoutMs: number
  /** A run past this is killed, in milliseconds. */
  readonly runTimeoutMs: number
  /** The environment of the runners. */
  readonly environment: Readonly<Record<string, string>>
}

/** How long an answer to "who holds the lock" is believed, in milliseconds: a dashboard may ask a thousand times a second. */
const PROBE_MS = 50

const MOST_LINKS = 20

/** How often a patient reader tries again, in milliseconds. */
const READ_AGAIN_MS = 20

/** How long after a run the next runner is forked, in milliseconds. */
const REWARM_MS = 20

/** The SQLite file `options.file` as an engine: read here, changed by runner processes only. */
export function sqliteEngine(
  options: SqliteEngineOptions,
): Engine & { /** Keeps a runner ready from now on. */ warm(): void } {
  const file = () => realFile(options.file)
  const fork = () => forkRunner({ SQLITE_TMPDIR: dirname(file()), ...options.environment })
  let reader = new RecordReader(file())
  let readerOf = file()
  let spare: RunnerProcess | null = null
  let probed: { at: number; running: Running | 'unknown' | null } | null = null
  const executing = new Set<Promise<Outcome>>()
  let recovery: Promise<void> | null = null
  let warmed = false
  let closed = false

  const record = () => {
    if (file() !== readerOf) {
      reader.close()
      readerOf = file()
      reader = new RecordReader(readerOf)
    }
    return reader
  }
  const readNow = async () => {
    try {
      return record().read()
    } catch (error) {
      if (!needsRecovery(error)) throw error
      // One for all who ask: each is a process.
      recovery ??= recover(fork(), file(), options).finally(() => {
        recovery = null
      })
      await recovery
      return record().read()
    }
  }
  const read = async (patience: Patience) => {
    const deadline = performance.now() + (patience === 'patient' ? options.lockTimeoutMs : 0)
    for (;;) {
      try {
        return await readNow()
      } catch (error) {
        if (!isLockedError(error) || performance.now() >= deadline) throw error
        await delay(READ_AGAIN_MS)
      }
    }
  }
  const runner = () => {
    const ready = spare?.alive ? spare : fork()
    spare = null
    return ready
  }
  const warm = () => {
    warmed = true
    if (!closed && executing.size === 0 && !spare?.alive) spare = fork()
  }

  return {
    read,
    warm,
    running: async () => {
      const now = performance.now()
      if (probed === null || now - probed.at > PROBE_MS) probed = { at: now, running: record().running() }
      return probed.running
    },
    keptDown: async (id) => record().keptDown(id),
    execute: async (order: Order, conduct: Conduct) => {
      refuseUnwritable(file())
      probed = null
      const executed = execute({
        ...options,
        order,
        conduct,
        file: file(),
        read: () => read('patient'),
        runner,
        fork,
      })
      executing.add(executed)
      try {
        return await executed
      } finally {
        executing.delete(executed)
        probed = null
        // Not before the answer has been sent.
        if (warmed) setTimeout(warm, REWARM_MS).unref()
      }
    },
    check: async () => {
      refuseUnwritable(file())
      await read('immediate')
    },
    close: async () => {
      closed = true
      await Promise.allSettled(executing)
      spare?.kill()
      await spare?.gone
      reader.close()
    },
  }
}

/** Through links to the file itself: SQLite names the journal after what it opens, and so do we the run lock. */
function realFile(path: string, links = 0): string {
  const whole = resolve(path)
  if (existsSync(whole)) return realpathSync(whole)
  // SQLite creates the file at the end of a link that leads nowhere yet.
  if (links < MOST_LINKS && isLink(whole)) return realFile(resolve(dirname(whole), readlinkSync(whole)), links + 1)
  return existsSync(dirname(whole)) ? join(realpathSync(dirname(whole)), basename(whole)) : whole
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink()
  } catch {
    // It is not there, or what should be its folder is none.
    return false
  }
}

function isLockedError(error: unknown): boolean {
  return error instanceof MigrationError && error.code === 'database-locked'
}

function needsRecovery(error: unknown): boolean {
  if (!(error instanceof MigrationError)) return false
  return ['SQLITE_READONLY_ROLLBACK', 'SQLITE_READONLY_RECOVERY', 'SQLITE_READONLY_CANTINIT'].includes(
    String(error.details.sqlite),
  )
}

/** Lets a runner claim the database, which undoes what a dead process has left open in it, and go. */
async function recover(runner: RunnerProcess, database: string, { lockTimeoutMs }: SqliteEngineOptions): Promise<void> {
  runner.say({ type: 'claim', database, lockTimeoutMs, waitMs: 0 })
  await runner.next()
  runner.say({ type: 'leave' })
  await runner.gone
}

/** A file that may be opened may still refuse the first write; so the permissions are asked, which opens nothing. */
function refuseUnwritable(file: string): void {
  let folder = dirname(file)
  while (!existsSync(folder)) folder = dirname(folder)
  const paths = existsSync(file) ? [folder, file] : [folder]
  for (const path of paths) {
    try {
      accessSync(path, constants.R_OK | constants.W_OK)
      const found = statSync(path)
      if (path === file ? !found.isFile() : !found.isDirectory()) throw new Error('it is of the wrong kind')
    } catch (error) {
      throw new MigrationError(
        'database-unavailable',
        `${path} is no ${path === file ? 'file' : 'folder'} that can be read and written; mend its permissions or its mount`,
        {},
        { cause: error },
      )
    }
  }
}

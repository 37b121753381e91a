import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import Sqlite from 'better-sqlite3'
import { beforeAll, onTestFinished } from 'vitest'
import type { Run } from '../../src/core/migration.ts'
import { undescribed } from './described.ts'
import { type Files, folderWith, temporaryFolder } from './folder.ts'

/** Where processes find the source compiled already: https://nodejs.org/api/module.html#module-compile-cache */
export const COMPILED: Readonly<Record<string, string>> = {
  ...(process.env.NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE }),
}

const WRITER = new URL('writer.ts', import.meta.url).pathname
const MAIN = new URL('../../src/main.ts', import.meta.url).pathname

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // What a test expects of a body, it says by its assertions.
  readonly body: Record<string, unknown> & {
    readonly run?: Run
    readonly code?: string
    readonly detail?: string
  }
}

export interface Server {
  readonly url: string
  readonly database: string
  readonly migrations: string
  readonly process: ChildProcess
  /** The lines of the log so far, parsed. */
  readonly log: Record<string, unknown>[]
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  post(path: string, init?: RequestInit): Promise<Answer>
  /** Resolves with the first line of the log, so far or later, for which `wanted` is true. */
  logged(wanted: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>
  /** The processes that this one has forked: runners. */
  children(): number[]
  /** Ends it and gives its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

export interface ServerOptions {
  readonly files?: Files
  readonly migrations?: string
  readonly database?: string
  readonly env?: Readonly<Record<string, string>>
  /** The words of a command that starts it, such as `unshare -m`; it must become the server, not wait for it. */
  readonly through?: readonly string[]
  /** When it is ended: with the test, unless it serves several. */
  readonly endWith?: (end: () => void) => void
}

/** Starts the service as a process of its own, on a free port. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const { endWith = onTestFinished } = options
  const migrations = options.migrations ?? folderWith(options.files ?? {}, endWith)
  const database = options.database ?? join(temporaryFolder(endWith), 'app.db')
  const env = {
    ...COMPILED,
    PATH: process.env.PATH ?? '',
    DATABASE_URL: `sqlite:${database}`,
    MIGRATIONS_DIR: migrations,
    PORT: '0',
  }
  const [command = '', ...words] = [...(options.through ?? []), process.execPath, MAIN]
  const child = spawn(command, words, {
    env: { ...env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  endWith(() => void child.kill('SIGKILL'))
  let errors = ''
  child.stderr.on('data', (data: Buffer) => {
    errors += data
  })
  const log: Record<string, unknown>[] = []
  const hearers = new Set<() => void>()
  createInterface(child.stdout).on('line', (line) => {
    log.push(JSON.parse(line) as Record<string, unknown>)
    for (const hear of hearers) hear()
  })
  const logged = (wanted: (line: Record<string, unknown>) => boolean) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const look = () => {
        const found = log.find(wanted)
        if (found === undefined) return
        hearers.delete(look)
        resolve(found)
      }
      hearers.add(look)
      child.once('close', () => reject(new Error(`the server has ended: ${errors}`)))
      look()
    })
  const listening = await logged(({ msg }) => String(msg).startsWith('listening on '))
  const url = String(listening.msg).slice('listening on '.length)
  return {
    url,
    database,
    migrations,
    process: child,
    log,
    logged,
    get: (path, headers = {}) => ask(`${url}${path}`, { headers }),
    post: (path, init = {}) => ask(`${url}${path}`, { method: 'POST', ...init }),
    children: () => childrenOf(child.pid ?? 0),
    stop: async (signal = 'SIGTERM') => {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      const closed = once(child, 'close')
      child.kill(signal)
      await closed
      return child.exitCode
    },
  }
}

/** What `start` starts once for all tests of a `describe`, ended after the last of them. */
export function shared<T>(start: (endWith: (end: () => void) => void) => Promise<T>): () => T {
  let started: { readonly it: T } | null = null
  beforeAll(async () => {
    const ends: (() => void)[] = []
    started = { it: await start((end) => ends.push(end)) }
    return () => {
      for (const end of ends) end()
    }
  })
  return () => {
    if (started === null) throw new Error('it is for tests, which run later')
    return started.it
  }
}

/** One request, its answer read to the end, and held against the OpenAPI document. */
export async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init)
  const text = await response.text()
  const { status, headers } = response
  const wrong = undescribed(init.method ?? 'GET', url, { status, headers, text })
  if (wrong !== null) throw new Error(`${wrong}: ${init.method ?? 'GET'} ${url}\n${status} ${text.slice(0, 2_000)}`)
  const json = /json/.test(headers.get('content-type') ?? '')
  return {
    status,
    headers,
    text,
    body: json && text !== '' ? JSON.parse(text) : {},
  }
}

/** The processes whose parent is `pid`, as the kernel says. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => parentOf(name) === pid)
    .map(Number)
}

function parentOf(pid: string): number {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    // It has ended while we looked.
    return -1
  }
}

/** Resolves when a runner waits for its claim, with the shell that ends it when its server dies. */
export async function tied({ children }: Pick<Server, 'children'>): Promise<number> {
  let shells: number[] = []
  await until(() => {
    shells = children().flatMap(childrenOf)
    return shells.length > 0
  })
  return shells[0] ?? 0
}

/** An application that writes a row for `ms` as soon as a run of `kind` has begun. Resolves when it waits for that. */
export async function startWriter(database: string, kind: string, ms: number): Promise<{ ended: Promise<unknown[]> }> {
  const child = spawn(process.execPath, [WRITER, database, kind, String(ms)], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return { ended: once(child, 'exit') }
}

/** Resolves when `condition` is true, asked again and again; the test's own time limit is the only one. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10))
}

/** All that a database holds, from a connection of our own: schema, rows, and whether it is sound. */
export function contentOf(database: string): {
  schema: unknown[]
  rows: Record<string, unknown[]>
  integrity: unknown
} {
  const db = new Sqlite(database, { readonly: true })
  try {
    const schema = db
      .prepare(
        `SELECT type, name, sql FROM sqlite_schema WHERE tbl_name NOT IN ('migration_log', 'migration_runs') ORDER BY name`,
      )
      .all()
    const tables = (schema as { type: string; name: string; sql: string | null }[]).filter(
      ({ type, sql }) => type === 'table' && !/VIRTUAL/.test(sql ?? ''),
    )
    const rows = tables.map(({ name }) => [name, db.prepare(`SELECT * FROM "${name}"`).all()] as const)
    return {
      schema,
      rows: Object.fromEntries(rows),
      integrity: db.pragma('integrity_check', { simple: true }),
    }
  } finally {
    db.close()
  }
}

/** Rows that a query gives, over a connection of our own. */
export function query(database: string, sql: string): unknown[] {
  const db = new Sqlite(database, { readonly: true })
  try {
    return db.prepare(sql).all()
  } finally {
    db.close()
  }
}

/** Whether the process is there, and not only not yet waited for. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** The runner that is in the middle of a step: it has the database open, and has computed for a while since we asked. */
export async function computing({ children, database }: Pick<Server, 'children' | 'database'>): Promise<number> {
  // A spare one, one that gets no further than the lock, and one whose run is over do not have it open.
  let runner = 0
  await until(() => {
    runner = children().find((pid) => opened(pid).includes(database)) ?? 0
    return runner !== 0
  })
  const before = ticksOf(runner)
  await until(() => ticksOf(runner) >= before + COMPUTED)
  return runner
}

/** In the kernel's ticks of ten milliseconds. */
const COMPUTED = 4

function ticksOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[13])
}

/** The files that a process has open; none of one that has ended. */
function opened(pid: number): string[] {
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).flatMap((fd) => linkOf(join(folder, fd)))
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
}

function linkOf(path: string): string[] {
  try {
    return [readlinkSync(path)]
  } catch (error) {
    // It was closed while we looked.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
}

/** A port on which nobody listened a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}

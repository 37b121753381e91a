import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder } from './places.ts'

export interface Ran {
  /** From before the process was made until it had ended, in milliseconds. */
  readonly ms: number
  readonly stdout: string
}

/** A server in a process of its own. */
export interface Server extends AsyncDisposable {
  readonly url: string
  readonly pid: number
}

type Environment = Readonly<NodeJS.ProcessEnv>

export interface RunOptions {
  readonly env?: Environment
  readonly cwd?: string
  /** When it is asked to end: it then ends well. */
  readonly until?: AbortSignal
}

const living = new Set<ChildProcess>()
let over = false

/** Runs a command to its end. Throws what it has printed when it fails. */
export async function run(command: string, words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { env, cwd, until } = options
  const folder = newFolder()
  // To files: through a pipe, what reads it here would be measured too.
  const paths = ['stdout', 'stderr'].map((name) => join(folder, name))
  const files = paths.map((path) => openSync(path, 'w'))
  try {
    const began = performance.now()
    const child = begin(command, words, { env, cwd, stdio: ['ignore', ...files] })
    until?.addEventListener('abort', () => child.kill('SIGTERM'), { once: true })
    const [code, signal] = await once(child, 'exit')
    const ms = performance.now() - began
    const [stdout = '', stderr = ''] = paths.map((path) => readFileSync(path, 'utf8'))
    if (code === 0) return { ms, stdout }
    throw new Error(`${[command, ...words].join(' ')} ended with ${signal ?? code}: ${stderr}${stdout.slice(0, 2_000)}`)
  } finally {
    for (const file of files) closeSync(file)
    rmSync(folder, { recursive: true })
  }
}

/** Starts a server that prints `listening on URL`. */
export async function startServer(command: string, words: readonly string[], env: Environment): Promise<Server> {
  const child = begin(command, words, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const url = await listening(child, words.join(' '))
  return { url, pid: child.pid ?? 0, [Symbol.asyncDispose]: () => end(child) }
}

/** Ends all processes that still run, and makes no more. */
export async function endAll(): Promise<void> {
  over = true
  await Promise.all([...living].map(end))
}

function begin(command: string, words: readonly string[], { env, ...options }: SpawnOptions): ChildProcess {
  if (over) throw new Error('interrupted')
  const child = spawn(command, words, { ...options, env: { PATH: process.env.PATH, ...env } })
  living.add(child)
  child.once('exit', () => living.delete(child))
  return child
}

async function listening(child: ChildProcess, what: string): Promise<string> {
  let printed = ''
  return await new Promise((resolve, reject) => {
    const hear = (data: Buffer) => {
      printed += data
      const url = /listening on (http:\/\/[\w.:]+)/.exec(printed)?.[1]
      if (url === undefined) return
      // Read on: a full pipe would stop it.
      child.stdout?.off('data', hear).resume()
      resolve(url)
    }
    child.stdout?.on('data', hear)
    child.once('error', reject).once('exit', () => reject(new Error(`${what} has ended: ${printed}`)))
  })
}

/** How long a process has that was asked to end, in milliseconds. */
const PATIENCE_MS = 10_000

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const impatience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS)
  await ended
  clearTimeout(impatience)
}

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { StatementReport } from '../core/migration.ts'
import type { FromRunner, ToldStep, ToRunner } from './messages.ts'
import { openOutput } from './output.ts'
import { HELD_STATUSES } from './progress.ts'
import { STATEMENTS_FD } from './watchdog.ts'
import { STATEMENT_LENGTH } from './watched.ts'

/** A runner as its parent sees it. */
export interface RunnerProcess {
  say(message: ToRunner): void
  /** The next message, or how the process ended. */
  next(): Promise<FromRunner | Ended>
  onOutput(hear: (line: string) => void): void
  /** SIGKILL, for it and for what it has started: SQLite undoes what it leaves open. */
  kill(): void
  /** Resolves when the process is gone and its last message has been read. */
  readonly gone: Promise<Ended>
  readonly alive: boolean
}

export interface Ended {
  readonly type: 'ended'
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Forks a runner, which waits for its claim. One that the system has no room for is like one that died at once. */
export function forkRunner(environment: Readonly<Record<string, string>>): RunnerProcess {
  const child = begin(environment)
  if (child === null) return STILLBORN
  const gone = endOf(child)
  const inbox = openInbox(child, gone)
  return {
    say: (message) => void (child.connected && child.send(message, () => {})),
    next: inbox,
    onOutput: (hear) => {
      const output = openOutput(hear)
      for (const stream of [child.stdout, child.stderr]) {
        const { take, end } = output()
        stream?.setEncoding('utf8').on('data', take).once('end', end)
      }
    },
    // Of one that is gone, and whose number may be another's by now, endOf has ended the group.
    kill: () => isThere(child) && killGroup(child),
    gone,
    get alive() {
      return isThere(child) && child.connected
    },
  }
}

/** Gives `null` where it cannot be begun, unless that is told later by an event. */
function begin(environment: Readonly<Record<string, string>>): ChildProcess | null {
  const entry = fileURLToPath(new URL(`./runner${extname(import.meta.url)}`, import.meta.url))
  try {
    return fork(entry, [String(process.pid)], {
      env: { ...environment },
      execArgv: [],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
      // A process group of its own: a signal to the server's does not reach it, and one to its own reaches its children.
      detached: true,
    })
  } catch {
    return null
  }
}

const NEVER_WAS: Ended = { type: 'ended', code: null, signal: null }

const STILLBORN: RunnerProcess = {
  say: () => {},
  next: async () => NEVER_WAS,
  onOutput: () => {},
  kill: () => {},
  gone: Promise.resolve(NEVER_WAS),
  alive: false,
}

/** Gone and read out. Not `close`: that waits for whoever has inherited what the runner prints to. */
async function endOf(child: ChildProcess): Promise<Ended> {
  const failed = once(child, 'error').then(() => NEVER_WAS)
  const read = child.connected ? once(child, 'disconnect') : Promise.resolve()
  const exited = once(child, 'exit').then(async ([code, signal]): Promise<Ended> => {
    // What it has started must not outlive it.
    killGroup(child)
    await read
    return { type: 'ended', code, signal }
  })
  return await Promise.race([exited, failed])
}

function isThere({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as { code?: string }).code !== 'ESRCH') throw error
  }
}

/** What the watchdog has written; `null` for anything else: a module can write there too. */
function messageFrom(text: string): FromRunner | null {
  try {
    const told: unknown = JSON.parse(text)
    if (Array.isArray(told)) return { type: 'steps', steps: told.map(stepFrom) }
    return { type: 'statement', statement: statementFrom(told as StatementReport) }
  } catch {
    return null
  }
}

function statementFrom({ id, n, line, text, elapsedMs }: StatementReport): StatementReport {
  if (![id, n, line ?? 0, elapsedMs].every(Number.isInteger)) throw new TypeError('no statement')
  return { id, n, line, text: text.slice(0, STATEMENT_LENGTH), elapsedMs }
}

function stepFrom([id, status, statements, durationMs]: ToldStep): ToldStep {
  const known: readonly string[] = HELD_STATUSES
  const numbers = [id, statements ?? 0, durationMs ?? 0].every(Number.isFinite)
  if (!known.includes(status) || !numbers) throw new TypeError('no step')
  return [id, status, statements, durationMs]
}

/** Messages in their order, kept until they are asked for. */
function openInbox(child: ChildProcess, gone: Promise<Ended>): () => Promise<FromRunner | Ended> {
  const waiting: (FromRunner | Ended)[] = []
  let wake: (() => void) | null = null
  const put = (message: FromRunner | Ended) => {
    waiting.push(message)
    wake?.()
  }
  child.on('message', (message) => put(message as FromRunner))
  // Without a descriptor to spare there are none, and the error is told later.
  const statements = (child.stdio as ChildProcess['stdio'] | undefined)?.[STATEMENTS_FD]
  if (statements instanceof Readable) {
    // A runner that is killed cuts it off, and what it was in the middle of is of no interest.
    statements.on('error', () => {})
    createInterface(statements).on('line', (line) => {
      const message = messageFrom(line)
      if (message !== null) put(message)
    })
  }
  void gone.then(put)
  return async () => {
    while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    const [first] = waiting as [FromRunner | Ended]
    // The end is the last word, however often it is asked for.
    if (first.type !== 'ended') waiting.shift()
    return first
  }
}

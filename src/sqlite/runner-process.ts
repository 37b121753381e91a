import { type ChildProcess, fork } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FromRunner, ToRunner } from './messages.ts'
import { openOutput } from './output.ts'

/** A runner as its parent sees it. */
export interface RunnerProcess {
  say(message: ToRunner): void
  /** The next message, or how the process ended. */
  next(): Promise<FromRunner | Ended>
  onOutput(hear: (line: string) => void): void
  /** SIGKILL: SQLite undoes what it leaves open. */
  kill(): void
  /** Resolves when the process is gone. */
  readonly gone: Promise<Ended>
  readonly alive: boolean
}

export interface Ended {
  readonly type: 'ended'
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Forks a runner, which waits for its claim. */
export function forkRunner(environment: Readonly<Record<string, string>>): RunnerProcess {
  const entry = fileURLToPath(new URL(`./runner${extname(import.meta.url)}`, import.meta.url))
  const child = fork(entry, [String(process.pid)], {
    env: { ...environment },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const gone = endOf(child)
  const inbox = openInbox(child, gone)
  return {
    say: (message) => void (child.connected && child.send(message, () => {})),
    next: inbox,
    onOutput: (hear) => {
      const output = openOutput(hear)
      for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', output())
    },
    kill: () => void child.kill('SIGKILL'),
    gone,
    get alive() {
      return child.exitCode === null && child.signalCode === null && child.connected
    },
  }
}

/** `close` and not `exit`: it comes after the last message has been read from the channel. */
function endOf(child: ChildProcess): Promise<Ended> {
  return new Promise((resolve) => {
    child.once('close', (code, signal) => resolve({ type: 'ended', code, signal }))
    child.once('error', () => resolve({ type: 'ended', code: null, signal: null }))
  })
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
  void gone.then(put)
  return async () => {
    while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    const [first] = waiting as [FromRunner | Ended]
    // The end is the last word, however often it is asked for.
    if (first.type !== 'ended') waiting.shift()
    return first
  }
}

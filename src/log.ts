import { writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { type Logger, pino } from 'pino'
import type { RunEvent } from './core/runs.ts'

/** How long the last lines have to be written, in milliseconds. */
const END_MS = 500

/** The log of the process, on its standard output. */
export interface Log {
  readonly log: Logger
  /** A line for what happens to a run. */
  tell(event: RunEvent): void
  /** Resolves when all is written, or nobody is there to read it. */
  end(): Promise<void>
  /**
   * Lets the process exit whether or not all is written. pino writes what is left in the exit, in a loop that a reader who has
   * gone away would never let end.
   */
  abandon(): void
}

/** For how long lines are gathered to be written together, in milliseconds, and how many characters of them at the most. */
const GATHER_MS = 10
const MOST_GATHERED = 16_000

export function openLog(level: string): Log {
  const gathered = gather((text) => destination.write(text))
  // Before pino's own, which writes what its stream holds.
  process.on('exit', gathered.pass)
  const destination = openDestination()
  const redact = ['authorization', 'headers.authorization', 'req.headers.authorization']
  const log = pino({ level, redact }, gathered)
  const abandon = () => {
    gathered.pass()
    process.removeAllListeners('exit')
  }
  return {
    log,
    tell: teller(log),
    end: async () => {
      gathered.pass()
      const written = new Promise<void>((resolve) => destination.once('drain', resolve).once('error', () => resolve()))
      // It says that it has nothing more to write only after it was given something; its flush does not wait at all.
      destination.write('')
      await Promise.race([written, delay(END_MS)])
      abandon()
    },
    abandon,
  }
}

/** How many bytes of lines may wait while they cannot be written; what comes then is dropped. How long until it is tried again, in milliseconds. */
const [MOST_WAITING, AGAIN_MS] = [1 << 20, 1_000]

/** The standard output. Where it cannot be written, as a file on a full disk, the service goes on, and so does the log when it can. */
function openDestination(): ReturnType<typeof pino.destination> {
  let broken = false
  // Before pino's own, which would try for ever to write what is left.
  process.on('exit', () => {
    if (broken) destination.flushSync = () => {}
  })
  const destination = pino.destination({ dest: 1, maxLength: MOST_WAITING })
  const again = () => {
    waiting = false
    if (broken) destination.write('')
  }
  let waiting = false
  destination.on('write', () => {
    broken = false
  })
  destination.on('error', ({ message, code }: Error & { code?: string }) => {
    // Who has closed the other end of a pipe wants no more of it.
    if (!broken && code !== 'EPIPE')
      complain(`schemad: the log cannot be written, and lines of it may be lost: ${message}\n`)
    broken = true
    if (!waiting) setTimeout(again, AGAIN_MS).unref()
    waiting = true
  })
  return destination
}

function complain(text: string): void {
  try {
    writeSync(2, text)
  } catch {
    // It may be on the same disk.
  }
}

/** Gives lines that come together on in one piece: each write is a system call, which costs more than the request it tells of. */
function gather(write: (text: string) => void): { write(line: string): void; pass(): void } {
  let text = ''
  const pass = () => {
    if (text !== '') write(text)
    text = ''
  }
  return {
    write(line) {
      if (text === '') setTimeout(pass, GATHER_MS).unref()
      text += line
      if (text.length >= MOST_GATHERED) pass()
    },
    pass,
  }
}

/** The log of what happens to runs; the logger of one is kept as long as it is the only one. */
function teller(log: Logger): (event: RunEvent) => void {
  let last: { readonly runId: string; readonly line: Logger } | null = null
  return (event) => {
    const { id: runId, requestId, actor, rehearsal } = event.run
    const whose = { runId, requestId, actor, ...(rehearsal && { rehearsal }) }
    if (last?.runId !== runId) last = { runId, line: log.child(whose) }
    tell(last.line, event)
  }
}

/** The line before a step is the one that the ancestor prints. */
function tell(line: Logger, event: RunEvent): void {
  const { kind, durationMs } = event.run
  if (event.type === 'begun') line.info({ kind, steps: event.run.steps.length }, `${kind} begins`)
  if (event.type === 'output') line.info({ output: event.line }, 'output of a migration')
  if (event.type === 'step') {
    const { id: migrationId, name, direction, status, durationMs, statements } = event.step
    const step = { migrationId, name, direction }
    if (status === 'running') line.info(step, `${migrationId} ${name}`)
    else line.info({ ...step, status, durationMs, statements }, `${migrationId} ${name} ${status}`)
  }
  if (event.type !== 'ended') return
  const { status, error } = event.run
  if (status === 'succeeded') line.info({ kind, status, durationMs }, `${kind} ${status}`)
  else line.error({ kind, status, durationMs, error, err: event.error }, `${kind} ${status}`)
}

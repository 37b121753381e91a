import type { writeSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { StatementReport } from '../core/migration.ts'
import { HELD_STATUSES, LAYOUT } from './progress.ts'

/** The file descriptor over which the watchdog tells statements and steps, a line of JSON each. */
export const STATEMENTS_FD = 4

const LOOK_MS = 100

/** As it is now: a module may put something else in its place. */
const Thread = Worker

/**
 * Tells which statement keeps this process busy, and which steps are held back meanwhile; and ends it, and all of its group, within
 * a tenth of a second after `parent` has died, should nothing else do that. It is a thread of its own, because the main thread
 * runs no JavaScript while SQLite is busy, and SIGKILL, because SQLite undoes what it leaves open.
 */
export function watchOver(parent: number, memory: SharedArrayBuffer): void {
  const given = JSON.stringify([parent, STATEMENTS_FD, LOOK_MS, LAYOUT, HELD_STATUSES])
  const source = `(${watch})(...${given}, require('node:worker_threads').workerData, require('node:fs').writeSync)`
  const limits = {
    maxOldGenerationSizeMb: 8,
    maxYoungGenerationSizeMb: 1,
    stackSizeMb: 1,
  }
  new Thread(source, {
    eval: true,
    workerData: memory,
    resourceLimits: limits,
    execArgv: [],
  }).unref()
}

/** What the thread does. Its text is all that the thread is given, so it stands alone; a file of types would need too much memory. */
function watch(
  parent: number,
  fd: number,
  lookMs: number,
  layout: typeof LAYOUT,
  statuses: readonly string[],
  memory: SharedArrayBuffer,
  write: typeof writeSync,
): void {
  const numbers = new Int32Array(memory, 0, layout.numbersEnd / 4)
  const clock = new Float64Array(memory, layout.clockAt, 1)
  const bytes = Buffer.from(memory)
  let given = 0
  let held = [0, 0]
  let heldBefore = false
  let looks = 0

  /** The statement that runs, unless somebody has told it. */
  const untold = (): StatementReport | null => {
    const version = Atomics.load(numbers, layout.version)
    if (version === given || version === Atomics.load(numbers, layout.told) || version % 2 === 1) return null
    const [id = 0, n = 0, line = 0, length = 0] = numbers.slice(layout.id)
    const letters = bytes.toString('utf16le', layout.textAt, layout.textAt + 2 * length)
    const elapsedMs = Math.round(Number(process.hrtime.bigint()) / 1e6 - (clock[0] ?? 0))
    // It was written over while it was read, or is one of a step that is held back by now: the next look will do.
    if (Atomics.load(numbers, layout.version) !== version || Atomics.load(numbers, layout.held) !== held[1]) return null
    given = version
    return { id, n, line: line === 0 ? null : line, text: letters, elapsedMs }
  }

  /** The steps that have been held back since the look before, as a line of JSON. */
  const heldSteps = (): string | null => {
    const now = [Atomics.load(numbers, layout.flushes), Atomics.load(numbers, layout.held)]
    const same = now.join() === held.join()
    const due = same && !heldBefore && now[1] !== 0
    held = now
    heldBefore = due || (same && heldBefore)
    if (!due) return null
    const parts = new Float64Array(memory, layout.heldAt, 4 * (now[1] ?? 0)).slice()
    if (Atomics.load(numbers, layout.flushes) !== now[0]) return null
    const steps: unknown[] = []
    // JSON has null for what is no number.
    for (let at = 0; at < parts.length; at += 4)
      steps.push([parts[at], statuses[parts[at + 1] ?? 0], parts[at + 2], parts[at + 3]])
    return JSON.stringify(steps)
  }

  /** A reader of lines may take these two for ends of lines. */
  const lineOf = (text: string) => text.replace(/[\u2028\u2029]/g, (end) => `\\u${end.charCodeAt(0).toString(16)}`)

  setInterval(() => {
    if (process.ppid !== parent) process.kill(-process.pid, 'SIGKILL')
    looks += 1
    const steps = heldSteps()
    // Of a step that is not told yet nobody would believe a statement.
    const statement = looks % 2 === 0 && (held[1] === 0 || heldBefore) ? untold() : null
    try {
      if (steps !== null) write(fd, `${steps}\n`)
      if (statement !== null) write(fd, `${lineOf(JSON.stringify(statement))}\n`)
    } catch {
      // The parent has just died; the next look ends this process.
    }
  }, lookMs)
}

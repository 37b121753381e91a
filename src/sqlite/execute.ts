import type { Conduct, Order, Outcome } from '../core/engine.ts'
import { errorFrom, MigrationError } from '../core/errors.ts'
import type { Step } from '../core/migration.ts'
import { reportOf, setReport } from '../core/outcome.ts'
import { currentOf, type History } from '../core/plan.ts'
import type { Known, RunnerResult, RunRow, ToRunner } from './messages.ts'
import { type LastStatement, notBegun, reasonOf, stuck, timedOut, where } from './reason.ts'
import type { RunnerProcess } from './runner-process.ts'

export interface Execution {
  readonly order: Order
  readonly conduct: Conduct
  readonly file: string
  readonly lockTimeoutMs: number
  readonly runTimeoutMs: number
  readonly read: () => Promise<History>
  /** A runner for the run: one that waits already, where there is one. */
  readonly runner: () => RunnerProcess
  readonly fork: () => RunnerProcess
}

/** How long a settling runner may wait for the lock: its holder is dead or ends soon. */
const SETTLE_MS = 10_000
const SETTLE_TRIES = 3
/** How long a runner may take to get hold of a database that nobody holds. */
const CLAIM_MS = 30_000
const NO_CHANGES = { created: [], dropped: [], altered: [] }

/** One run: a runner claims the database, is told the steps, and ends. Whatever becomes of it, the record is believed. */
export async function execute(execution: Execution): Promise<Outcome> {
  const { stop, hear } = execution.conduct
  stop.throwIfAborted()
  const runner = execution.runner()
  runner.onOutput((line) => hear({ type: 'output', line }))
  // Whatever ends it first is the reason.
  const end = new AbortController()
  end.signal.addEventListener('abort', () => runner.kill())
  const unheard = onAbort(stop, () => end.abort(stop.reason))
  try {
    return await converse(execution, runner, end)
  } finally {
    unheard()
    // Its last word has been said; it ends by itself, and only a stuck one needs this.
    if (runner.alive) setTimeout(() => runner.kill(), 5_000).unref()
  }
}

async function converse(execution: Execution, runner: RunnerProcess, end: AbortController): Promise<Outcome> {
  const { order, conduct, file, lockTimeoutMs, runTimeoutMs } = execution
  const { waitMs, ...run } = order
  await claim(runner, { type: 'claim', database: file, lockTimeoutMs, waitMs }, end)
  conduct.hear({ type: 'claimed' })
  const { steps, current } = await decide(execution, runner)
  if (steps.length === 0) return nothingDone(current)
  const startedAt = new Date().toISOString()
  using _ = limit(end, runTimeoutMs, () => timedOut(runTimeoutMs))
  runner.say({ type: 'run', run, steps })
  const begun = await runner.next()
  if (begun.type === 'refused') throw errorFrom(begun.error)
  // A runner that died without a word may still have done something: what it said last can have died with it.
  const known = begun.type === 'begun' ? begun : { startedAt, from: current, before: null }
  return await attend(execution, runner, run, steps, known, end.signal)
}

/** Has the runner get hold of the database. Throws why it did not. */
async function claim(runner: RunnerProcess, words: ToRunner & { type: 'claim' }, end: AbortController): Promise<void> {
  using _ = limit(end, words.waitMs + words.lockTimeoutMs + CLAIM_MS, () => stuck(words.database))
  runner.say(words)
  const claimed = await runner.next()
  if (claimed.type === 'claimed') return
  if (claimed.type === 'busy')
    throw new MigrationError('change-in-progress', 'another process is changing the database')
  throw notBegun(claimed, end.signal)
}

/** Asks for the steps. Whatever comes of it, a runner that is given none goes home. */
async function decide(
  { conduct, read }: Execution,
  runner: RunnerProcess,
): Promise<{ steps: readonly Step[]; current: number | null }> {
  let steps: readonly Step[] = []
  try {
    const history = await read()
    steps = conduct.decide(history)
    return { steps, current: currentOf(history.applied) }
  } finally {
    if (steps.length === 0) {
      runner.say({ type: 'leave' })
      await runner.gone
    }
  }
}

/** Listens until the last word, or the end of the process without one. */
async function attend(
  execution: Execution,
  runner: RunnerProcess,
  run: RunRow,
  steps: readonly Step[],
  { startedAt, from, before }: Pick<Known, 'startedAt' | 'from' | 'before'>,
  end: AbortSignal,
): Promise<Outcome> {
  const { conduct } = execution
  const reports = steps.map((step) => reportOf(step))
  conduct.hear({ type: 'begun', startedAt, steps: [...reports] })
  let place: LastStatement | null = null
  for (;;) {
    const message = await runner.next()
    if (message.type === 'result') return outcomeOf(message.result)
    if (message.type === 'statement') place = message
    if (message.type === 'step') {
      place = null
      setReport(reports, message.step)
      conduct.hear({ type: 'step', step: message.step })
    }
    if (message.type !== 'ended' && message.type !== 'refused') continue
    const reason = message.type === 'refused' ? errorFrom(message.error) : reasonOf(message, end)
    await runner.gone
    const known = { startedAt, from, before, reports, error: where(reason, steps, reports, place) }
    return outcomeOf(await settle(execution, run, steps, known))
  }
}

/** Has the record read back and completed by another runner; that one may die too. */
async function settle(
  { fork, file, lockTimeoutMs }: Execution,
  run: RunRow,
  steps: readonly Step[],
  known: Known,
): Promise<RunnerResult> {
  for (let tries = 0; tries < SETTLE_TRIES; tries += 1) {
    const runner = fork()
    runner.say({
      type: 'claim',
      database: file,
      lockTimeoutMs,
      waitMs: SETTLE_MS,
    })
    const claimed = await runner.next()
    if (claimed.type === 'claimed') {
      // The texts of the steps have no part in this.
      const bare = steps.map((step) => ({ ...step, source: null }))
      runner.say({ type: 'settle', run, steps: bare, known })
      const settled = await runner.next()
      if (settled.type === 'result') return settled.result
    }
    runner.kill()
    await runner.gone
  }
  throw new MigrationError(
    'runner-crashed',
    `${known.error.message}; the record could not be read back: GET /migrations tells how it stands`,
  )
}

function outcomeOf(result: RunnerResult): Outcome {
  return { ...result, error: result.error && errorFrom(result.error) }
}

function nothingDone(current: number | null): Outcome {
  return {
    steps: [],
    from: current,
    to: current,
    schemaChanges: NO_CHANGES,
    error: null,
    startedAt: null,
    finishedAt: null,
    durationMs: null,
  }
}

function onAbort(signal: AbortSignal, act: () => void): () => void {
  signal.addEventListener('abort', act, { once: true })
  return () => signal.removeEventListener('abort', act)
}

/** Ends with `reason` after `ms`, unless it is disposed of before. */
function limit(end: AbortController, ms: number, reason: () => MigrationError): Disposable {
  const timer = setTimeout(() => end.abort(reason()), ms)
  return { [Symbol.dispose]: () => clearTimeout(timer) }
}

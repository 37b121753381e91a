import type { Conduct, Order, Outcome } from '../core/engine.ts'
import { errorFrom, MigrationError } from '../core/errors.ts'
import type { Step } from '../core/migration.ts'
import { reportOf, setReport } from '../core/outcome.ts'
import { currentOf, type History } from '../core/plan.ts'
import type { Known, RunnerResult, RunRow } from './messages.ts'
import { type LastStatement, notBegun, reasonOf, where } from './reason.ts'
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
const NO_CHANGES = { created: [], dropped: [], altered: [] }

/** One run: a runner claims the database, is told the steps, and ends. Whatever becomes of it, the record is believed. */
export async function execute(execution: Execution): Promise<Outcome> {
  const { conduct } = execution
  conduct.stop.throwIfAborted()
  const runner = execution.runner()
  runner.onOutput((line) => conduct.hear({ type: 'output', line }))
  const stopped = onAbort(conduct.stop, () => runner.kill())
  try {
    return await converse(execution, runner)
  } finally {
    stopped()
    // Its last word has been said; it ends by itself, and only a stuck one needs this.
    if (runner.alive) setTimeout(() => runner.kill(), 5_000).unref()
  }
}

async function converse(execution: Execution, runner: RunnerProcess): Promise<Outcome> {
  const { order, conduct, file, lockTimeoutMs } = execution
  runner.say({
    type: 'claim',
    database: file,
    lockTimeoutMs,
    waitMs: order.waitMs,
  })
  const claimed = await runner.next()
  if (claimed.type === 'busy')
    throw new MigrationError('change-in-progress', 'another process is changing the database')
  if (claimed.type !== 'claimed') throw notBegun(claimed, conduct.stop)
  const { steps, current } = await decide(execution, runner)
  if (steps.length === 0) return nothingDone(current)
  const { waitMs: _, ...run } = order
  runner.say({ type: 'run', run, steps })
  const begun = await runner.next()
  if (begun.type === 'refused') throw errorFrom(begun.error)
  const unheard = {
    type: 'begun',
    startedAt: new Date().toISOString(),
    from: current,
    before: null,
  } as const
  // A runner that died without a word may still have done something: what it said last can have died with it.
  return attend(execution, runner, run, steps, begun.type === 'begun' ? begun : unheard)
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
): Promise<Outcome> {
  const { conduct, runTimeoutMs } = execution
  const reports = steps.map((step) => reportOf(step))
  conduct.hear({ type: 'begun', startedAt, steps: [...reports] })
  let place: LastStatement | null = null
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    runner.kill()
  }, runTimeoutMs)
  try {
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
      const reason =
        message.type === 'refused' ? errorFrom(message.error) : reasonOf(message, conduct.stop, timedOut, runTimeoutMs)
      const error = where(reason, steps, reports, place)
      await runner.gone
      return outcomeOf(
        await settle(execution, run, steps, {
          startedAt,
          from,
          before,
          reports,
          error,
        }),
      )
    }
  } finally {
    clearTimeout(timer)
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

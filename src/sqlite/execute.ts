import type { Conduct, Order, Outcome } from '../core/engine.ts'
import { errorFrom, MigrationError } from '../core/errors.ts'
import type { StatementReport, StepReport } from '../core/migration.ts'
import { findReport, reportOf, setReport } from '../core/outcome.ts'
import type { Assignment, FromRunner, Known, RunnerResult, ToldStep, ToRunner } from './messages.ts'
import { neverBegan, notBegun, reasonOf, stuck, timedOut, where } from './reason.ts'
import type { RunnerProcess } from './runner-process.ts'

export interface Execution {
  readonly order: Order
  readonly conduct: Conduct
  /** The database whose lock is to be taken. */
  readonly claim: string
  readonly lockTimeoutMs: number
  readonly runTimeoutMs: number
  /** Asked when nobody else can begin: what to do, `null` where there is nothing; and the current id. */
  readonly assign: () => Promise<{ readonly words: Assignment | null; readonly current: number | null }>
  /** Tells what has really happened when the runner died before it could, or had told no more than its `ending`. */
  readonly settle: (words: Assignment, known: Known, ending: RunnerResult | null) => Promise<RunnerResult>
  /** Has the end that a runner told and could not record recorded later. */
  readonly complete: (words: Assignment, known: Known, told: RunnerResult) => void
  /** A runner for the run: one that waits already, where there is one. */
  readonly runner: () => RunnerProcess
}

/** How long a runner may take to get hold of a database that nobody holds. */
const CLAIM_MS = 30_000
const NO_CHANGES = { created: [], dropped: [], altered: [] }

/** One run: a runner claims the database, is told what to do, and ends. Whatever becomes of it, the record is believed. */
export async function execute(execution: Execution): Promise<Outcome> {
  // A runner that has waited may have been killed meanwhile; nothing had been asked of it.
  return (await attempt(execution)) ?? (await attempt(execution)) ?? Promise.reject(neverBegan())
}

/** Gives `null` when the runner was gone before it had the claim. */
async function attempt(execution: Execution): Promise<Outcome | null> {
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

async function converse(execution: Execution, runner: RunnerProcess, end: AbortController): Promise<Outcome | null> {
  const { order, conduct, claim: database, lockTimeoutMs, runTimeoutMs } = execution
  const claimed = await claim(runner, { type: 'claim', database, lockTimeoutMs, waitMs: order.waitMs }, end)
  if (claimed === null) return null
  const { startedAt } = claimed
  conduct.hear({ type: 'claimed', startedAt })
  const { words, current } = await assign(execution, runner)
  if (words === null) return nothingDone(current)
  using _ = limit(end, runTimeoutMs, () => timedOut(runTimeoutMs))
  runner.say(words)
  const begun = await runner.next()
  if (begun.type === 'refused') throw errorFrom(begun.error)
  // A runner that died without a word may still have done something: what it said last can have died with it.
  const known = begun.type === 'begun' ? begun : { startedAt, from: current, before: null, backup: null }
  return await attend(execution, runner, words, known, end.signal)
}

/** Has the runner get hold of the database. Throws why it did not; gives `null` when it died of something else. */
async function claim(
  runner: RunnerProcess,
  words: ToRunner & { type: 'claim' },
  end: AbortController,
): Promise<(FromRunner & { type: 'claimed' }) | null> {
  using _ = limit(end, words.waitMs + words.lockTimeoutMs + CLAIM_MS, () => stuck(words.database))
  runner.say(words)
  const claimed = await runner.next()
  if (claimed.type === 'claimed') return claimed
  if (claimed.type === 'busy')
    throw new MigrationError('change-in-progress', 'another process is changing the database')
  if (claimed.type === 'ended' && !end.signal.aborted) return null
  throw notBegun(claimed, end.signal)
}

/** Asks what to do. Whatever comes of it, a runner that is given nothing goes home. */
async function assign(
  execution: Execution,
  runner: RunnerProcess,
): Promise<{ words: Assignment | null; current: number | null }> {
  let words: Assignment | null = null
  try {
    const assigned = await execution.assign()
    words = assigned.words
    return assigned
  } finally {
    if (words === null) {
      runner.say({ type: 'leave' })
      await runner.gone
    }
  }
}

/** Listens until the last word, or the end of the process without one. */
async function attend(
  { conduct, settle, complete }: Execution,
  runner: RunnerProcess,
  words: Assignment,
  { startedAt, from, before, backup }: Pick<Known, 'startedAt' | 'from' | 'before' | 'backup'>,
  end: AbortSignal,
): Promise<Outcome> {
  const { steps } = words
  const reports = steps.map((step) => reportOf(step))
  conduct.hear({ type: 'begun', startedAt, from, steps: [...reports] })
  let place: StatementReport | null = null
  let ending: RunnerResult | null = null
  for (;;) {
    const message = await runner.next()
    if (message.type === 'ending') ending = message.result
    if (message.type === 'result') {
      const { result, recorded } = message
      const error = result.error ?? UNTOLD
      if (!recorded) complete(words, { startedAt, from, before, backup, reports: result.steps, error }, result)
      return outcomeOf(result)
    }
    if (message.type === 'statement' && isLater(message.statement, reports, place)) {
      place = message.statement
      conduct.hear({ type: 'statement', statement: place })
    }
    for (const told of message.type === 'steps' ? message.steps : []) {
      const step = newsOf(told, reports)
      if (step === null) continue
      place = null
      setReport(reports, step)
      conduct.hear({ type: 'step', step })
    }
    if (message.type !== 'ended' && message.type !== 'refused') continue
    const reason = message.type === 'refused' ? errorFrom(message.error) : reasonOf(message, end)
    await runner.gone
    const error = where(reason, steps, reports, place)
    return outcomeOf(await settle(words, { startedAt, from, before, backup, reports, error }, ending))
  }
}

/** Statements come over two channels: what the slower one brings may be over by then. */
function isLater({ id, n }: StatementReport, reports: readonly StepReport[], last: StatementReport | null): boolean {
  return findReport(reports, id)?.status === 'running' && n > (last?.n ?? 0)
}

/** The report that was told, unless it is known: the watchdog tells what the main thread holds back, which then tells it itself. */
function newsOf([id, status, statements, durationMs]: ToldStep, reports: readonly StepReport[]): StepReport | null {
  const known = findReport(reports, id)
  if (known === undefined) return null
  const isNews = known.status === 'not-run' || (known.status === 'running' && status !== 'running')
  return isNews ? { ...known, status, statements, durationMs } : null
}

/** What would be wrong with a run that has told its end. */
const UNTOLD = { code: 'internal', message: 'it told no error' } as const

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
    backup: null,
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

import type { Engine, EngineEvent, Order, Outcome } from './engine.ts'
import { asMigrationError, MigrationError } from './errors.ts'
import type { Directory, Run, Running, StepReport } from './migration.ts'
import { setReport } from './outcome.ts'
import { currentOf, type History, plan } from './plan.ts'
import { asRunning, draftRun, endedRun, idleRun, orderOf, plannedRun, type RunRequest } from './run.ts'
import { openTurns } from './turns.ts'

/** What happens to runs, for the log. `error` is what the answer leaves out. */
export type RunEvent =
  | {
      readonly type: 'begun' | 'ended'
      readonly run: Run
      readonly error?: unknown
    }
  | { readonly type: 'step'; readonly run: Run; readonly step: StepReport }
  | { readonly type: 'output'; readonly run: Run; readonly line: string }

export interface Runs {
  /**
   * Makes a run, when it is its turn, and gives it when it has ended well.
   *
   * @throws MigrationError why it was refused or failed; where a run was made, with `run` among the details.
   */
  start(request: RunRequest): Promise<Run>
  /** The run that holds the database, here or in another process. */
  running(): Promise<Running | null>
  /** Refuses new runs, gives the one under way `graceMs` to end, then has it killed and rolled back. */
  close(graceMs: number): Promise<void>
}

export interface RunsOptions {
  readonly engine: Engine
  /** The directory as it is now. */
  readonly look: () => Promise<Directory>
  readonly now: () => Date
  readonly newId: () => string
  readonly hear: (event: RunEvent) => void
}

/** What a plan is made of. */
interface Seen {
  readonly directory: Directory
  readonly history: History
}

/** The run whose turn it is. */
interface Turn {
  run: Run
  /** When it got hold of the database; `null` before. ISO 8601, UTC. */
  heldSince: string | null
  readonly stop: AbortController
  readonly ended: Promise<unknown>
}

/** How often, and after how many milliseconds, it is asked again who holds the database when he has not said so yet. */
const ASK_TIMES = 40
const ASK_MS = 25

/** One change at a time. */
export function openRuns({ engine, look, now, newId, hear }: RunsOptions): Runs {
  const turns = openTurns()
  let current: Turn | null = null

  async function start(asked: RunRequest): Promise<Run> {
    const created = now()
    const queued = draftRun(asked, newId(), created)
    const planOf = ({ directory, history }: Seen) => plan(directory, history, asked.request)
    if (asked.dryRun) {
      const seen = await see()
      return plannedRun(queued, currentOf(seen.history.applied), planOf(seen), now())
    }
    // What has nothing to do needs no turn, and is nobody's way.
    const seen = turns.free() ? await see() : null
    if (seen !== null && planOf(seen).length === 0) return idleRun(queued, currentOf(seen.history.applied), now())
    const waits = !turns.free()
    const end = await turns.take(asked.waitMs, asked.client)
    if (end === null) throw await inProgress()
    const left = Math.max(0, asked.waitMs - (now().getTime() - created.getTime()))
    try {
      return await turn(queued, asked, left, waits ? null : seen)
    } finally {
      end()
    }
  }

  async function see(): Promise<Seen> {
    const [directory, history] = await Promise.all([look(), engine.read('patient')])
    return { directory, history }
  }

  async function turn(queued: Run, asked: RunRequest, waitMs: number, seen: Seen | null): Promise<Run> {
    const stop = new AbortController()
    const drop = () => stop.abort(asked.client.reason)
    asked.client.addEventListener('abort', drop)
    // From its beginning on it goes on without its client.
    const begin = () => asked.client.removeEventListener('abort', drop)
    const made = execute(queued, asked, waitMs, seen, stop.signal, begin)
    current = { run: queued, heldSince: null, stop, ended: made.catch(() => {}) }
    try {
      return await made
    } finally {
      begin()
      current = null
    }
  }

  async function execute(
    queued: Run,
    asked: RunRequest,
    waitMs: number,
    seen: Seen | null,
    stop: AbortSignal,
    begin: () => void,
  ): Promise<Run> {
    const { directory, history } = seen ?? (await see())
    const planOf = (history: History) => plan(directory, history, asked.request)
    if (planOf(history).length === 0) return idleRun(queued, currentOf(history.applied), now())
    let run = queued
    const steps: StepReport[] = []
    const onEvent = (event: EngineEvent) => {
      if (event.type === 'claimed') {
        if (current !== null) current.heldSince = now().toISOString()
        return
      }
      if (event.type === 'begun') {
        begin()
        steps.push(...event.steps)
        run = { ...queued, status: 'running', startedAt: event.startedAt, steps }
        if (current !== null) current.run = run
        return hear({ type: 'begun', run })
      }
      if (event.type === 'step') setReport(steps, event.step)
      hear({ ...event, run })
    }
    const order: Order = { ...orderOf(queued, asked), waitMs }
    const executed = engine.execute(order, { decide: planOf, hear: onEvent, stop })
    const outcome = await executed.catch(async (error: unknown) => {
      if (error instanceof MigrationError && error.code === 'change-in-progress') throw await inProgress()
      throw error
    })
    return outcome.startedAt === null ? idleRun(queued, outcome.to, now()) : told(endedRun(run, outcome), outcome)
  }

  /** Gives a run that ended well; throws the error of one that did not, with the run. */
  function told(run: Run, { error }: Outcome): Run {
    hear(error === null ? { type: 'ended', run } : { type: 'ended', run, error })
    if (error === null) return run
    throw new MigrationError(error.code, error.message, { ...error.details, run }, { cause: error.cause })
  }

  async function running(): Promise<Running | null> {
    if (current?.heldSince) return asRunning(current.run, current.heldSince)
    const other = await engine.running()
    return other === 'unknown' ? null : other
  }

  /** Who is in the way: also one who is about to begin. */
  async function holder(): Promise<Running | null> {
    for (let times = 0; times < ASK_TIMES; times += 1) {
      if (current?.heldSince) return asRunning(current.run, current.heldSince)
      const other = await engine.running()
      if (other === null) return current && asRunning(current.run, current.heldSince)
      if (other !== 'unknown') return other
      await new Promise((resolve) => setTimeout(resolve, ASK_MS))
    }
    return null
  }

  async function inProgress(): Promise<MigrationError> {
    const held = await holder()
    const who = held === null ? '' : ` (${held.kind} ${held.id} by ${held.actor}, since ${held.startedAt})`
    const message = `another change is under way${who}; wait for it, or post with wait=SECONDS`
    return new MigrationError('change-in-progress', message, { running: held })
  }

  async function close(graceMs: number): Promise<void> {
    const reason = new MigrationError('shutting-down', 'the server is shutting down; post again when it is back')
    turns.close(reason)
    if (current === null) return
    const { run, stop, ended } = current
    const killed = new MigrationError(
      'shutting-down',
      'the server had to shut down before the run was over; it was killed and rolled back',
    )
    // What has not begun by now does not begin any more.
    if (run.startedAt === null) stop.abort(reason)
    const timer = setTimeout(() => stop.abort(killed), graceMs)
    await ended
    clearTimeout(timer)
  }

  return {
    start: (asked) => start(asked).catch((error: unknown) => Promise.reject(asMigrationError(error))),
    running,
    close,
  }
}

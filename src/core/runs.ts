import type { Engine, EngineEvent, Order, Outcome } from './engine.ts'
import { asMigrationError, MigrationError } from './errors.ts'
import type { Directory, Run, Running, Step, StepReport } from './migration.ts'
import { setReport } from './outcome.ts'
import { currentOf, plan, type Request } from './plan.ts'
import { draftRun, endedRun, idleRun, orderOf, plannedRun, type RunRequest } from './run.ts'
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

/** One change at a time. */
export function openRuns({ engine, look, now, newId, hear }: RunsOptions): Runs {
  const turns = openTurns()
  let current: {
    run: Run
    stop: AbortController
    ended: Promise<unknown>
  } | null = null

  async function start(asked: RunRequest): Promise<Run> {
    const created = now()
    const queued = draftRun(asked, newId(), created)
    if (asked.dryRun) return planned(queued, asked.request)
    const end = await turns.take(asked.waitMs, asked.client)
    if (end === null) throw await inProgress()
    try {
      return await turn(queued, asked, asked.waitMs - (now().getTime() - created.getTime()))
    } finally {
      end()
    }
  }

  async function planned(queued: Run, request: Request): Promise<Run> {
    const [directory, history] = await Promise.all([look(), engine.read()])
    return plannedRun(queued, currentOf(history.applied), plan(directory, history, request), now())
  }

  async function turn(queued: Run, asked: RunRequest, waitMs: number): Promise<Run> {
    const [directory, history] = await Promise.all([look(), engine.read()])
    if (plan(directory, history, asked.request).length === 0) return idleRun(queued, currentOf(history.applied), now())
    const stop = new AbortController()
    const drop = () => stop.abort(asked.client.reason)
    asked.client.addEventListener('abort', drop)
    const executed = conduct(
      queued,
      asked,
      Math.max(0, waitMs),
      stop,
      (history) => plan(directory, history, asked.request),
      () =>
        // From here on it goes on without its client.
        asked.client.removeEventListener('abort', drop),
    )
    current = { run: queued, stop, ended: executed.catch(() => {}) }
    try {
      return await executed
    } finally {
      asked.client.removeEventListener('abort', drop)
      current = null
    }
  }

  async function conduct(
    queued: Run,
    asked: RunRequest,
    waitMs: number,
    stop: AbortController,
    decide: (history: Parameters<typeof plan>[1]) => Step[],
    begin: () => void,
  ): Promise<Run> {
    let run = queued
    const steps: StepReport[] = []
    const order: Order = { ...orderOf(queued, asked), waitMs }
    const onEvent = (event: EngineEvent) => {
      if (event.type === 'begun') {
        begin()
        steps.push(...event.steps)
        run = {
          ...queued,
          status: 'running',
          startedAt: event.startedAt,
          steps,
        }
        if (current !== null) current = { ...current, run }
        return hear({ type: 'begun', run })
      }
      if (event.type === 'step') setReport(steps, event.step)
      hear({ ...event, run })
    }
    const outcome = await engine
      .execute(order, { decide, hear: onEvent, stop: stop.signal })
      .catch(async (error: unknown) => {
        if (error instanceof MigrationError && error.code === 'change-in-progress') throw await inProgress()
        throw error
      })
    return told(endedRun(run, outcome), outcome)
  }

  /** Gives a run that ended well; throws the error of one that did not, with the run. */
  function told(run: Run, { error }: Outcome): Run {
    if (run.startedAt === null) return run
    hear(error === null ? { type: 'ended', run } : { type: 'ended', run, error })
    if (error === null) return run
    throw new MigrationError(error.code, error.message, { ...error.details, run }, { cause: error.cause })
  }

  async function running(): Promise<Running | null> {
    const own = current?.run
    if (own?.startedAt)
      return {
        id: own.id,
        kind: own.kind,
        startedAt: own.startedAt,
        actor: own.actor,
      }
    const other = await engine.running()
    return other === 'unknown' ? null : other
  }

  async function inProgress(): Promise<MigrationError> {
    const holder = await running()
    const who = holder === null ? '' : ` (${holder.kind} ${holder.id} by ${holder.actor}, since ${holder.startedAt})`
    return new MigrationError(
      'change-in-progress',
      `another change is under way${who}; wait for it, or post with wait=SECONDS`,
      {
        running: holder,
      },
    )
  }

  async function close(graceMs: number): Promise<void> {
    const reason = new MigrationError('shutting-down', 'the server is shutting down; post again when it is back')
    turns.close(reason)
    if (current === null) return
    const killed = new MigrationError(
      'shutting-down',
      'the server had to shut down before the run was over; it was killed and rolled back',
    )
    const { stop, ended } = current
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

import type { Engine } from './engine.ts'
import { asMigrationError, MigrationError } from './errors.ts'
import { execute } from './execution.ts'
import { currentOf } from './history.ts'
import { inProgress, probeOthers } from './holder.ts'
import { type Life, openKnownRuns } from './known.ts'
import type { Directory, Run, Running, StepReport } from './migration.ts'
import { plan } from './plan.ts'
import { asRunning, draftRun, idleRun, plannedRun, type RunRequest, unbegunRun } from './run.ts'
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
  /** The run `id`, alive or ended. Throws `not-found`. */
  find(id: string): Promise<Run>
  /** At most `limit` runs, the newest first, from below the id `before` on: those that had steps, and those that live. */
  list(limit: number, before: string | null): Promise<{ runs: readonly Run[]; next: string | null }>
  /**
   * Ends the run `id`: it is dropped from the queue, or killed and rolled back. Gives it as it stands, which is not its end.
   *
   * @param may whether the run of a role may be ended by who asks.
   * @throws MigrationError `not-found`, `run-ended`, `forbidden`; `change-in-progress` for one of another server.
   */
  cancel(id: string, by: string, may: (begunAs: string) => boolean): Promise<Run>
  /** The run that holds the database, here or in another process. */
  running(): Promise<Running | null>
  /** Refuses new runs, gives those under way `graceMs` to end, then has them killed and rolled back. */
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

/** One change at a time, and beside it one rehearsal. */
export function openRuns({ engine, look, now, newId, hear }: RunsOptions): Runs {
  const changes = openTurns()
  const rehearsals = openTurns()
  const known = openKnownRuns()
  const unended = new Set<Promise<unknown>>()
  /** Whose turn it is, of the changes and of the rehearsals. */
  let current: Life | null = null
  let rehearsing: Life | null = null
  const others = probeOthers(engine, now)

  async function start(asked: RunRequest): Promise<Run> {
    const run = draftRun(asked, newId(), now())
    const life: Life = { run, begunAs: asked.begunAs, stop: new AbortController() }
    const drop = () => life.stop.abort(asked.client.reason)
    // From its beginning on it goes on without its client.
    const keep = () => asked.client.removeEventListener('abort', drop)
    asked.client.addEventListener('abort', drop)
    if (asked.client.aborted) drop()
    known.add(life)
    const made = make(life, asked, keep)
    unended.add(made)
    try {
      const ended = await made
      known.end(life, ended)
      return ended
    } catch (error) {
      throw ended(life, asMigrationError(error))
    } finally {
      keep()
      unended.delete(made)
    }
  }

  /** The error that is told of a run that has not ended well. */
  function ended(life: Life, error: MigrationError): MigrationError {
    const { run } = error.details
    // What was refused before or at its turn is no run; one that somebody could have seen at work is told to its end.
    const unbegun = run === undefined && (error.code === 'cancelled' || life.run.steps.length > 0)
    if (!unbegun) {
      known.end(life, (run as Run | undefined) ?? null)
      return error
    }
    const told = unbegunRun(life.run, error, now())
    known.end(life, told)
    return new MigrationError(error.code, error.message, { ...error.details, run: told }, { cause: error.cause })
  }

  async function make(life: Life, asked: RunRequest, begin: () => void): Promise<Run> {
    const { request, manner } = asked
    const rehearsed = manner === 'rehearsal'
    const turns = rehearsed ? rehearsals : changes
    // What has nothing to do needs no turn, and is in nobody's way; while a run is made, only its turn can tell.
    const quiet = manner === 'plan' || (turns.free() && (rehearsed || (await engine.running()) === null))
    const seen = quiet ? await see() : null
    if (seen !== null && request.kind !== 'restore') {
      const steps = plan(seen.directory, seen.history, request)
      const at = currentOf(seen.history.applied)
      if (manner === 'plan') return plannedRun(life.run, at, steps, now())
      if (steps.length === 0) return idleRun(life.run, at, now())
    }
    const waits = !turns.free()
    const end = await turns.take(asked.waitMs, life.stop.signal)
    const holder = () => (rehearsed ? rehearsing : current)
    if (end === null) throw await inProgress(engine, holder, rehearsed)
    if (rehearsed) rehearsing = life
    else current = life
    try {
      const left = Math.max(0, asked.waitMs - (now().getTime() - Date.parse(life.run.createdAt)))
      const execution = { engine, life, asked, begin, hear, now, see, waitMs: left, seen: waits ? null : seen }
      return await execute(execution).catch(async (error: unknown) => {
        if (error instanceof MigrationError && error.code === 'change-in-progress')
          throw await inProgress(engine, () => (holder() === life ? null : holder()), rehearsed)
        throw error
      })
    } finally {
      if (rehearsed) rehearsing = null
      else current = null
      others.forget()
      end()
    }
  }

  async function see() {
    const [directory, history] = await Promise.all([look(), engine.read('patient')])
    return { directory, history }
  }

  async function find(id: string): Promise<Run> {
    const run = known.find(id) ?? (await engine.run(id))
    if (run !== null) return run
    throw new MigrationError('not-found', `there is no run ${id.slice(0, 40)}; GET /runs lists them`)
  }

  async function list(limit: number, before: string | null): Promise<{ runs: readonly Run[]; next: string | null }> {
    const alive = known.alive().flatMap(({ run }) => (before === null || run.id < before ? run : []))
    const recorded = (await engine.runs(limit + 1, before)).filter(({ id }) => known.live(id) === undefined)
    const all = [...alive, ...recorded].sort((a, b) => (a.id < b.id ? 1 : -1))
    const runs = all.slice(0, limit)
    return { runs, next: all.length > limit ? (runs.at(-1)?.id ?? null) : null }
  }

  async function cancel(id: string, by: string, may: (begunAs: string) => boolean): Promise<Run> {
    const life = known.live(id)
    if (life === undefined) {
      const { status } = await find(id)
      if (status === 'running')
        throw new MigrationError('change-in-progress', `run ${id} is one of another server; ask that one`)
      throw new MigrationError('run-ended', `run ${id} has ended already: it is ${status}`)
    }
    if (!may(life.begunAs)) {
      throw new MigrationError(
        'forbidden',
        `run ${id} was begun with a token of the role ${life.begunAs}; it takes an admin token to cancel it`,
      )
    }
    life.stop.abort(
      new MigrationError('cancelled', `the run was cancelled by ${by}; what was not committed was rolled back`),
    )
    return life.run
  }

  async function running(): Promise<Running | null> {
    return current?.run.startedAt ? asRunning(current.run) : await others.running()
  }

  async function close(graceMs: number): Promise<void> {
    const reason = new MigrationError('shutting-down', 'the server is shutting down; post again when it is back')
    for (const turns of [changes, rehearsals]) turns.close(reason)
    const killed = new MigrationError(
      'shutting-down',
      'the server had to shut down before the run was over; it was killed and rolled back',
    )
    // What has not begun by now does not begin any more, and of a rehearsal nothing is lost.
    for (const { run, stop } of known.alive()) if (run.startedAt === null || run.rehearsal) stop.abort(reason)
    const timer = setTimeout(() => known.alive().map(({ stop }) => stop.abort(killed)), graceMs)
    await Promise.allSettled(unended)
    clearTimeout(timer)
  }

  return { start, find, list, cancel, running, close }
}

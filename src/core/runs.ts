import type { Engine } from './engine.ts'
import { asMigrationError, MigrationError } from './errors.ts'
import { type Life, openKnownRuns } from './known.ts'
import { type Lookup, openLookup } from './lookup.ts'
import type { Directory, Run, Running, StatementReport, StepReport } from './migration.ts'
import { openQueue } from './queue.ts'
import { draftRun, type RunRequest, unbegunRun } from './run.ts'

/** What happens to runs, for the log. `error` is what the answer leaves out. */
export type RunEvent =
  | {
      readonly type: 'begun' | 'ended'
      readonly run: Run
      readonly error?: unknown
    }
  | { readonly type: 'step'; readonly run: Run; readonly step: StepReport }
  | { readonly type: 'statement'; readonly run: Run; readonly statement: StatementReport }
  | { readonly type: 'output'; readonly run: Run; readonly line: string }

export interface Runs extends Lookup {
  /**
   * Makes a run, when it is its turn, and gives it when it has ended well.
   *
   * @throws MigrationError why it was refused or failed; where a run was made, with `run` among the details.
   */
  start(request: RunRequest): Promise<Run>
  /**
   * Makes a run that is answered at once: gives it as soon as it waits for its turn, has it, or has found nothing to do. From
   * then on whatever becomes of it is found by its id, also that it was refused. `ended` is what `start` would have given.
   *
   * @throws MigrationError why it was refused before that.
   */
  submit(request: RunRequest): Promise<{ readonly run: Run; readonly ended: Promise<Run> }>
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
export function openRuns(options: RunsOptions): Runs {
  const { engine, look, now, newId } = options
  const known = openKnownRuns()
  const lookup = openLookup(engine, known)
  const unended = new Set<Promise<unknown>>()
  const queue = openQueue({ engine, look, now, hear })

  function hear(event: RunEvent): void {
    options.hear(event)
    if (event.type !== 'step' && event.type !== 'statement') return
    const life = known.live(event.run.id)
    if (life === undefined) return
    life.statement = event.type === 'statement' ? event.statement : null
    for (const watcher of life.watchers) watcher(event)
  }

  async function start(asked: RunRequest): Promise<Run> {
    return await live(lifeOf(asked, 'at its end'), asked, () => {})
  }

  async function submit(asked: RunRequest): Promise<{ run: Run; ended: Promise<Run> }> {
    const life = lifeOf(asked, 'at once')
    const { promise: accepted, resolve: accept } = Promise.withResolvers<void>()
    const ended = live(life, asked, accept)
    // Nobody may wait for it; whatever it is, it has been told to the log by then.
    ended.catch(() => {})
    await Promise.race([accepted, ended])
    return { run: known.find(life.run.id) ?? life.run, ended }
  }

  function lifeOf(asked: RunRequest, answered: Life['answered']): Life {
    const run = draftRun(asked, newId(), now())
    const { begunAs } = asked
    return {
      run,
      begunAs,
      answered,
      accepted: false,
      stop: new AbortController(),
      watchers: new Set(),
      statement: null,
    }
  }

  async function live(life: Life, asked: RunRequest, accept: () => void): Promise<Run> {
    const drop = () => life.stop.abort(asked.client.reason)
    // From its beginning on it goes on without its client.
    const keep = () => asked.client.removeEventListener('abort', drop)
    asked.client.addEventListener('abort', drop)
    if (asked.client.aborted) drop()
    known.add(life)
    const accepted = () => {
      life.accepted = true
      accept()
    }
    const made = queue.make(life, asked, accepted, keep)
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
    if (run !== undefined) {
      known.end(life, run as Run)
      return error
    }
    const told = unbegunRun(life.run, error, now())
    // What was refused before or at its turn is no run; one that somebody knows of, or could have seen at work, is told to its end.
    const promised = life.accepted && life.answered === 'at once'
    if (!promised && error.code !== 'cancelled' && life.run.steps.length === 0) {
      known.drop(life, told)
      return error
    }
    known.end(life, told)
    hear({ type: 'ended', run: told, error })
    return new MigrationError(error.code, error.message, { ...error.details, run: told }, { cause: error.cause })
  }

  async function cancel(id: string, by: string, may: (begunAs: string) => boolean): Promise<Run> {
    const life = known.live(id)
    if (life === undefined) {
      const { status } = await lookup.find(id)
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

  async function close(graceMs: number): Promise<void> {
    const reason = new MigrationError('shutting-down', 'the server is shutting down; post again when it is back')
    queue.close(reason)
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

  return { ...lookup, start, submit, cancel, running: queue.running, close }
}

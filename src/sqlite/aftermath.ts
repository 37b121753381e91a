import { errorFrom, MigrationError } from '../core/errors.ts'
import type { Run } from '../core/migration.ts'
import { currentAfter, toldError } from '../core/outcome.ts'
import type { Assignment, BackupPlace, FromRunner, Known, RunnerResult, ToRunner } from './messages.ts'
import { withFailed } from './read-back.ts'
import type { Ended, RunnerProcess } from './runner-process.ts'

/** What it takes to have another runner clear up. */
export interface Aftermath {
  readonly fork: () => RunnerProcess
  readonly file: string
  readonly lockTimeoutMs: number
  readonly backups: BackupPlace
  /** What the record says of the run `id`. */
  readonly ask: (id: string) => Promise<Run | null>
  /** Nothing is to be begun any more. */
  readonly closing: () => boolean
  /** What tries at once to record an end that could not be recorded yet, for each of these. */
  readonly unrecorded: Set<() => Promise<void>>
}

/** How long a runner that removes a copy may wait for the lock: its holder is dead. */
const SWEEP_MS = 10_000
const SETTLE_TRIES = 3
/** How often, and after how many milliseconds each, it is tried to record what could not be recorded at once. */
const RECORD_TRIES = 60
const RECORD_MS = 5_000

type Settle = ToRunner & { type: 'settle' }

/**
 * Has the record of a run whose runner died completed by another runner, with the end that it had `told` before, else with what
 * that one reads back; it may die too.
 */
export async function settle(
  aftermath: Aftermath,
  assignment: Assignment,
  known: Known,
  ending: RunnerResult | null,
): Promise<RunnerResult> {
  const words = settling(aftermath, assignment, known, ending)
  for (let tries = 0; tries < SETTLE_TRIES; tries += 1) {
    const told = await lastWord(aftermath.fork(), words)
    if (told.type !== 'result') continue
    // What is read later could be the work of the next run.
    if (!told.recorded) recordLater(aftermath, { ...words, told: told.result }, RECORD_TRIES)
    return told.result
  }
  recordLater(aftermath, words, RECORD_TRIES)
  if (ending !== null) return ending
  return unsettled(assignment, known, await aftermath.ask(assignment.run.id).catch(() => null))
}

/** Has the end that a runner `told`, and could not record, recorded when whoever holds the write lock has done. */
export function complete(aftermath: Aftermath, assignment: Assignment, known: Known, told: RunnerResult): void {
  recordLater(aftermath, settling(aftermath, assignment, known, told), RECORD_TRIES)
}

function settling(
  { file: database, lockTimeoutMs, backups }: Aftermath,
  { run, steps }: Assignment,
  known: Known,
  told: RunnerResult | null,
): Settle {
  // The texts of the steps have no part in this.
  const bare = steps.map((step) => ({ ...step, source: step.source && { ...step.source, text: '' } }))
  return { type: 'settle', database, lockTimeoutMs, run, steps: bare, known, told, backups }
}

/** How a run has ended that no runner lives long enough to read back: by what this process can read, else by what it heard. */
function unsettled({ run }: Assignment, known: Known, found: Run | null): RunnerResult {
  const read = found?.status === 'running' ? null : found
  const steps = read?.steps ?? withFailed(known.reports, run.atomic)
  const error = errorFrom(known.error)
  const died = new MigrationError(error.code, `${error.message}; GET /migrations tells how it stands`, error.details)
  return {
    ...nothingTold(known),
    steps,
    to: read === null ? currentAfter(steps, known.from) : read.to,
    error: toldError(run, steps, died, read === null)?.toJSON() ?? null,
    backup: read?.backup ?? known.backup,
  }
}

/** The end of a run by what its parent knows alone: that it was begun. */
function nothingTold({ startedAt, from, error }: Known): RunnerResult {
  return {
    steps: [],
    from,
    to: from,
    schemaChanges: { created: [], dropped: [], altered: [] },
    error,
    backup: null,
    startedAt,
    finishedAt: new Date().toISOString(),
    durationMs: Date.now() - Date.parse(startedAt),
  }
}

/** Tries until the end of the run is recorded: somebody has the write lock, or no runner lives long enough. */
function recordLater(aftermath: Aftermath, words: Settle, tries: number): void {
  const { fork, closing, unrecorded } = aftermath
  const attempt = async () => {
    clearTimeout(timer)
    const told = await lastWord(fork(), words)
    unrecorded.delete(again)
    const recorded = told.type === 'result' && told.recorded
    if (!recorded && tries > 1 && !closing()) recordLater(aftermath, words, tries - 1)
  }
  let trying: Promise<void> | null = null
  const again = () => {
    trying ??= attempt()
    return trying
  }
  unrecorded.add(again)
  const timer = setTimeout(() => void again(), RECORD_MS).unref()
}

/** What became of a rehearsal whose runner died: nothing. The copy is removed. */
export async function settleRehearsal(
  { fork, file, lockTimeoutMs }: Aftermath,
  { run }: Assignment,
  known: Known,
): Promise<RunnerResult> {
  await askOnce(fork(), { type: 'claim', database: file, lockTimeoutMs, waitMs: SWEEP_MS }, { type: 'sweep' })
  return { ...nothingTold(known), steps: withFailed(known.reports, run.atomic), rowCounts: [], warnings: [] }
}

/** Lets a runner claim a database and do one thing. Gives its last word, or how it ended. */
export async function askOnce(
  runner: RunnerProcess,
  claim: ToRunner & { type: 'claim' },
  then: ToRunner,
): Promise<FromRunner | Ended> {
  runner.say(claim)
  const claimed = await runner.next()
  if (claimed.type === 'claimed') return await lastWord(runner, then)
  runner.kill()
  return claimed
}

async function lastWord(runner: RunnerProcess, words: ToRunner): Promise<FromRunner | Ended> {
  runner.say(words)
  const last = await runner.next()
  // It has let go of everything by then.
  runner.kill()
  return last
}

import { MigrationError } from '../core/errors.ts'
import type { StepReport } from '../core/migration.ts'
import type { Assignment, BackupPlace, FromRunner, Known, RunnerResult, ToRunner } from './messages.ts'
import type { Ended, RunnerProcess } from './runner-process.ts'

/** What it takes to have another runner clear up. */
export interface Aftermath {
  readonly fork: () => RunnerProcess
  readonly file: string
  readonly lockTimeoutMs: number
  readonly backups: BackupPlace
  /** Nothing is to be begun any more. */
  readonly closing: () => boolean
}

/** How long a runner that removes a copy may wait for the lock: its holder is dead. */
const SWEEP_MS = 10_000
const SETTLE_TRIES = 3
/** How often, and after how many milliseconds each, it is tried to record what could not be recorded at once. */
const RECORD_TRIES = 60
const RECORD_MS = 5_000

/** Has the record of a run whose runner died read back and completed by another runner; that one may die too. */
export async function settle(aftermath: Aftermath, { run, steps }: Assignment, known: Known): Promise<RunnerResult> {
  const { fork, file: database, lockTimeoutMs, backups } = aftermath
  // The texts of the steps have no part in this.
  const bare = steps.map((step) => ({ ...step, source: null }))
  const words = { type: 'settle', database, lockTimeoutMs, run, steps: bare, known, backups } as const
  for (let tries = 0; tries < SETTLE_TRIES; tries += 1) {
    const told = await lastWord(fork(), words)
    if (told.type !== 'result') continue
    if (!told.recorded) recordLater(aftermath, words, RECORD_TRIES)
    return told.result
  }
  throw new MigrationError(
    'runner-crashed',
    `${known.error.message}; the record could not be read back: GET /migrations tells how it stands`,
  )
}

/** Somebody has the write lock: the end of the run is recorded when he has done. */
function recordLater(
  { fork, closing }: Pick<Aftermath, 'fork' | 'closing'>,
  words: ToRunner & { type: 'settle' },
  tries: number,
): void {
  const again = async () => {
    if (closing()) return
    const told = await lastWord(fork(), words)
    if (tries > 1 && (told.type !== 'result' || !told.recorded)) recordLater({ fork, closing }, words, tries - 1)
  }
  setTimeout(() => void again(), RECORD_MS).unref()
}

/** What became of a rehearsal whose runner died: nothing. The copy is removed. */
export async function settleRehearsal({ fork, file, lockTimeoutMs }: Aftermath, known: Known): Promise<RunnerResult> {
  await askOnce(fork(), { type: 'claim', database: file, lockTimeoutMs, waitMs: SWEEP_MS }, { type: 'sweep' })
  const ran = known.reports.findIndex(({ status }) => status === 'running')
  const steps = known.reports.map((one, place): StepReport => (place === ran ? { ...one, status: 'failed' } : one))
  return {
    steps,
    from: known.from,
    to: known.from,
    schemaChanges: { created: [], dropped: [], altered: [] },
    error: known.error,
    backup: null,
    rowCounts: [],
    warnings: [],
    startedAt: known.startedAt,
    finishedAt: new Date().toISOString(),
    durationMs: Date.now() - Date.parse(known.startedAt),
  }
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

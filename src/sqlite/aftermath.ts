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
}

/** How long a settling runner may wait for the lock: its holder is dead or ends soon. */
const SETTLE_MS = 10_000
const SETTLE_TRIES = 3

/** Has the record of a run whose runner died read back and completed by another runner; that one may die too. */
export async function settle(
  { fork, file, lockTimeoutMs, backups }: Aftermath,
  { run, steps }: Assignment,
  known: Known,
): Promise<RunnerResult> {
  // The texts of the steps have no part in this.
  const bare = steps.map((step) => ({ ...step, source: null }))
  const claim = { type: 'claim', database: file, lockTimeoutMs, waitMs: SETTLE_MS } as const
  for (let tries = 0; tries < SETTLE_TRIES; tries += 1) {
    const told = await askOnce(fork(), claim, { type: 'settle', run, steps: bare, known, backups })
    if (told.type === 'result') return told.result
  }
  throw new MigrationError(
    'runner-crashed',
    `${known.error.message}; the record could not be read back: GET /migrations tells how it stands`,
  )
}

/** What became of a rehearsal whose runner died: nothing. The copy is removed. */
export async function settleRehearsal({ fork, file, lockTimeoutMs }: Aftermath, known: Known): Promise<RunnerResult> {
  await askOnce(fork(), { type: 'claim', database: file, lockTimeoutMs, waitMs: SETTLE_MS }, { type: 'sweep' })
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
  if (claimed.type === 'claimed') runner.say(then)
  const last = claimed.type === 'claimed' ? await runner.next() : claimed
  // It has let go of everything by then.
  runner.kill()
  return last
}

import { asMigrationError, type ErrorCode, MigrationError } from './errors.ts'
import type { Runs } from './runs.ts'

/** How long until it is tried again where something was in the way, in milliseconds. */
const AGAIN_MS = 5_000

/** How long it queues behind the runs of other servers, in milliseconds. */
const WAIT_MS = 3_600_000

/** What goes by by itself. All else waits for somebody who mends it. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['change-in-progress', 'database-locked', 'database-unavailable'])

/**
 * Applies what is pending, as `POST /migrate` would, until that has gone well, has failed for good, or the process ends.
 * `failed` is called with each failure. Returns the function that gives the last one, `null` where there is none.
 */
export function migrateOnStart(
  runs: Pick<Runs, 'start'>,
  newId: () => string,
  failed: (error: MigrationError) => void,
): () => MigrationError | null {
  let failure: MigrationError | null = null

  async function migrate(): Promise<void> {
    try {
      await runs.start({
        request: { kind: 'migrate', target: null, from: null, atomic: false },
        manner: 'earnest',
        waitMs: WAIT_MS,
        actor: 'migrate-on-start',
        begunAs: 'migrate',
        requestId: newId(),
        client: new AbortController().signal,
      })
      failure = null
    } catch (error) {
      failure = asMigrationError(error)
      failed(failure)
      if (!PASSING.has(failure.code)) return
      const { code, message } = failure
      failure = new MigrationError(code, `${message}; it is tried again`)
      setTimeout(() => void migrate(), AGAIN_MS).unref()
    }
  }

  void migrate()
  return () => failure
}

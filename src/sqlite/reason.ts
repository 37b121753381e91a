import { errorFrom, MigrationError, type RunError } from '../core/errors.ts'
import type { Step, StepReport } from '../core/migration.ts'
import type { FromRunner } from './messages.ts'
import type { Ended } from './runner-process.ts'

/** What a runner told last of where it was. */
export interface LastStatement {
  readonly line: number
  readonly text: string
}

/** The error of a run that was ended, with the place where it was. */
export function where(
  error: MigrationError,
  steps: readonly Step[],
  reports: readonly StepReport[],
  place: LastStatement | null,
): RunError {
  const running = reports.find(({ status }) => status === 'running')
  if (running === undefined) return error.toJSON()
  const file = steps.find(({ id }) => id === running.id)?.source?.file ?? null
  const { id, name, direction } = running
  const details = {
    id,
    name,
    direction,
    file,
    line: place?.line ?? null,
    statement: place?.text ?? null,
    sqlite: null,
  }
  return { ...details, ...error.toJSON() }
}

/** Why a runner has ended: the first reason wins. */
export function reasonOf(ended: Ended, stop: AbortSignal, timedOut: boolean, runTimeoutMs: number): MigrationError {
  if (stop.aborted) return stop.reason as MigrationError
  if (timedOut) {
    return new MigrationError(
      'timed-out',
      `the run took longer than ${runTimeoutMs / 1000} s, was killed and rolled back; raise RUN_TIMEOUT or split the migration`,
    )
  }
  const how = ended.signal === null ? `exit code ${ended.code}` : ended.signal
  const memory = ended.signal === 'SIGKILL' ? '; if nobody did this, look whether memory ran out' : ''
  return new MigrationError(
    'runner-crashed',
    `the runner ended with ${how}${memory}; what was not committed was rolled back`,
  )
}

/** Why nothing was begun. */
export function notBegun(message: FromRunner | Ended, stop: AbortSignal): MigrationError {
  if (stop.aborted) return stop.reason as MigrationError
  if (message.type === 'refused') return errorFrom(message.error)
  if (message.type === 'ended') return reasonOf(message, stop, false, 0)
  return new MigrationError('internal', `a runner said ${message.type} out of turn`)
}

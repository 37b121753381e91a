import { errorFrom, MigrationError, type RunError } from '../core/errors.ts'
import type { StatementReport, Step, StepReport } from '../core/migration.ts'
import type { FromRunner } from './messages.ts'
import type { Ended } from './runner-process.ts'

/** The error of a run that was ended, with the place where it was. */
export function where(
  error: MigrationError,
  steps: readonly Step[],
  reports: readonly StepReport[],
  place: StatementReport | null,
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

/** Why a runner has ended: what ended it first, else what the kernel says. */
export function reasonOf(ended: Ended, end: AbortSignal): MigrationError {
  if (end.aborted) return end.reason as MigrationError
  const how = ended.signal === null ? `exit code ${ended.code}` : ended.signal
  const memory = ended.signal === 'SIGKILL' ? '; if nobody did this, look whether memory ran out' : ''
  return new MigrationError(
    'runner-crashed',
    `the runner ended with ${how}${memory}; what was not committed was rolled back`,
  )
}

/** Two runners have died before they had the database. */
export function neverBegan(): MigrationError {
  return new MigrationError(
    'runner-crashed',
    'two runners have died before they began; look whether memory, processes or file descriptors run out',
  )
}

/** Why nothing was begun. */
export function notBegun(message: FromRunner | Ended, end: AbortSignal): MigrationError {
  if (end.aborted) return end.reason as MigrationError
  if (message.type === 'refused') return errorFrom(message.error)
  if (message.type === 'ended') return reasonOf(message, end)
  return new MigrationError('internal', `a runner said ${message.type} out of turn`)
}

/** The end of a run after `RUN_TIMEOUT`. */
export function timedOut(ms: number): MigrationError {
  const message = `the run took longer than ${ms / 1000} s, was killed and rolled back; raise RUN_TIMEOUT or split the migration`
  return new MigrationError('timed-out', message)
}

/** The end of a runner that never got as far as a run. */
export function stuck(database: string): MigrationError {
  const message = `a runner could not get hold of ${database} in time, though nobody has it, and was killed; look at its file system`
  return new MigrationError('database-unavailable', message)
}

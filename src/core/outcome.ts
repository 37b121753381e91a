import { type ErrorCode, MigrationError } from './errors.ts'
import type { RunKind, RunStatus, StepReport } from './migration.ts'

/** The codes that are told with a status which `curl --retry` repeats, or with 507. */
const SERVER_SIDE: ReadonlySet<ErrorCode> = new Set([
  'runner-crashed',
  'internal',
  'database-locked',
  'database-unavailable',
  'shutting-down',
  'insufficient-storage',
])

/**
 * The error of a run as it is recorded and told. A rollback by a number of steps that has committed one must never be
 * repeated by a client that retries: the second try would undo more than was asked for.
 */
export function toldError(
  { kind, parameters }: { kind: RunKind; parameters: Readonly<Record<string, unknown>> },
  steps: readonly StepReport[],
  error: MigrationError | null,
): MigrationError | null {
  const byTarget = typeof parameters.target === 'number'
  const committed = steps.filter(({ status }) => status === 'done').length
  if (error === null || kind !== 'rollback' || byTarget || committed === 0 || !SERVER_SIDE.has(error.code)) return error
  return new MigrationError(
    'rollback-incomplete',
    `${committed} of ${steps.length} steps were rolled back, then: ${error.message}; look at the history and go on with target`,
    { ...error.details, reason: error.code },
    { cause: error },
  )
}

const STATUS: Partial<Record<ErrorCode, RunStatus>> = {
  cancelled: 'cancelled',
  'timed-out': 'timed-out',
  'shutting-down': 'interrupted',
}

/** The status of a run that has ended with `error`. */
export function endStatus(error: MigrationError | null): RunStatus {
  if (error === null) return 'succeeded'
  const code = error.code === 'rollback-incomplete' ? (error.details.reason as ErrorCode) : error.code
  return STATUS[code] ?? 'failed'
}

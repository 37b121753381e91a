import { type ErrorCode, MigrationError } from './errors.ts'
import type { Run, RunKind, RunStatus, Step, StepReport } from './migration.ts'

/** A report of `step` as far as nothing is known of it but its status. */
export function reportOf(
  { id, name, direction }: Pick<Step, 'id' | 'name' | 'direction'>,
  status: StepReport['status'] = 'not-run',
): StepReport {
  return { id, name, direction, status, statements: null, durationMs: null }
}

/** Puts `step` in its place among the reports of its run. */
export function setReport(reports: StepReport[], step: StepReport): void {
  const place = placeOf(reports, step.id)
  if (place !== -1) reports[place] = step
}

/** The report of migration `wanted`. */
export function findReport(reports: readonly StepReport[], wanted: number): StepReport | undefined {
  return reports[placeOf(reports, wanted)]
}

function placeOf(reports: readonly StepReport[], wanted: number): number {
  // They go one up or one down at a time, but for those of a repair.
  const likely = Math.abs(wanted - (reports[0]?.id ?? 0))
  return reports[likely]?.id === wanted ? likely : reports.findIndex(({ id }) => id === wanted)
}

/** Whether a step of the run is in the database. */
export function hasHappened({ status }: StepReport): boolean {
  return status === 'done' || status === 'recorded'
}

/** Failures that leave no doubt: the storage has refused what was to be done. */
const OF_THE_STORAGE: ReadonlySet<ErrorCode> = new Set([
  'insufficient-storage',
  'database-unavailable',
  'database-locked',
])

/**
 * Whether what was read of the migrations before `run` may be outdated after it, the id `current` among it. Not where the
 * storage let it do nothing, and it found nothing else there: that may be all that can be told of a full disk.
 */
export function outdates({ kind, status, from, steps, error }: Run, current: number | null): boolean {
  if (status !== 'failed' || kind === 'restore' || error === null || !OF_THE_STORAGE.has(error.code)) return true
  // What was skipped somebody else had done.
  if (steps.some((step) => hasHappened(step) || step.status === 'skipped')) return true
  return steps.length > 0 && from !== current
}

/** The current id that the last of `steps` which happened has left, `from` being the one before. */
export function currentAfter(steps: readonly StepReport[], from: number | null): number | null {
  const last = steps.findLast(hasHappened)
  if (last === undefined) return from
  if (last.direction === 'up') return Math.max(last.id, from ?? -1)
  return last.id === 0 ? null : last.id - 1
}

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
 *
 * @param unsure whether more may have been committed than `steps` tell.
 */
export function toldError(
  { kind, parameters }: { kind: RunKind; parameters: Readonly<Record<string, unknown>> },
  steps: readonly StepReport[],
  error: MigrationError | null,
  unsure = false,
): MigrationError | null {
  const byTarget = typeof parameters.target === 'number'
  const committed = steps.filter(({ status }) => status === 'done').length
  if (error === null || kind !== 'rollback' || byTarget || !SERVER_SIDE.has(error.code)) return error
  if (committed === 0 && !unsure) return error
  return new MigrationError(
    'rollback-incomplete',
    `${unsure ? 'at least ' : ''}${committed} of ${steps.length} steps were rolled back, then: ${error.message}; look at the history and go on with target=${(steps.at(-1)?.id ?? 0) - 1}`,
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

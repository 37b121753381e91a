import type { Order, Outcome } from './engine.ts'
import type { MigrationError } from './errors.ts'
import type { Run, Running, SchemaChanges, Step, StepReport } from './migration.ts'
import { endStatus, reportOf } from './outcome.ts'
import type { Request } from './plan.ts'

/** What is asked of a run beside what should be reached. */
export interface RunRequest {
  readonly request: Request
  /** In earnest, told as a plan and not done, or done with a copy. */
  readonly manner: 'earnest' | 'plan' | 'rehearsal'
  /** How long to queue behind another run, in milliseconds. */
  readonly waitMs: number
  readonly actor: string
  /** The role of who asks. */
  readonly begunAs: string
  readonly requestId: string
  /** Aborted when nobody waits for the answer any more: a run that has not begun is dropped. */
  readonly client: AbortSignal
}

const UNCHANGED: SchemaChanges = { created: [], dropped: [], altered: [] }

/** A run that waits for its turn. */
export function draftRun({ request, manner, actor, requestId }: RunRequest, id: string, created: Date): Run {
  return {
    id,
    kind: request.kind,
    status: 'queued',
    rehearsal: manner === 'rehearsal',
    atomic: isAtomic(request),
    from: null,
    to: null,
    steps: [],
    schemaChanges: UNCHANGED,
    error: null,
    backup: null,
    actor,
    requestId,
    createdAt: created.toISOString(),
    startedAt: null,
    finishedAt: null,
    durationMs: null,
  }
}

/** All steps or none: asked for, or the way of those that only write the record. */
function isAtomic(request: Request): boolean {
  return 'atomic' in request ? request.atomic : true
}

/** What the engine is told of `run`, and its record keeps. */
export function orderOf(
  { id, kind, atomic, actor, requestId, createdAt }: Run,
  { request }: RunRequest,
): Omit<Order, 'waitMs'> {
  const { kind: _, ...asked } = request
  const parameters = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== null))
  return { id, kind, parameters, atomic, actor, requestId, createdAt }
}

/** `queued` as a run that tells what `steps` it would take from the current id `from`, and takes none. */
export function plannedRun(queued: Run, from: number | null, steps: readonly Step[], at: Date): Run {
  const reports = steps.map((step) => reportOf(step))
  // A repair goes nowhere.
  const to = queued.kind === 'repair' ? from : planEnd(reports, from)
  return { ...queued, status: 'planned', from, to, steps: reports, finishedAt: at.toISOString() }
}

/** `run` as one that found nothing to do. */
export function idleRun(run: Run, current: number | null, at: Date): Run {
  const end = { from: current, to: current, steps: [], startedAt: null, finishedAt: at.toISOString() }
  return { ...run, ...end, status: 'succeeded' }
}

/** `run` as one that was ended by `error` before its first step, and is in no record. */
export function unbegunRun(run: Run, error: MigrationError, at: Date): Run {
  return { ...run, status: endStatus(error), to: run.from, error: error.toJSON(), finishedAt: at.toISOString() }
}

/** The current id when all `steps` are done. */
function planEnd(steps: readonly StepReport[], from: number | null): number | null {
  const last = steps.at(-1)
  if (last === undefined) return from
  if (last.direction === 'up') return last.id
  return last.id === 0 ? null : last.id - 1
}

/** `run` with its end. */
export function endedRun(run: Run, { error, steps, ...rest }: Outcome): Run {
  return {
    ...run,
    ...rest,
    steps,
    status: endStatus(error),
    error: error?.toJSON() ?? null,
  }
}

/** `run` as those are told who find it in their way. */
export function asRunning({ id, kind, startedAt, createdAt, actor }: Run): Running {
  return { id, kind, startedAt: startedAt ?? createdAt, actor }
}

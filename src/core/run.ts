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
  const to = planEnd(reports, from)
  return { ...queued, status: 'planned', from, to, steps: reports, finishedAt: at.toISOString() }
}

/** `queued` as a run that found nothing to do. */
export function idleRun(queued: Run, current: number | null, at: Date): Run {
  return { ...queued, status: 'succeeded', from: current, to: current, finishedAt: at.toISOString() }
}

/** `run` as one that was ended before it had begun. */
export function cancelledRun(run: Run, error: MigrationError, at: Date): Run {
  return { ...run, status: 'cancelled', error: error.toJSON(), finishedAt: at.toISOString() }
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
export function asRunning(run: Run, heldSince: string | null): Running {
  const { id, kind, startedAt, createdAt, actor } = run
  return { id, kind, startedAt: startedAt ?? heldSince ?? createdAt, actor }
}

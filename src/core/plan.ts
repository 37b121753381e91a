import { MigrationError } from './errors.ts'
import { changedIn, currentOf, type History } from './history.ts'
import type { Applied, Directory, Migration, Source, Step } from './migration.ts'
import {
  refuseApplied,
  refuseChanged,
  refuseConflict,
  refuseMaintenance,
  refuseMoved,
  refuseProblems,
  refuseUnknownRollback,
  refuseUnknownTarget,
} from './refusals.ts'

/** What is asked of the migrations. `target` and `steps` of a rollback never come together. */
export type PlanRequest =
  | {
      readonly kind: 'migrate'
      readonly target: number | null
      readonly from: number | null
      readonly atomic: boolean
    }
  | {
      readonly kind: 'rollback'
      readonly target: number | null
      readonly steps: number | null
      readonly from: number | null
      readonly atomic: boolean
    }
  /** Record what is up to `target` as applied, without running it. */
  | { readonly kind: 'baseline'; readonly target: number; readonly from: number | null }
  /** Record what the files of changed migrations are now. */
  | { readonly kind: 'repair'; readonly from: number | null }

/** What is asked for. A restore has no plan: it takes the place of all that is there, whatever that is. */
export type Request = PlanRequest | { readonly kind: 'restore'; readonly backup: string; readonly from: number | null }

/**
 * What should run: the steps that lead from what is applied to what is asked for, or an empty list where nothing is to do.
 * `from` of a request is -1 for "nothing applied".
 *
 * @throws MigrationError why not: `invalid-migrations`, `foreign-table`, `history-gap`, `invalid-request`,
 * `precondition-failed`, `checksum-mismatch`, `no-rollback`, `not-empty`.
 */
export function plan(directory: Directory, history: History, request: PlanRequest): Step[] {
  refuseProblems(directory)
  refuseConflict(history)
  refuseMoved(history.applied, request.from)
  const { migrations } = directory
  const { applied } = history
  switch (request.kind) {
    case 'migrate':
      refuseUnknownTarget(directory, request.target)
      refuseChanged(migrations, applied)
      return transacted(stepsUp(migrations, applied, request.target), request)
    case 'rollback':
      refuseUnknownRollback(directory, applied, request.target)
      return transacted(stepsDown(migrations, applied, floorOf(applied, request)), request)
    case 'baseline':
      refuseUnknownTarget(directory, request.target)
      refuseApplied(applied)
      return recorded(migrations.filter(({ id }) => id <= request.target))
    case 'repair':
      return recorded(changedIn(migrations, applied))
  }
}

/** The steps that apply what comes after the current migration, up to and with `target`, or all. */
export function stepsUp(migrations: readonly Migration[], applied: readonly Applied[], target: number | null): Step[] {
  const current = currentOf(applied) ?? -1
  const ceiling = target ?? Number.POSITIVE_INFINITY
  return migrations.filter(({ id }) => id > current && id <= ceiling).map(stepUp)
}

/** The steps that undo every applied migration above `floor`, the last applied one first. */
export function stepsDown(migrations: readonly Migration[], applied: readonly Applied[], floor: number): Step[] {
  const present = new Map(migrations.map((migration) => [migration.id, migration]))
  const undone = applied.filter(({ id }) => id > floor).reverse()
  const stuck = undone.find(({ id, keptDown }) => present.get(id)?.down == null && !keptDown)
  if (stuck !== undefined) {
    throw new MigrationError(
      'no-rollback',
      `migration ${stuck.id} ${stuck.name} has no rollback; add a ${stuck.id}_….down.sql or roll back no further than to ${stuck.id}`,
      { id: stuck.id, name: stuck.name },
    )
  }
  return undone.map((one) => stepDown(one, present.get(one.id)))
}

/** The steps that record `migrations` as the directory has them: what they would run stays out of it. */
function recorded(migrations: readonly Migration[]): Step[] {
  return migrations.map((migration) => ({ ...stepUp(migration), source: null }))
}

function transacted(steps: Step[], { atomic }: { readonly atomic: boolean }): Step[] {
  if (atomic) refuseMaintenance(steps)
  return steps
}

function stepUp({ id, name, checksum, up, down }: Migration): Step {
  return {
    id,
    name,
    direction: 'up',
    source: up,
    checksum,
    keep: down?.kind === 'sql' ? down.text : null,
  }
}

function stepDown(applied: Applied, migration: Migration | undefined): Step {
  const down = migration?.down ?? null
  const source: Source | null = down
  return {
    id: applied.id,
    name: down?.name ?? applied.name,
    direction: 'down',
    source,
    checksum: applied.checksum,
    keep: null,
  }
}

function floorOf(
  applied: readonly Applied[],
  { target, steps: asked }: PlanRequest & { readonly kind: 'rollback' },
): number {
  if (target !== null) return target
  const steps = asked ?? 1
  if (applied.length === 0) return -1
  if (steps > applied.length) {
    const most = applied.length === 1 ? '1 migration is' : `${applied.length} migrations are`
    throw new MigrationError(
      'invalid-request',
      `steps is ${steps}, but only ${most} applied; ask for that many or less`,
    )
  }
  return applied.length - steps - 1
}

import { MigrationError } from './errors.ts'
import type { Applied, Directory, Migration, Source, Step } from './migration.ts'
import { isMaintenance } from './sql.ts'

/** What is asked for. `target` and `steps` of a rollback never come together. */
export type Request =
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

/** The state of the database that a plan stands on. */
export interface History {
  /** In the order of their ids. */
  readonly applied: readonly Applied[]
  /** A table of another tool that stands in our way. */
  readonly foreignTable: string | null
}

/**
 * What should run: the steps that lead from what is applied to what is asked for, or an empty list where nothing is to do.
 * `from` of a request is -1 for "nothing applied".
 *
 * @throws MigrationError why not: `invalid-migrations`, `foreign-table`, `history-gap`, `invalid-request`,
 * `precondition-failed`, `checksum-mismatch`, `no-rollback`.
 */
export function plan(directory: Directory, history: History, request: Request): Step[] {
  refuseProblems(directory)
  refuseConflict(history)
  refuseUnknownTarget(directory, request)
  refuseMoved(history.applied, request.from)
  const steps = stepsOf(directory, history, request)
  if (request.atomic) refuseMaintenance(steps)
  return steps
}

function stepsOf({ migrations }: Directory, { applied }: History, request: Request): Step[] {
  if (request.kind === 'rollback') return stepsDown(migrations, applied, floorOf(applied, request))
  refuseChanged(migrations, applied)
  return stepsUp(migrations, applied, request.target)
}

/** The highest applied id, `null` where nothing is applied. */
export function currentOf(applied: readonly Applied[]): number | null {
  return applied.at(-1)?.id ?? null
}

/** The first id that is missing below the highest applied one, `null` where the history is whole. */
export function gapIn(applied: readonly Applied[]): number | null {
  const gap = applied.findIndex(({ id }, place) => id !== place)
  return gap === -1 ? null : gap
}

/** Whether an applied migration is another in the directory now: by its checksum, else by its name. */
export function isChanged(migration: Migration, applied: Applied): boolean {
  return applied.checksum === null ? migration.name !== applied.name : migration.checksum !== applied.checksum
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

function floorOf(applied: readonly Applied[], { target, steps: asked }: Request & { kind: 'rollback' }): number {
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

function refuseMaintenance(steps: readonly Step[]): void {
  const outside = steps.find(({ source }) => source?.kind === 'sql' && isMaintenance(source.text))
  if (outside === undefined) return
  throw new MigrationError(
    'invalid-request',
    `migration ${outside.id} ${outside.name} cannot run inside a transaction, so atomic=true cannot include it; leave atomic out, or stop before it with target`,
  )
}

function refuseProblems({ problems }: Directory): void {
  const [first] = problems
  if (first === undefined) return
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more, all in problems)` : ''
  throw new MigrationError('invalid-migrations', `${first.message}${more}`, {
    problems,
  })
}

function refuseConflict({ applied, foreignTable }: History): void {
  if (foreignTable !== null) {
    throw new MigrationError('foreign-table', foreignTableMessage(foreignTable), { table: foreignTable })
  }
  const gap = gapIn(applied)
  if (gap !== null) throw new MigrationError('history-gap', gapMessage(gap), { id: gap })
}

/** The sentence for a table of another tool. */
export function foreignTableMessage(table: string): string {
  return `the table ${table} has other columns than schemad's and belongs to another tool; rename it or use another database`
}

/** The sentence for a hole in the history. */
export function gapMessage(id: number): string {
  return `migration ${id} is not recorded as applied, though a later one is; find out who removed its row from migrations and put it back`
}

function refuseUnknownTarget({ migrations }: Directory, { kind, target }: Request): void {
  if (target === null || (kind === 'rollback' && target === -1)) return
  if (migrations.some(({ id }) => id === target)) return
  throw new MigrationError(
    'invalid-request',
    `target ${target} is not in the directory; its migrations are 0 to ${migrations.length - 1}`,
  )
}

function refuseMoved(applied: readonly Applied[], from: number | null): void {
  const current = currentOf(applied)
  if (from === null || from === (current ?? -1)) return
  throw new MigrationError(
    'precondition-failed',
    `the current migration is ${current ?? 'none'} and not ${from === -1 ? 'none' : from}; look at the history, then ask again`,
    { current },
  )
}

function refuseChanged(migrations: readonly Migration[], applied: readonly Applied[]): void {
  const recorded = new Map(applied.map((one) => [one.id, one]))
  const changed = migrations.filter((migration) => {
    const one = recorded.get(migration.id)
    return one !== undefined && isChanged(migration, one)
  })
  if (changed.length === 0) return
  throw new MigrationError(
    'checksum-mismatch',
    `applied migrations are others in the directory now: ${changed.map(({ id, name }) => `${id} ${name}`).join(', ')}; restore their files or POST /repair`,
    { migrations: changed.map(({ id, name }) => ({ id, name })) },
  )
}

import { MigrationError } from './errors.ts'
import { changedIn, currentOf, gapIn, type History } from './history.ts'
import type { Applied, Directory, Migration, Step } from './migration.ts'
import { isMaintenance } from './sql.ts'

/** Refuses what cannot be in one transaction with the rest. */
export function refuseMaintenance(steps: readonly Step[]): void {
  const outside = steps.find(({ source }) => source?.kind === 'sql' && isMaintenance(source.text))
  if (outside === undefined) return
  throw new MigrationError(
    'invalid-request',
    `migration ${outside.id} ${outside.name} cannot run inside a transaction, so atomic=true cannot include it; leave atomic out, or stop before it with target`,
  )
}

/** Refuses while the directory has a problem. */
export function refuseProblems({ problems }: Directory): void {
  const [first] = problems
  if (first === undefined) return
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more, all in problems)` : ''
  throw new MigrationError('invalid-migrations', `${first.message}${more}`, {
    problems,
  })
}

/** Refuses while the database has a table of another tool, or a hole in its history. */
export function refuseConflict({ applied, foreignTable }: History): void {
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

/** Refuses a target that the directory does not have. */
export function refuseUnknownTarget({ migrations }: Directory, target: number | null): void {
  if (target === null) return
  if (migrations.some(({ id }) => id === target)) return
  throw new MigrationError(
    'invalid-request',
    `target ${target} is not in the directory; its migrations are 0 to ${migrations.length - 1}`,
  )
}

/** Refuses what is neither in the directory nor applied: what was deleted there may still be what a rollback goes back to. */
export function refuseUnknownRollback(directory: Directory, applied: readonly Applied[], target: number | null): void {
  if (target === -1 || applied.some(({ id }) => id === target)) return
  refuseUnknownTarget(directory, target)
}

/** Refuses unless `from` is the current id; -1 stands for none. */
export function refuseMoved(applied: readonly Applied[], from: number | null): void {
  const current = currentOf(applied)
  if (from === null || from === (current ?? -1)) return
  throw new MigrationError(
    'precondition-failed',
    `the current migration is ${current ?? 'none'} and not ${from === -1 ? 'none' : from}; look at the history, then ask again`,
    { current },
  )
}

/** Refuses while applied migrations have other files than they were applied from. */
export function refuseChanged(migrations: readonly Migration[], applied: readonly Applied[]): void {
  const changed = changedIn(migrations, applied)
  if (changed.length === 0) return
  throw new MigrationError(
    'checksum-mismatch',
    `applied migrations are others in the directory now: ${changed.map(({ id, name }) => `${id} ${name}`).join(', ')}; restore their files, or POST /repair to record them as they are`,
    { migrations: changed.map(({ id, name }) => ({ id, name })) },
  )
}

/** Refuses where something is applied already: a baseline says where the history begins. */
export function refuseApplied(applied: readonly Applied[]): void {
  const current = currentOf(applied)
  if (current === null) return
  throw new MigrationError(
    'not-empty',
    `migrations up to ${current} are applied already; a baseline is for a database without a history`,
    { current },
  )
}

import { currentOf, gapIn, type History, isChanged } from './history.ts'
import type { Applied, Directory, Migration, Problem } from './migration.ts'
import { foreignTableMessage, gapMessage } from './refusals.ts'

export const MIGRATION_STATES = ['applied', 'pending', 'changed', 'missing'] as const
export type MigrationState = (typeof MIGRATION_STATES)[number]

export const STATES = ['invalid', 'conflict', 'changed', 'ahead', 'pending', 'up-to-date'] as const

/** A migration of the directory or the database, and how it stands. */
export interface MigrationStatus {
  readonly id: number
  readonly name: string
  readonly state: MigrationState
  readonly kind: 'sql' | 'code' | null
  /** A rollback exists, in the directory or in the log. */
  readonly reversible: boolean
  readonly checksum: string | null
  /** ISO 8601, UTC. */
  readonly appliedAt: string | null
  readonly durationMs: number | null
  readonly appliedBy: string | null
}

/** A problem of the directory, or a conflict of the database, which has no file. */
export interface StatusProblem {
  readonly code: Problem['code'] | 'history-gap' | 'foreign-table'
  readonly file: string | null
  readonly message: string
}

/** How directory and database stand to each other. */
export interface Status {
  readonly current: number | null
  readonly latest: number | null
  readonly pending: number
  readonly state: (typeof STATES)[number]
  readonly problems: readonly StatusProblem[]
  readonly migrations: readonly MigrationStatus[]
}

/** How the migrations of `directory` stand in `history`. */
export function statusOf(directory: Directory, { applied, foreignTable }: History): Status {
  const recorded = new Map(applied.map((one) => [one.id, one]))
  const present = new Set(directory.migrations.map(({ id }) => id))
  const migrations = [
    ...directory.migrations.map((migration) => inDirectory(migration, recorded.get(migration.id))),
    ...applied.filter(({ id }) => !present.has(id)).map(missing),
  ].sort((a, b) => a.id - b.id)
  const conflicts = conflictsOf({ applied, foreignTable })
  return {
    current: currentOf(applied),
    latest: directory.migrations.at(-1)?.id ?? null,
    pending: migrations.filter(({ state }) => state === 'pending').length,
    state: stateOf(directory, conflicts, migrations),
    problems: [...directory.problems, ...conflicts],
    migrations,
  }
}

function conflictsOf({ applied, foreignTable }: History): StatusProblem[] {
  if (foreignTable !== null)
    return [
      {
        code: 'foreign-table',
        file: null,
        message: foreignTableMessage(foreignTable),
      },
    ]
  const gap = gapIn(applied)
  return gap === null ? [] : [{ code: 'history-gap', file: null, message: gapMessage(gap) }]
}

function stateOf(
  { problems }: Directory,
  conflicts: readonly StatusProblem[],
  migrations: readonly MigrationStatus[],
): Status['state'] {
  const has = (state: MigrationState) => migrations.some((one) => one.state === state)
  if (problems.length > 0) return 'invalid'
  if (conflicts.length > 0) return 'conflict'
  if (has('changed')) return 'changed'
  if (has('missing')) return 'ahead'
  return has('pending') ? 'pending' : 'up-to-date'
}

function inDirectory(migration: Migration, applied: Applied | undefined): MigrationStatus {
  const { id, name, kind, checksum, down } = migration
  if (applied === undefined) {
    const none = { appliedAt: null, durationMs: null, appliedBy: null }
    return {
      id,
      name,
      state: 'pending',
      kind,
      reversible: down !== null,
      checksum,
      ...none,
    }
  }
  const state = isChanged(migration, applied) ? 'changed' : 'applied'
  return {
    id,
    name,
    state,
    kind,
    reversible: down !== null || applied.keptDown,
    checksum,
    ...past(applied),
  }
}

function missing(applied: Applied): MigrationStatus {
  const { id, name, keptDown, checksum } = applied
  return {
    id,
    name,
    state: 'missing',
    kind: null,
    reversible: keptDown,
    checksum,
    ...past(applied),
  }
}

function past({
  insertedAt,
  durationMs,
  appliedBy,
}: Applied): Pick<MigrationStatus, 'appliedAt' | 'durationMs' | 'appliedBy'> {
  const known = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)$/.exec(insertedAt)
  return {
    appliedAt: known ? `${known[1]}T${known[2]}Z` : null,
    durationMs,
    appliedBy,
  }
}

import type { Applied, Migration } from './migration.ts'

/** The state of the database that a plan stands on. */
export interface History {
  /** In the order of their ids. */
  readonly applied: readonly Applied[]
  /** A table of another tool that stands in our way. */
  readonly foreignTable: string | null
}

/** Whether two readings of a database found the same. */
export function isSameHistory(one: History, other: History): boolean {
  return (
    one.foreignTable === other.foreignTable &&
    one.applied.length === other.applied.length &&
    one.applied.every((applied, at) => isSameApplied(applied, other.applied[at]))
  )
}

/** By each of its values: it is asked whenever an application has committed. */
function isSameApplied(one: Applied, other: Applied | undefined): boolean {
  return (
    one.id === other?.id &&
    one.name === other.name &&
    one.insertedAt === other.insertedAt &&
    one.checksum === other.checksum &&
    one.keptDown === other.keptDown &&
    one.durationMs === other.durationMs &&
    one.appliedBy === other.appliedBy
  )
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

/** The applied migrations of which the directory has other files now. */
export function changedIn(migrations: readonly Migration[], applied: readonly Applied[]): Migration[] {
  const recorded = new Map(applied.map((one) => [one.id, one]))
  return migrations.filter((migration) => {
    const one = recorded.get(migration.id)
    return one !== undefined && isChanged(migration, one)
  })
}

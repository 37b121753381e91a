import type { Directory, Migration } from '../core/migration.ts'

/** Whether two looks at a directory saw the same. */
export function isSame(one: Directory, other: Directory): boolean {
  return (
    JSON.stringify(one.problems) === JSON.stringify(other.problems) && sameMigrations(one.migrations, other.migrations)
  )
}

/** By the identity of their sources: what was not read again is the same object. */
function sameMigrations(one: readonly Migration[], other: readonly Migration[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ id, name, up, down }, at) => {
      const twin = other[at]
      return id === twin?.id && name === twin.name && up === twin.up && sameDown(down, twin.down)
    })
  )
}

function sameDown(one: Migration['down'], other: Migration['down']): boolean {
  if (one === null || other === null) return one === other
  if (one.kind !== other.kind || one.file !== other.file || one.name !== other.name) return false
  return one.text === other.text
}

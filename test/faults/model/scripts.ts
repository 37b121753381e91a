import { createHash } from 'node:crypto'
import { ENDLESS } from '../../support/folder.ts'
import type { Migration, Way } from './model.ts'

/** The names and texts of the files of migration `id`. Half of any of them would show in the tables. */
export function filesOf(id: number, { name, down, ...up }: Migration): Record<string, string> {
  return {
    [`${id}_${name}.up.sql`]: upOf(id, up),
    ...(down && { [downFileOf(id)]: downOf(id, down) }),
  }
}

/** The rows of the table of migration `id` when it is applied. */
export function rowsOf(id: number, { edition }: Migration): { x: number }[] {
  return [{ x: 100 * id + edition }, { x: 100 * id + 50 + edition }]
}

export function upOf(id: number, migration: Pick<Migration, 'up' | 'edition'>): string {
  const [one, other] = rowsOf(id, migration as Migration).map(({ x }) => `INSERT INTO t${id} VALUES (${x});\n`)
  const rest = { good: other, bad: 'INSERT INTO nowhere VALUES (1);\n', endless: ENDLESS }[migration.up]
  const first = migration.up === 'bad' ? '' : one
  return `-- edition ${migration.edition}\nCREATE TABLE t${id} (x INTEGER);\n${first}${rest}`
}

export function downOf(id: number, way: Way): string {
  const rest = { good: 'SELECT 1;\n', bad: 'INSERT INTO nowhere VALUES (1);\n', endless: ENDLESS }[way]
  return `DROP TABLE t${id};\n${rest}`
}

export function downFileOf(id: number): string {
  return `${id}_undo.down.sql`
}

/** As the contract says: of the up source. */
export function checksumOf(id: number, migration: Migration): string {
  return `sha256:${createHash('sha256').update(upOf(id, migration)).digest('hex')}`
}

import { createHash } from 'node:crypto'
import Sqlite, { type Database } from 'better-sqlite3'
import { contentOf, query } from '../../support/server.ts'

/** What a history of migrations stands for: the user's own schema and rows, and which migrations are applied. */
export interface State {
  readonly integrity: unknown
  readonly applied: readonly number[]
  readonly schema: readonly unknown[]
  readonly rows: Readonly<Record<string, readonly unknown[]>>
}

/** The state of `database` as another connection sees it, without what only schemad writes. */
export function stateOf(database: string): State {
  const { schema, rows, integrity } = contentOf(database)
  const { migrations = [], ...own } = rows
  return {
    integrity,
    applied: (migrations as { id: number }[]).map(({ id }) => id),
    schema: (schema as { name: string }[]).filter(({ name }) => name !== 'migrations'),
    rows: own,
  }
}

/** The ids that are applied if the log is believed: each step that it calls done must fit those before it. */
export function appliedByLog(database: string): number[] {
  if (!hasTable(database, 'migration_log')) return []
  const applied: number[] = []
  const sql = `SELECT migration_id AS id, direction FROM migration_log WHERE outcome = 'done' ORDER BY migration_log.id`
  for (const { id, direction } of query(database, sql) as { id: number; direction: 'up' | 'down' }[]) {
    const expected = applied.length - (direction === 'up' ? 0 : 1)
    if (id !== expected) throw new Error(`the log has ${direction} ${id} when ${expected} would be the next`)
    if (direction === 'up') applied.push(id)
    else applied.pop()
  }
  return applied
}

/** How many runs the record calls running. */
export function runningByRecord(database: string): number {
  if (!hasTable(database, 'migration_runs')) return 0
  const [row] = query(database, `SELECT count(*) AS n FROM migration_runs WHERE status = 'running'`) as { n: number }[]
  return row?.n ?? 0
}

export function hasTable(database: string, name: string): boolean {
  return query(database, `SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '${name}'`).length > 0
}

/** A state in short, for those who look a thousand times: soundness, which migrations are applied, and all else as a hash. */
export function glanceAt(database: string): { integrity: unknown; applied: number[]; digest: string } {
  const db = new Sqlite(database, { readonly: true })
  try {
    return db.transaction(() => {
      const tables = db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`).pluck().all()
      const own = (tables as string[]).filter((name) => !SCHEMADS.includes(name) && name !== 'visits')
      const schema = db.prepare('SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? ORDER BY name')
      const views = db.prepare(`SELECT name, sql FROM sqlite_schema WHERE type = 'view' ORDER BY name`).all()
      const content = own.map((name) => [name, schema.all(name), rowsOf(db, name)])
      return {
        integrity: db.pragma('integrity_check', { simple: true }),
        applied: tables.includes('migrations')
          ? (db.prepare('SELECT id FROM migrations ORDER BY id').pluck().all() as number[])
          : [],
        digest: createHash('sha256')
          .update(JSON.stringify([content, views]))
          .digest('hex'),
      }
    })()
  } finally {
    db.close()
  }
}

const SCHEMADS = ['migrations', 'migration_log', 'migration_runs']
const MANY = 200

/** The rows of a table; of a long one, their number and sums that no part of a change leaves as they were. */
function rowsOf(db: Database, table: string): unknown {
  const few = db.prepare(`SELECT * FROM "${table}" LIMIT ${MANY + 1}`).raw()
  const rows = few.all()
  if (rows.length <= MANY) return rows
  const sums = few
    .columns()
    .map(({ name }) => `total("${name}"), total(length("${name}")), min("${name}"), max("${name}")`)
  return db.prepare(`SELECT count(*), ${sums.join()} FROM "${table}"`).raw().get()
}

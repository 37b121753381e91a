import Sqlite, { type Database } from 'better-sqlite3'
import type { RowCount } from '../core/migration.ts'
import { shadowTables } from './schema-changes.ts'
import { OURS } from './tables.ts'

/** The rows of each table of the user's, by its name. */
export function countRows(db: Database): Map<string, number> {
  return new Map(tablesOf(db, 'main').map((table) => [table, countOf(db, 'main', table)]))
}

/** The counts of before and after, side by side. */
export function compareCounts(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): RowCount[] {
  const tables = [...new Set([...before.keys(), ...after.keys()])].sort()
  return tables.map((table) => ({ table, before: before.get(table) ?? null, after: after.get(table) ?? null }))
}

/**
 * What the database `live` loses when the database `restored` takes its place: of each table the rows, and how many of them
 * are gone or others afterwards.
 */
export function lostBetween(live: string, restored: string): RowCount[] {
  const db = new Sqlite(live, { readonly: true })
  try {
    db.prepare('ATTACH ? AS restored').run(restored)
    const [now, then] = (['main', 'restored'] as const).map((schema) => new Set(tablesOf(db, schema)))
    const tables = [...new Set([...(now ?? []), ...(then ?? [])])].sort()
    return tables.map((table) => {
      const before = now?.has(table) ? countOf(db, 'main', table) : null
      const after = then?.has(table) ? countOf(db, 'restored', table) : null
      const lost = before === null ? 0 : after === null ? before : lostOf(db, table)
      // Rows that are alike count once when they are compared.
      const fewer = Math.max(0, (before ?? 0) - (after ?? 0))
      return { table, before, after, lost: lost === null ? null : Math.max(lost, fewer) }
    })
  } finally {
    db.close()
  }
}

/** The tables of the user's that can be read: not those of a virtual table whose module is not loaded here. */
function tablesOf(db: Database, schema: 'main' | 'restored'): string[] {
  const hidden = new Set<string>([...OURS, ...shadowTables(db, schema)])
  const sql = `SELECT name FROM ${schema}.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`
  const names = db.prepare(sql).pluck().all() as string[]
  return names.filter((name) => !hidden.has(name.toLowerCase()) && isReadable(db, schema, name))
}

function isReadable(db: Database, schema: string, table: string): boolean {
  try {
    countOf(db, schema, table)
    return true
  } catch {
    return false
  }
}

function countOf(db: Database, schema: string, table: string): number {
  return db
    .prepare(`SELECT count(*) FROM ${schema}.${quote(table)}`)
    .pluck()
    .get() as number
}

/** `null` for a table whose columns are others. */
function lostOf(db: Database, table: string): number | null {
  const columns = (schema: string) =>
    db.prepare(`SELECT group_concat(name) FROM pragma_table_info(?, ?)`).pluck().get(table, schema)
  if (columns('main') !== columns('restored')) return null
  const name = quote(table)
  const sql = `SELECT count(*) FROM (SELECT * FROM main.${name} EXCEPT SELECT * FROM restored.${name})`
  try {
    return db.prepare(sql).pluck().get() as number
  } catch {
    // A collation or a function of the application's: what cannot be counted must not stop a restore.
    return null
  }
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

import Sqlite, { type Database } from 'better-sqlite3'
import type { RowCount } from '../core/migration.ts'
import { shadowTables } from './live-schema.ts'
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
      return { table, before, after, lost: before === null ? 0 : after === null ? before : lostOf(db, table) }
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
    db.prepare('SELECT name FROM pragma_table_info(?, ?)').pluck().all(table, schema) as string[]
  const names = columns('main')
  if (names.join() !== columns('restored').join()) return null
  const name = quote(table)
  // By a collation of the table's, rows would be alike that are not; and of rows that are alike, each counts.
  const list = names.map((column) => `${quote(column)} COLLATE BINARY`).join()
  const rows = (schema: string) => `SELECT ${list}, row_number() OVER (PARTITION BY ${list}) FROM ${schema}.${name}`
  const sql = `SELECT count(*) FROM (${rows('main')} EXCEPT ${rows('restored')})`
  try {
    return db.prepare(sql).pluck().get() as number
  } catch {
    // A function of the application's: what cannot be counted must not stop a restore.
    return null
  }
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

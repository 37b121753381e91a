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
function tablesOf(db: Database, schema: Schema): string[] {
  const hidden = new Set<string>([...OURS, ...shadowTables(db, schema)])
  const sql = `SELECT name FROM ${schema}.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`
  const names = db.prepare(sql).pluck().all() as string[]
  return names.filter((name) => !hidden.has(name.toLowerCase()) && isReadable(db, schema, name))
}

function isReadable(db: Database, schema: Schema, table: string): boolean {
  try {
    countOf(db, schema, table)
    return true
  } catch {
    return false
  }
}

function countOf(db: Database, schema: Schema, table: string): number {
  return db
    .prepare(`SELECT count(*) FROM ${within(schema, table)}`)
    .pluck()
    .get() as number
}

/** `null` for a table whose columns are others. */
function lostOf(db: Database, table: string): number | null {
  const names = columnsOf(db, 'main', table)
  if (names.join() !== columnsOf(db, 'restored', table).join()) return null
  const key = keyOf(db, table)
  const list = names.map(binary).join()
  const rows = (schema: Schema) =>
    `SELECT ${list} FROM ${key === null ? within(schema, table) : unmatched(schema, table, key, names)}`
  // Of rows that are alike, each counts.
  const each = (schema: Schema) => `SELECT *, row_number() OVER (PARTITION BY ${list}) FROM (${rows(schema)})`
  const ask = (sql: string) => db.prepare(sql).pluck().get() as number
  try {
    if (ask(`SELECT EXISTS (${rows('main')})`) === 0) return 0
    return ask(`SELECT count(*) FROM (${each('main')} EXCEPT ${each('restored')})`)
  } catch {
    // A function of the application's: what cannot be counted must not stop a restore.
    return null
  }
}

/**
 * The rows that are not in the other database under the same key, unchanged. One that is can be lost no more, nor stand for
 * another: to find it by its key takes a fifth of comparing all with all.
 */
function unmatched(schema: Schema, table: string, key: readonly string[], names: readonly string[]): string {
  const found = key.map((column) => `b.${column} = a.${column}`)
  // Without the type of its column a value is what it is.
  const unchanged = names.map((column) => `+a.${quote(column)} IS +b.${binary(column)}`)
  const other = within(schema === 'main' ? 'restored' : 'main', table)
  const match = `SELECT 1 FROM ${other} AS b WHERE ${[...found, ...unchanged].join(' AND ')}`
  return `${within(schema, table)} AS a WHERE NOT EXISTS (${match})`
}

/** By a collation of the table's, rows would be alike that are not. */
function binary(column: string): string {
  return `${quote(column)} COLLATE BINARY`
}

type Schema = 'main' | 'restored'

function within(schema: Schema, table: string): string {
  return `${schema}.${quote(table)}`
}

function columnsOf(db: Database, schema: Schema, table: string): string[] {
  return db.prepare('SELECT name FROM pragma_table_info(?, ?)').pluck().all(table, schema) as string[]
}

/** By what the rows of a table are found, quoted; `null` where that is not the same in both, or nothing that has to be. */
function keyOf(db: Database, table: string): readonly string[] | null {
  const [now, then] = (['main', 'restored'] as const).map((schema) => keyIn(db, schema, table))
  return now && then && now.join() === then.join() ? now : null
}

/** The name of the rowid that no column has taken (https://sqlite.org/lang_createtable.html#rowid), or the primary key. */
function keyIn(db: Database, schema: Schema, table: string): readonly string[] | null {
  const kind = db.prepare('SELECT type, wr FROM pragma_table_list(?) WHERE schema = ?').get(table, schema)
  const { type, wr } = kind as { type: string; wr: number }
  if (type !== 'table') return null
  const key = db.prepare('SELECT name FROM pragma_table_info(?, ?) WHERE pk > 0 ORDER BY pk').pluck()
  if (wr === 1) return (key.all(table, schema) as string[]).map(quote)
  const taken = db.prepare('SELECT lower(name) FROM pragma_table_xinfo(?, ?)').pluck().all(table, schema)
  const free = ['rowid', '_rowid_', 'oid'].find((name) => !taken.includes(name))
  return free === undefined ? null : [free]
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

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
  const own = names.map((_, place) => `c${place} COLLATE BINARY`).join()
  try {
    const key = keyOf(db, table, names)
    const rows = (schema: Schema) => (key === null ? all(schema, table, names) : unmatched(schema, table, names, key))
    // Of rows that are alike, each counts.
    const each = (schema: Schema) => `SELECT ${own}, row_number() OVER (PARTITION BY ${own}) FROM (${rows(schema)})`
    const ask = (sql: string) => db.prepare(sql).pluck().get() as number
    if (ask(`SELECT EXISTS (${rows('main')})`) === 0) return 0
    return ask(`SELECT count(*) FROM (${each('main')} EXCEPT ${each('restored')})`)
  } catch {
    // A function of the application's: what cannot be counted must not stop a restore.
    return null
  }
}

type Schema = 'main' | 'restored'

function within(schema: Schema, table: string): string {
  return `${schema}.${quote(table)}`
}

function columnsOf(db: Database, schema: Schema, table: string): string[] {
  return db.prepare('SELECT name FROM pragma_table_info(?, ?)').pluck().all(table, schema) as string[]
}

/** All rows, under names of our own: `true` is none for a column of a subquery. By a collation of the table's, rows would be alike that are not. */
function all(schema: Schema, table: string, names: readonly string[]): string {
  const list = names.map((name, place) => `a.${quote(name)} COLLATE BINARY AS c${place}`)
  return `SELECT ${list.join()} FROM ${within(schema, table)} AS a`
}

/**
 * The rows that are not in the other database under the same key, unchanged. One that is can be lost no more, nor stand for
 * another: to find it by its key takes a fifth of comparing all with all.
 */
function unmatched(schema: Schema, table: string, names: readonly string[], key: readonly string[]): string {
  const found = key.map((column) => `b.${column} = a.${column}`)
  // Without the type of its column a value is what it is.
  const unchanged = names.map((name) => `+a.${quote(name)} IS +b.${quote(name)} COLLATE BINARY`)
  const other = within(schema === 'main' ? 'restored' : 'main', table)
  const match = `SELECT 1 FROM ${other} AS b WHERE ${[...found, ...unchanged].join(' AND ')}`
  return `${all(schema, table, names)} WHERE NOT EXISTS (${match})`
}

/** SQLite takes no more of them in one condition. */
const MOST_COLUMNS = 200

/** What finds each row of a table at once: its rowid by a name that no column has taken, or its primary key; `null` where nothing does. */
function keyOf(db: Database, table: string, names: readonly string[]): readonly string[] | null {
  if (names.length > MOST_COLUMNS) return null
  const taken = db.prepare('SELECT lower(name) FROM pragma_table_xinfo(?, ?)').pluck().all(table, 'main')
  const rowid = ['rowid', '_rowid_', 'oid'].filter((name) => !taken.includes(name)).slice(0, 1)
  const primary = db
    .prepare(`SELECT name FROM pragma_table_info(?, 'main') WHERE pk > 0 ORDER BY pk`)
    .pluck()
    .all(table)
  const keys = [rowid, (primary as string[]).map(quote)]
  return keys.find((key) => key.length > 0 && finds(db, table, names, key)) ?? null
}

/**
 * Whether SQLite looks for a row of the other database in the b-tree of its table, with all of the key: not where that has other
 * types or collations there, nor in a virtual table (https://sqlite.org/eqp.html).
 */
function finds(db: Database, table: string, names: readonly string[], key: readonly string[]): boolean {
  try {
    return (['main', 'restored'] as const).every((schema) => {
      const plan = db.prepare(`EXPLAIN QUERY PLAN ${unmatched(schema, table, names, key)}`).all() as {
        detail: string
      }[]
      const { detail = '' } = plan.find((one) => /^(?:SEARCH|SCAN) b\b/.test(one.detail)) ?? {}
      return /^SEARCH b USING (?:INTEGER )?PRIMARY KEY /.test(detail) && detail.split('=?').length === key.length + 1
    })
  } catch {
    // A table without a rowid.
    return false
  }
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

import type { Database } from 'better-sqlite3'
import { TABLES } from './tables.ts'

/** An object of a schema. `sql` is `null` of an index that SQLite has made by itself. */
export interface SchemaObject {
  readonly type: 'table' | 'index' | 'view' | 'trigger'
  readonly name: string
  readonly sql: string | null
}

/** What is the user's: neither ours, nor SQLite's own, nor the tables in which a virtual table keeps its content. */
function users(db: Database): { readonly from: string; readonly values: readonly string[] } {
  const values = [...Object.keys(TABLES), ...shadowTables(db)]
  // No function that gives a table: one of the user's can have its name, and hides it.
  const others = values.map(() => '?').join()
  const from = `FROM main.sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND lower(tbl_name) NOT IN (${others})`
  return { from, values }
}

/** The user's objects. */
export function userObjects(db: Database): SchemaObject[] {
  const { from, values } = users(db)
  return db.prepare(`SELECT type, name, sql ${from}`).all(...values) as SchemaObject[]
}

/** The same as text: a line of JSON for each, of its type and name and its SQL. SQLite writes it faster than it gives a thousand rows. */
export function userObjectLines(db: Database): string {
  const { from, values } = users(db)
  const sql = `SELECT group_concat(json_array(type || ' ' || name, CAST(sql AS TEXT)), char(10)) ${from}`
  const lines = db.prepare(sql).pluck()
  return (lines.get(...values) as string | null) ?? ''
}

const ORDER = ['table', 'index', 'view', 'trigger'] as const

/**
 * The SQL of all of them, a statement each with its semicolon, in an order in which they can be executed, and which does not
 * depend on when each was made: by kind, then by name.
 */
export function schemaSql(db: Database): string[] {
  const place = ({ type }: SchemaObject) => ORDER.indexOf(type)
  const sorted = userObjects(db).sort((a, b) => place(a) - place(b) || (a.name < b.name ? -1 : 1))
  // A comment in the last line would take the semicolon with it.
  return sorted.flatMap(({ sql }) => (sql === null ? [] : sql.includes('--') ? `${sql}\n;` : `${sql};`))
}

/** The names, in lower case, of the tables in which virtual tables keep their content. */
export function shadowTables(db: Database, schema = 'main'): string[] {
  const virtual = `SELECT 1 FROM ${schema}.sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%' LIMIT 1`
  if (db.prepare(virtual).get() === undefined) return []
  try {
    return db
      .prepare(`SELECT lower(name) FROM pragma_table_list WHERE schema = ? AND type = 'shadow'`)
      .pluck()
      .all(schema) as string[]
  } catch {
    // A virtual table whose module is not loaded here makes the list fail; its content is then told like any table.
    return []
  }
}

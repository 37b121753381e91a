import type { Database } from 'better-sqlite3'
import type { SchemaChanges } from '../core/migration.ts'
import { TABLES } from './tables.ts'

/** Each object of a schema, as `table cats`, with the SQL that made it. */
export type Objects = Readonly<Record<string, string>>

/** The user's objects: neither ours, nor SQLite's own, nor the tables in which a virtual table keeps its content. */
export function objectsOf(db: Database): Objects {
  const shadows = new Set(shadowTables(db))
  const ours = new Set<string>(Object.keys(TABLES))
  const sql = `SELECT type, name, lower(tbl_name) AS parent, coalesce(sql, '') AS sql FROM main.sqlite_schema
    WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`
  const rows = db.prepare(sql).all() as {
    type: string
    name: string
    parent: string
    sql: string
  }[]
  const own = rows.filter(({ parent }) => !ours.has(parent) && !shadows.has(parent))
  return Object.fromEntries(own.map(({ type, name, sql }) => [`${type} ${name}`, sql]))
}

/** What lies between two schemas, each list sorted. */
export function changesBetween(before: Objects, after: Objects): SchemaChanges {
  const created = Object.keys(after).filter((name) => !Object.hasOwn(before, name))
  const dropped = Object.keys(before).filter((name) => !Object.hasOwn(after, name))
  const altered = Object.keys(after).filter((name) => Object.hasOwn(before, name) && before[name] !== after[name])
  return {
    created: created.sort(),
    dropped: dropped.sort(),
    altered: altered.sort(),
  }
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

import type { Database } from 'better-sqlite3'
import { ask } from './ask.ts'
import { sqliteCode } from './failure.ts'

/** A row whose parent is not there, as `PRAGMA foreign_key_check` tells it. */
export interface Violation {
  readonly table: string
  /** As text: it can be larger than a number holds. `null` in a WITHOUT ROWID table. */
  readonly rowid: string | null
  readonly parent: string
  readonly fkid: number
}

/** Everything that violates a foreign key. */
export function violations(db: Database): Violation[] {
  try {
    return check(db, null)
  } catch (error) {
    if (!isUncheckable(error)) throw error
    return tablesWithKeys(db).flatMap((table) => violationsOf(db, table))
  }
}

/** Of one table, or of all. As a function, since a PRAGMA that is kept would not see tables made after it was compiled. */
function check(db: Database, table: string | null): Violation[] {
  const sql = `SELECT "table", CAST("rowid" AS TEXT) AS "rowid", "parent", "fkid" FROM pragma_foreign_key_check(?, 'main')`
  return ask(db, sql).all(table) as Violation[]
}

/**
 * SQLite checks none of a table's keys when one of them cannot be: its parent is a view, or has no such unique key. That is a
 * fault of the schema, which its next writer is told; here it counts which rows have no parent.
 */
function violationsOf(db: Database, table: string): Violation[] {
  try {
    return check(db, table)
  } catch (error) {
    if (!isUncheckable(error)) throw error
    return keysOf(db, table).flatMap(({ id, parent }) => orphans(db, table, parent, id))
  }
}

/** The violations of one key, by a query of our own. */
function orphans(db: Database, table: string, parent: string, fkid: number): Violation[] {
  const row = rowidOf(db, table)
  try {
    const sql = `SELECT ${row === null ? 'NULL' : `CAST(c.${row} AS TEXT)`} ${orphansFrom(db, table, parent, fkid)}`
    const rowids = ask(db, sql).pluck().all() as (string | null)[]
    return rowids.map((rowid) => ({ table, rowid, parent, fkid }))
  } catch (error) {
    if (!isUncheckable(error)) throw error
    // Its collation is the application's, or a column is not there: nobody can say.
    return [{ table, rowid: null, parent, fkid: -1 }]
  }
}

function isUncheckable(error: unknown): boolean {
  return sqliteCode(error)?.startsWith('SQLITE_ERROR') ?? false
}

function tablesWithKeys(db: Database): string[] {
  const sql = `SELECT name FROM main.sqlite_schema WHERE type = 'table' AND sql LIKE '%REFERENCES%'`
  return ask(db, sql).pluck().all() as string[]
}

function keysOf(db: Database, table: string): { id: number; parent: string }[] {
  const sql = `SELECT DISTINCT id, "table" AS parent FROM pragma_foreign_key_list(?, 'main') ORDER BY id`
  return ask(db, sql).all(table) as { id: number; parent: string }[]
}

/** Reads the child's key of a violation, as text: it outlives a rebuild that gives the row another rowid or another type. */
export function keyReader(db: Database): (violation: Violation) => string {
  const readers = new Map<string, (rowid: string | null) => string>()
  return ({ table, rowid, parent, fkid }) => {
    if (fkid < 0) return ''
    const name = `${fkid} ${table}`
    const reader =
      readers.get(name) ?? (rowid === null ? keysInTurn(db, table, parent, fkid) : keyByRow(db, table, fkid))
    readers.set(name, reader)
    return reader(rowid)
  }
}

function keyByRow(db: Database, table: string, fkid: number): (rowid: string | null) => string {
  const row = rowidOf(db, table)
  // All three names of the rowid are taken by columns.
  if (row === null) return () => ''
  const key = keyText(columnsOf(db, table, fkid))
  const sql = `SELECT ${key} FROM main.${quote(table)} c WHERE c.${row} = CAST(? AS INTEGER)`
  const statement = ask(db, sql).pluck()
  return (rowid) => String(statement.get(rowid))
}

/** Rows of a WITHOUT ROWID table have no name in a violation: their keys, sorted, are given one after the other. */
function keysInTurn(db: Database, table: string, parent: string, fkid: number): () => string {
  const key = keyText(columnsOf(db, table, fkid))
  const sql = `SELECT ${key} AS key ${orphansFrom(db, table, parent, fkid)} ORDER BY key`
  const keys = ask(db, sql).pluck().all().values()
  return () => String(keys.next().value ?? '')
}

function keyText(columns: readonly Column[]): string {
  return columns.map(({ from }) => `quote(CAST(c.${quote(from)} AS TEXT))`).join(` || ',' || `)
}

/** The rows of the child `c` whose key has no parent, as the end of a SELECT. */
function orphansFrom(db: Database, table: string, parent: string, fkid: number): string {
  const columns = columnsOf(db, table, fkid)
  const whole = columns.map(({ from }) => `c.${quote(from)} IS NOT NULL`).join(' AND ')
  const match = columns.map(({ from, to }) => `p.${quote(to ?? from)} = c.${quote(from)}`).join(' AND ')
  const alone = `NOT EXISTS (SELECT 1 FROM main.${quote(parent)} p WHERE ${match})`
  return `FROM main.${quote(table)} c WHERE ${whole}${isThere(db, parent) ? ` AND ${alone}` : ''}`
}

interface Column {
  readonly from: string
  /** `null` where neither the key nor the parent names it. */
  readonly to: string | null
}

/** The columns of a foreign key; those of the parent's primary key where it names none. */
function columnsOf(db: Database, table: string, fkid: number): Column[] {
  const sql = `SELECT k."from" AS "from", coalesce(k."to", (SELECT name FROM pragma_table_info(k."table", 'main') WHERE pk = k.seq + 1)) AS "to"
    FROM pragma_foreign_key_list(?, 'main') k WHERE k.id = ? ORDER BY k.seq`
  return ask(db, sql).all(table, fkid) as Column[]
}

/** A name by which the rowid of `table` can be asked for, which no column hides; `null` where it has none. */
function rowidOf(db: Database, table: string): string | null {
  const columns = ask(db, `SELECT lower(name) FROM pragma_table_xinfo(?, 'main')`).pluck().all(table)
  const without = ask(db, `SELECT wr FROM pragma_table_list WHERE schema = 'main' AND lower(name) = lower(?)`)
  if (without.pluck().get(table) === 1) return null
  return ['rowid', '_rowid_', 'oid'].find((name) => !columns.includes(name)) ?? null
}

function isThere(db: Database, name: string): boolean {
  const sql = `SELECT 1 FROM main.sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?)`
  return ask(db, sql).get(name) !== undefined
}

/** `name` as a quoted identifier. */
function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

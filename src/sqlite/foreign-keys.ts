import Sqlite, { type Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { ask } from './ask.ts'

/** A row whose parent is not there, as `PRAGMA foreign_key_check` tells it. */
export interface Violation {
  readonly table: string
  /** `null` in a WITHOUT ROWID table. */
  readonly rowid: number | null
  readonly parent: string
  readonly fkid: number
}

/** A violation with the child's key values, and all tables of its database: what it takes to know it again. */
interface Census {
  readonly tables: ReadonlySet<string>
  readonly found: readonly {
    readonly violation: Violation
    readonly values: string
  }[]
}

const TOLD = 20

/** The census of a database without a foreign key. */
export const NO_ORPHANS = (): Census => ({ tables: new Set(), found: [] })

/** Whether any table may have a foreign key. None can without the word, which no quoting replaces. */
export function mayHaveForeignKeys(db: Database): boolean {
  const sql = `SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND sql LIKE '%REFERENCES%' LIMIT 1`
  return ask(db, sql).get() !== undefined
}

/**
 * Throws `foreign-key-violation` for what violates a foreign key now and did not before the transaction began.
 *
 * @param before the violations of the state before; asked only when there is something to compare.
 */
export function refuseNewViolations(db: Database, before: () => Census): void {
  if (violations(db).length === 0) return
  const fresh = newlyFound(before(), census(db))
  if (fresh.length === 0) return
  const told = fresh.slice(0, TOLD)
  const rows = told.map((one) => `${one.table} row ${one.rowid ?? '?'} has no parent in ${one.parent}`).join('; ')
  const more = fresh.length > TOLD ? `; and ${fresh.length - TOLD} more` : ''
  throw new MigrationError('foreign-key-violation', `rows are left without their parents: ${rows}${more}`, {
    violations: told.map(({ table, rowid, parent }) => ({
      table,
      rowid,
      parent,
    })),
  })
}

/**
 * The violations before the transaction: counted at once where nobody else can see the old state (in memory, or where a
 * second connection might be locked out), else asked of a second connection when they are wanted.
 */
export function censusBefore(db: Database): () => Census {
  const file = ask(db, `SELECT file FROM pragma_database_list WHERE name = 'main'`).pluck().get() as string
  const journal = ask(db, 'SELECT journal_mode FROM pragma_journal_mode').pluck().get()
  if (file === '' || journal !== 'wal') {
    const counted = census(db)
    return () => counted
  }
  return () => {
    const other = new Sqlite(file, { readonly: true })
    try {
      return census(other)
    } finally {
      other.close()
    }
  }
}

function census(db: Database): Census {
  const tables = db.prepare(`SELECT lower(name) FROM main.sqlite_schema WHERE type = 'table'`).pluck().all() as string[]
  const keyOf = keyReader(db)
  return {
    tables: new Set(tables),
    found: violations(db).map((violation) => ({ violation, values: keyOf(violation) })),
  }
}

function violations(db: Database): Violation[] {
  try {
    return check(db, null)
  } catch (error) {
    if (!isUncheckable(error)) throw error
    return tablesWithKeys(db).flatMap((table) => violationsOf(db, table))
  }
}

/** Of one table, or of all. As a function, since a PRAGMA that is kept would not see tables made after it was compiled. */
function check(db: Database, table: string | null): Violation[] {
  const sql = `SELECT "table", "rowid", "parent", "fkid" FROM pragma_foreign_key_check(?, 'main')`
  return ask(db, sql).all(table) as Violation[]
}

/** A key that cannot be checked (its parent has no such key, its collation is the application's) is a finding of its own. */
function violationsOf(db: Database, table: string): Violation[] {
  try {
    return check(db, table)
  } catch (error) {
    if (!isUncheckable(error)) throw error
    const { message } = error as Error
    return [{ table, rowid: null, parent: /referencing "(.*)"/.exec(message)?.[1] ?? message, fkid: -1 }]
  }
}

function isUncheckable(error: unknown): boolean {
  return error instanceof Sqlite.SqliteError && error.code.startsWith('SQLITE_ERROR')
}

function tablesWithKeys(db: Database): string[] {
  const sql = `SELECT name FROM main.sqlite_schema WHERE type = 'table' AND sql LIKE '%REFERENCES%'`
  return db.prepare(sql).pluck().all() as string[]
}

/** Reads the child's key of a violation, as text: it outlives a rebuild that gives the row another rowid. */
function keyReader(db: Database): (violation: Violation) => string {
  const readers = new Map<string, (rowid: number | null) => string>()
  return ({ table, rowid, parent, fkid }) => {
    if (fkid < 0) return ''
    const name = `${fkid} ${table}`
    const reader =
      readers.get(name) ?? (rowid === null ? keysInTurn(db, table, parent, fkid) : keyByRow(db, table, fkid))
    readers.set(name, reader)
    return reader(rowid)
  }
}

function keyByRow(db: Database, table: string, fkid: number): (rowid: number | null) => string {
  const columns = columnsOf(db, table, fkid).map(({ from }) => `quote(${quote(from)})`)
  const sql = `SELECT ${columns.join(` || ',' || `)} FROM main.${quote(table)} WHERE rowid = ?`
  const statement = db.prepare(sql).pluck()
  return (rowid) => String(statement.get(rowid))
}

/** Rows of a WITHOUT ROWID table have no name in a violation: their keys, sorted, are given one after the other. */
function keysInTurn(db: Database, table: string, parent: string, fkid: number): () => string {
  const columns = columnsOf(db, table, fkid)
  const child = ({ from }: Column) => `c.${quote(from)}`
  const match = columns.map((column) => `p.${quote(column.to)} = ${child(column)}`).join(' AND ')
  const sql = `SELECT ${columns.map((column) => `quote(${child(column)})`).join(` || ',' || `)} AS key
    FROM main.${quote(table)} c WHERE ${columns.map((column) => `${child(column)} IS NOT NULL`).join(' AND ')}
    AND NOT EXISTS (SELECT 1 FROM main.${quote(parent)} p WHERE ${match}) ORDER BY key`
  const keys = hasTable(db, parent) ? db.prepare(sql).pluck().all().values() : [].values()
  return () => String(keys.next().value ?? '')
}

interface Column {
  readonly from: string
  readonly to: string
}

/** The columns of a foreign key; those of the parent's primary key where it names none. */
function columnsOf(db: Database, table: string, fkid: number): Column[] {
  const sql = `SELECT k."from" AS "from", coalesce(k."to", (SELECT name FROM pragma_table_info(k."table", 'main') WHERE pk = k.seq + 1)) AS "to"
    FROM pragma_foreign_key_list(?, 'main') k WHERE k.id = ? ORDER BY k.seq`
  return db.prepare(sql).all(table, fkid) as Column[]
}

function hasTable(db: Database, name: string): boolean {
  const sql = `SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND lower(name) = lower(?)`
  return db.prepare(sql).get(name) !== undefined
}

/** What `after` has and `before` had not: by table and row first, then by key, for rows and tables that changed their names. */
function newlyFound(before: Census, after: Census): Violation[] {
  const whole = (one: Census['found'][number]) => JSON.stringify(one)
  const exact = subtract(after.found, before.found, whole)
  const old = subtract(before.found, after.found, whole)
  const known = (name: string) => {
    const lower = name.toLowerCase()
    return before.tables.has(lower) && after.tables.has(lower) ? lower : '?'
  }
  const byKey = ({ violation, values }: Census['found'][number]) =>
    JSON.stringify([known(violation.table), known(violation.parent), values])
  return subtract(exact, old, byKey).map(({ violation }) => violation)
}

/** Those of `all` that are not in `taken`, each taken one standing for one. */
function subtract<T>(all: readonly T[], taken: readonly T[], key: (one: T) => string): T[] {
  const counts = new Map<string, number>()
  for (const one of taken) counts.set(key(one), (counts.get(key(one)) ?? 0) + 1)
  return all.filter((one) => {
    const left = counts.get(key(one)) ?? 0
    if (left > 0) counts.set(key(one), left - 1)
    return left === 0
  })
}

/** `name` as a quoted identifier. */
function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

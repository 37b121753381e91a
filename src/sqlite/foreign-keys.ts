import Sqlite, { type Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'

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

/** Whether any table may have a foreign key. None can without the word, which no quoting replaces. */
export function mayHaveForeignKeys(db: Database): boolean {
  const sql = `SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND sql LIKE '%REFERENCES%' LIMIT 1`
  return db.prepare(sql).get() !== undefined
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
  const file = db.prepare(`SELECT file FROM pragma_database_list WHERE name = 'main'`).pluck().get() as string
  const journal = db.pragma('journal_mode', { simple: true })
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
  return {
    tables: new Set(tables),
    found: violations(db).map((violation) => ({
      violation,
      values: values(db, violation),
    })),
  }
}

function violations(db: Database): Violation[] {
  try {
    return db.prepare('PRAGMA main.foreign_key_check').all() as Violation[]
  } catch (error) {
    if (!isMismatch(error)) throw error
    return tablesWithKeys(db).flatMap((table) => violationsOf(db, table))
  }
}

/** A foreign key whose parent has no such key is a finding of its own, not a reason to see no others. */
function violationsOf(db: Database, table: string): Violation[] {
  try {
    return db.prepare(`PRAGMA main.foreign_key_check(${quote(table)})`).all() as Violation[]
  } catch (error) {
    if (!isMismatch(error)) throw error
    return [
      {
        table,
        rowid: null,
        parent: /referencing "(.*)"/.exec((error as Error).message)?.[1] ?? '?',
        fkid: -1,
      },
    ]
  }
}

function isMismatch(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('foreign key mismatch')
}

function tablesWithKeys(db: Database): string[] {
  const sql = `SELECT name FROM main.sqlite_schema WHERE type = 'table' AND sql LIKE '%REFERENCES%'`
  return db.prepare(sql).pluck().all() as string[]
}

/** The child's key, as text: it outlives a rebuild that gives the row another rowid. */
function values(db: Database, { table, rowid, fkid }: Violation): string {
  if (rowid === null || fkid < 0) return ''
  const keys = `SELECT "from" FROM pragma_foreign_key_list(?, 'main') WHERE id = ? ORDER BY seq`
  const columns = db.prepare(keys).pluck().all(table, fkid) as string[]
  const quoted = columns.map((column) => `quote(${quote(column)})`).join(` || ',' || `)
  return db
    .prepare(`SELECT ${quoted} FROM main.${quote(table)} WHERE rowid = ?`)
    .pluck()
    .get(rowid) as string
}

/** What `after` has and `before` had not: by table and row first, then by key, for rows and tables that changed their names. */
function newlyFound(before: Census, after: Census): Violation[] {
  const exact = subtract(after.found, before.found, ({ violation }) => JSON.stringify(violation))
  const old = subtract(before.found, after.found, ({ violation }) => JSON.stringify(violation))
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

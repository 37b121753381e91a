import Sqlite, { type Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { ask } from './ask.ts'
import { keyReader, type Violation, violations } from './violations.ts'

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
    violations: told.map(({ table, rowid, parent }) => ({ table, rowid: tellable(rowid), parent })),
  })
}

/** As a number where JSON's readers can hold it. */
function tellable(rowid: string | null): number | string | null {
  return rowid !== null && Number.isSafeInteger(Number(rowid)) ? Number(rowid) : rowid
}

/**
 * The violations before the transaction: counted at once where nobody else can see the old state (in memory, or where a
 * second connection might be locked out), else asked of a second connection when they are wanted.
 */
export function censusBefore(db: Database): () => Census {
  const file = ask(db, `SELECT file FROM pragma_database_list WHERE name = 'main'`).pluck().get() as string
  const mode = ask(db, 'SELECT journal_mode, locking_mode FROM pragma_journal_mode, pragma_locking_mode').raw().get()
  if (file === '' || String(mode) !== 'wal,normal') {
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
  const tables = ask(db, `SELECT lower(name) FROM main.sqlite_schema WHERE type = 'table'`).pluck().all() as string[]
  const keyOf = keyReader(db)
  return {
    tables: new Set(tables),
    found: violations(db).map((violation) => ({ violation, values: keyOf(violation) })),
  }
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

import type { Database, Statement } from 'better-sqlite3'

const kept = new WeakMap<Database, Map<string, Statement>>()

/**
 * The statement `sql` of `db`, compiled once. What is compiled anew for each step is finalized when JavaScript's garbage is
 * collected, which is late, and SQLite walks through all that are left whenever foreign keys are switched.
 */
export function ask(db: Database, sql: string): Statement {
  const statements = kept.get(db) ?? new Map<string, Statement>()
  kept.set(db, statements)
  // A migration may have asked for BigInts.
  const statement = statements.get(sql) ?? db.prepare(sql).safeIntegers(false)
  statements.set(sql, statement)
  return statement
}

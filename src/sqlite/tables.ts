import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'

/** Our tables with their columns. A table so named with other columns belongs to another tool. */
export const TABLES = {
  migrations: ['id', 'name', 'inserted_at'],
  migration_log: [
    'id',
    'run_id',
    'migration_id',
    'name',
    'direction',
    'outcome',
    'checksum',
    'down_sql',
    'inserted_at',
    'started_at',
    'duration_ms',
    'error',
  ],
  migration_runs: [
    'id',
    'kind',
    'parameters',
    'status',
    'actor',
    'request_id',
    'created_at',
    'started_at',
    'finished_at',
    'duration_ms',
    'from_id',
    'to_id',
    'error',
    'result',
  ],
} as const

export type Table = keyof typeof TABLES

export const OURS = Object.keys(TABLES) as Table[]

// No AUTOINCREMENT: it would make SQLite create sqlite_sequence in the user's database.
const CREATE: Record<Table, string> = {
  migrations: `CREATE TABLE main.migrations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    inserted_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
  )`,
  migration_log: `CREATE TABLE main.migration_log (
    id INTEGER PRIMARY KEY,
    run_id TEXT,
    migration_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    direction TEXT NOT NULL,
    outcome TEXT NOT NULL,
    checksum TEXT,
    down_sql TEXT,
    inserted_at TEXT,
    started_at TEXT NOT NULL,
    duration_ms REAL NOT NULL,
    error TEXT
  )`,
  migration_runs: `CREATE TABLE main.migration_runs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    parameters TEXT NOT NULL,
    status TEXT NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    duration_ms REAL,
    from_id INTEGER,
    to_id INTEGER,
    error TEXT,
    result TEXT NOT NULL
  ) WITHOUT ROWID`,
}

/** Whether `table` is there: ours by its columns, of another tool, or not at all. */
export function examine(db: Database, table: Table): 'ours' | 'foreign' | 'absent' {
  const type = db.prepare(
    `SELECT type FROM main.sqlite_schema WHERE lower(name) = ? AND type IN ('table', 'view', 'index')`,
  )
  const found = type.pluck().get(table)
  if (found === undefined) return 'absent'
  const columns = db.prepare(`SELECT lower(name), type FROM pragma_table_xinfo(?, 'main')`).raw().all(table)
  const types = new Map(columns as [name: string, type: string][])
  const same = [...types.keys()].sort().join() === [...TABLES[table]].sort().join()
  return found === 'table' && same && keepsNumbers(types.get('id'), table) ? 'ours' : 'foreign'
}

/** Whether an id of `table` stays the number that it is: in a column of text it becomes one (https://sqlite.org/datatype3.html, section 3.1). */
function keepsNumbers(type: string | undefined, table: Table): boolean {
  return table === 'migration_runs' || /INT/i.test(type ?? '') || !/CHAR|CLOB|TEXT/i.test(type ?? '')
}

/** The refusal to touch a table of another tool. */
export function foreignTable(table: Table): MigrationError {
  return new MigrationError(
    'foreign-table',
    `the table ${table} has other columns than schemad's and belongs to another tool; nothing was touched; rename it or use another database`,
    { table },
  )
}

/** Creates those of `tables` that are not there. Throws `foreign-table` before it creates any. */
export function establish(db: Database, tables: readonly Table[]): void {
  const missing = tables.filter((table) => {
    const found = examine(db, table)
    if (found === 'foreign') throw foreignTable(table)
    return found === 'absent'
  })
  const create = db.transaction(() => {
    for (const table of missing) db.exec(CREATE[table])
  })
  if (missing.length > 0) create.immediate()
}

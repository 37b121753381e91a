import type { Database, Statement } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import type { Direction } from '../core/migration.ts'
import { ask } from './ask.ts'

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

/** The outcomes after which a migration is applied: executed, recorded without that, or there again after a restore. */
export const SUCCESSES = `('done', 'recorded', 'restored')`

/** A row of `migration_log`: one attempted step. */
export interface LogRow {
  readonly runId: string | null
  readonly migrationId: number
  readonly name: string
  readonly direction: Direction
  readonly outcome: 'done' | 'failed' | 'recorded' | 'restored'
  readonly checksum: string | null
  readonly downSql: string | null
  readonly startedAt: string
  readonly durationMs: number
  readonly error: string | null
}

/** Whether `table` is there: ours by its columns, of another tool, or not at all. */
export function examine(db: Database, table: Table): 'ours' | 'foreign' | 'absent' {
  const type = db.prepare(
    `SELECT type FROM main.sqlite_schema WHERE lower(name) = ? AND type IN ('table', 'view', 'index')`,
  )
  const found = type.pluck().get(table)
  if (found === undefined) return 'absent'
  const columns = db.prepare(`SELECT lower(name) FROM pragma_table_xinfo(?, 'main')`).pluck().all(table) as string[]
  const same = [...columns].sort().join() === [...TABLES[table]].sort().join()
  return found === 'table' && same ? 'ours' : 'foreign'
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

/** The rows of `migrations` and `migration_log`, over one connection. */
export class Ledger {
  readonly #db: Database
  /** Steps are logged: the service's databases have the table, those of the bare library need not. */
  readonly keepsLog: boolean

  constructor(db: Database) {
    this.#db = db
    this.keepsLog = examine(db, 'migration_log') === 'ours'
  }

  isApplied(id: number): boolean {
    return this.#statement('SELECT 1 FROM main.migrations WHERE id = ?').get(id) !== undefined
  }

  /** The highest applied id, `null` where nothing is applied. */
  current(): number | null {
    const row = this.#statement('SELECT max(id) AS id FROM main.migrations').get() as { id: number | null }
    return row.id
  }

  applied(): { id: number; name: string; insertedAt: string }[] {
    const sql = 'SELECT id AS id, name AS name, inserted_at AS insertedAt FROM main.migrations ORDER BY id'
    return this.#statement(sql).all() as {
      id: number
      name: string
      insertedAt: string
    }[]
  }

  /** Writes what a done step leaves in `migrations`: its row comes or goes. */
  mark(id: number, name: string, direction: Direction): void {
    // The ancestor's table has no default for inserted_at.
    const insert = 'INSERT INTO main.migrations (id, name, inserted_at) VALUES (?, ?, CURRENT_TIMESTAMP)'
    const { changes } =
      direction === 'up'
        ? this.#statement(insert).run(id, name)
        : this.#statement('DELETE FROM main.migrations WHERE id = ?').run(id)
    if (changes !== 1)
      throw new MigrationError('forbidden-statement', 'something kept the row of migrations from being written')
  }

  /** Gives migration `id` the name that its file has now. */
  rename(id: number, name: string): void {
    this.#statement('UPDATE main.migrations SET name = ? WHERE id = ?').run(name, id)
  }

  /** Writes a row of `migration_log`, where there is one. */
  log(row: LogRow): void {
    if (!this.keepsLog) return
    this.#statement(
      `INSERT INTO main.migration_log
        (run_id, migration_id, name, direction, outcome, checksum, down_sql, started_at, duration_ms, error)
      VALUES (@runId, @migrationId, @name, @direction, @outcome, @checksum, @downSql, @startedAt, @durationMs, @error)`,
    ).run(row)
  }

  /** The down SQL as it was when the migration was applied last; `null` where none was kept. */
  keptDown(id: number): string | null {
    if (!this.keepsLog) return null
    const sql = `SELECT down_sql FROM main.migration_log
      WHERE migration_id = ? AND direction = 'up' AND outcome IN ${SUCCESSES} ORDER BY id DESC LIMIT 1`
    return (this.#statement(sql).pluck().get(id) as string | null | undefined) ?? null
  }

  #statement(sql: string): Statement {
    return ask(this.#db, sql)
  }
}

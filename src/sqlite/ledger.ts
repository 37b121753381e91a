import type { Database, Statement } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import type { Direction } from '../core/migration.ts'
import { ask } from './ask.ts'
import { examine } from './tables.ts'

/** The outcomes after which a migration is applied: executed, recorded without that, or there again after a restore. */
const SUCCESSES = `('done', 'recorded', 'restored')`

/** That the row `l` of the log tells of how the row `m` of `migrations` came there: another program keeps no log. */
export const OF_ITS_ROW = `l.direction = 'up' AND l.outcome IN ${SUCCESSES} AND l.inserted_at = m.inserted_at`

/** Which row of `migrations` a row of the log speaks of: the id alone would not tell it from an earlier or a later one. */
const INSERTED_AT = '(SELECT m.inserted_at FROM main.migrations m WHERE m.id = @migrationId)'

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
    return this.#statement('SELECT max(id) FROM main.migrations').pluck().get() as number | null
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
    const speaks = row.direction === 'up' && row.outcome !== 'failed'
    this.#statement(
      `INSERT INTO main.migration_log
        (run_id, migration_id, name, direction, outcome, checksum, down_sql, inserted_at, started_at, duration_ms, error)
      VALUES (@runId, @migrationId, @name, @direction, @outcome, @checksum, @downSql,
        ${speaks ? INSERTED_AT : 'NULL'}, @startedAt, @durationMs, @error)`,
    ).run(row)
  }

  /** Whether a row says that the run `runId` has failed at migration `id`. */
  hasFailed(runId: string, id: number): boolean {
    if (!this.keepsLog) return false
    const sql = `SELECT 1 FROM main.migration_log WHERE run_id = ? AND migration_id = ? AND outcome = 'failed' LIMIT 1`
    return this.#statement(sql).get(runId, id) !== undefined
  }

  /** The down SQL as it was when the migration was applied last; `null` where none was kept. */
  keptDown(id: number): string | null {
    if (!this.keepsLog) return null
    const sql = `SELECT l.down_sql FROM main.migration_log l JOIN main.migrations m ON m.id = l.migration_id AND ${OF_ITS_ROW}
      WHERE l.migration_id = ? ORDER BY l.id DESC LIMIT 1`
    return (this.#statement(sql).pluck().get(id) as string | null | undefined) ?? null
  }

  #statement(sql: string): Statement {
    return ask(this.#db, sql)
  }
}

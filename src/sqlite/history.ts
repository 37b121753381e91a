import type { Database } from 'better-sqlite3'
import type { History } from '../core/history.ts'
import type { Applied, RunKind } from '../core/migration.ts'
import { Ledger, OF_ITS_ROW } from './ledger.ts'
import { examine, OURS } from './tables.ts'

export const NOTHING: History = { applied: [], foreignTable: null }

/** What is applied in `db`, with what the log knows of it. */
export function historyOf(db: Database): History {
  const found = OURS.map((table) => [table, examine(db, table)] as const)
  const foreign = found.find(([, state]) => state === 'foreign')
  if (foreign !== undefined) return { applied: [], foreignTable: foreign[0] }
  const [migrations, log, runs] = found.map(([, state]) => state === 'ours')
  if (!migrations) return NOTHING
  const rows = new Ledger(db).applied()
  if (rows.some(({ id }) => !Number.isSafeInteger(id) || id < 0)) return { applied: [], foreignTable: 'migrations' }
  const logged = log ? loggedOf(db, runs === true) : new Map<number, Logged>()
  return {
    applied: rows.map((row) => ({ ...row, ...(logged.get(row.id) ?? UNLOGGED) })),
    foreignTable: null,
  }
}

/** What the log knows of a row of `migrations`. */
type Logged = Pick<Applied, 'checksum' | 'keptDown' | 'durationMs' | 'appliedBy'>

const UNLOGGED: Logged = { checksum: null, keptDown: false, durationMs: null, appliedBy: null }

interface LoggedRow {
  readonly id: number
  readonly outcome: 'done' | 'recorded' | 'restored'
  readonly checksum: string | null
  readonly kept: 0 | 1
  readonly durationMs: number
  readonly runId: string | null
}

/** What the record knows of a run. */
interface Maker {
  readonly kind: RunKind | null
  readonly actor: string | null
}

/** By id, what the log says of each applied migration. A repair says what its file is, and not who applied it. */
function loggedOf(db: Database, withRuns: boolean): Map<number, Logged> {
  const sql = `SELECT l.migration_id AS id, l.outcome, l.checksum, l.down_sql IS NOT NULL AS kept, l.duration_ms AS durationMs,
      l.run_id AS runId
    FROM main.migration_log l JOIN main.migrations m ON m.id = l.migration_id AND ${OF_ITS_ROW} ORDER BY l.id`
  const makerOf = withRuns ? makers(db) : () => UNKNOWN
  const logged = new Map<number, Logged>()
  for (const row of db.prepare(sql).all() as LoggedRow[]) {
    const maker = makerOf(row.runId)
    const { durationMs, appliedBy } = maker.kind === 'repair' ? (logged.get(row.id) ?? UNLOGGED) : originOf(row, maker)
    logged.set(row.id, { checksum: row.checksum, keptDown: row.kept === 1, durationMs, appliedBy })
  }
  return logged
}

const UNKNOWN: Maker = { kind: null, actor: null }

/** Asks once for each run. A join would have SQLite read the whole of its row, with all its steps, for each of them. */
function makers(db: Database): (runId: string | null) => Maker {
  const found = new Map<string | null, Maker>([[null, UNKNOWN]])
  const query = db.prepare('SELECT kind, actor FROM main.migration_runs WHERE id = ?')
  return (runId) => {
    const maker = found.get(runId) ?? (query.get(runId) as Maker | undefined) ?? UNKNOWN
    found.set(runId, maker)
    return maker
  }
}

/** Who applied a migration, and how long it took: of one that was only recorded, nobody knows. */
function originOf(
  { outcome, durationMs, runId }: LoggedRow,
  { kind, actor }: Maker,
): Pick<Logged, 'durationMs' | 'appliedBy'> {
  // The library's runs have no id; one of which nothing is known has no duration either.
  const known = outcome === 'restored' && (runId !== null || durationMs > 0)
  const executed = outcome === 'done' || (known && kind !== 'baseline')
  return { durationMs: executed ? durationMs : null, appliedBy: actor }
}

import Sqlite from 'better-sqlite3'
import { expect, it } from 'vitest'
import { historyOf } from '../src/sqlite/history.ts'
import { establish, OURS } from '../src/sqlite/tables.ts'

it.each([
  ['of the library, whose runs have no id', 5.8, 5.8],
  ['of which nothing is known', 0, null],
])(
  'how long a migration took that a restore has brought back is still known, unless it is one %s',
  (_, logged, told) => {
    const db = new Sqlite(':memory:')
    establish(db, OURS)
    const at = '2026-01-01 00:00:00'
    db.prepare(`INSERT INTO migrations VALUES (0, 'init', ?)`).run(at)
    const log =
      db.prepare(`INSERT INTO migration_log (migration_id, name, direction, outcome, inserted_at, started_at, duration_ms)
    VALUES (0, 'init', 'up', ?, ?, '2026-01-01T00:00:00.000Z', ?)`)
    for (const outcome of ['recorded', 'restored']) log.run(outcome, at, logged)
    expect(historyOf(db).applied).toMatchObject([{ id: 0, durationMs: told }])
  },
)

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, it } from 'vitest'
import { Migrator } from '../../src/index.ts'
import { CATS, folderWith, temporaryFolder } from '../support/folder.ts'
import { contentOf, query, startServer } from '../support/server.ts'
import { makeDatabase } from './support/file.ts'

/** Our tables as they are, but for a CHECK by which SQLite refuses one row, at the very end of a step. */
const REFUSING = {
  migrations: `CREATE TABLE migrations (id INTEGER PRIMARY KEY CHECK (id <> 1), name TEXT NOT NULL, inserted_at TEXT NOT NULL)`,
  migration_log: `CREATE TABLE migration_log (id INTEGER PRIMARY KEY, run_id TEXT, migration_id INTEGER, name TEXT, direction TEXT,
    outcome TEXT CHECK (outcome <> 'done' OR migration_id <> 1), checksum TEXT, down_sql TEXT, inserted_at TEXT, started_at TEXT, duration_ms REAL, error TEXT)`,
}

it.each(Object.entries(REFUSING))(
  'fault 21: the change, its row of migrations and its row of the log are one commit: without the row of %s there is neither',
  async (_, table) => {
    const database = join(temporaryFolder(), 'app.db')
    makeDatabase(database, table)
    const server = await startServer({ files: CATS, database })
    const { body } = await server.post('/migrate')
    expect(body.run).toMatchObject({
      status: 'failed',
      from: null,
      to: 0,
      steps: [{ status: 'done' }, { status: 'failed' }, {}],
    })
    expect(query(database, `SELECT name FROM pragma_table_info('cats')`)).toEqual([{ name: 'id' }, { name: 'name' }])
    expect(query(database, 'SELECT id FROM migrations')).toEqual([{ id: 0 }])
    expect(query(database, `SELECT migration_id AS id FROM migration_log WHERE outcome = 'done'`)).toEqual([{ id: 0 }])
    expect(contentOf(database).integrity).toBe('ok')
  },
)

it('fault 21: a done step has its row in the log', async () => {
  const server = await startServer({ files: CATS })
  expect((await server.post('/migrate')).status).toBe(200)
  const rows = `SELECT migration_id AS id, direction, outcome FROM migration_log ORDER BY id`
  expect(query(server.database, rows)).toEqual([0, 1, 2].map((id) => ({ id, direction: 'up', outcome: 'done' })))
})

it('fault 34: a rollback that finds another current id than planned ends with history-moved, and does not run', () => {
  const db = new Sqlite(join(temporaryFolder(), 'app.db'))
  const migrator = new Migrator(db, { log: () => {} })
  migrator.addMigration(0, function first() {})
  migrator.addMigration(1, function second() {})
  migrator.migrate()
  let calls = 0
  const work = {
    name: 'undo',
    direction: 'down',
    file: null,
    checksum: null,
    keep: null,
    body: () => void calls++,
  } as const
  const { steps, error } = migrator.run([{ id: 0, ...work }])
  expect(error).toMatchObject({ code: 'history-moved' })
  expect(steps).toMatchObject([{ status: 'failed' }])
  expect([calls, migrator.appliedMigrations().length]).toEqual([0, 2])
  db.close()
})

it('fault 34: what others apply between the steps of a run is skipped, and what they undo ends it with history-moved', () => {
  const database = join(temporaryFolder(), 'app.db')
  const db = new Sqlite(database)
  db.pragma('journal_mode = WAL')
  const other = new Sqlite(database)
  const migrator = new Migrator(db, { log: () => {} })
  const works = Array.from({ length: 8 }, (_, id) => ({
    id,
    name: `m${id}`,
    direction: 'up' as const,
    file: null,
    checksum: null,
    keep: null,
    body: `CREATE TABLE t${id} (x);`,
  }))
  const { steps, error } = migrator.run(works, {
    runId: 'of a runner',
    onStep: ({ id, status }) => {
      if (status !== 'done') return
      // Two at once: of the second one the first that is skipped knows nothing.
      if (id === 1) other.exec(`INSERT INTO migrations (id, name) VALUES (2, 'theirs'), (3, 'theirs')`)
      if (id === 5) other.exec('DELETE FROM migrations WHERE id = 5')
    },
  })
  const told = ['done', 'done', 'skipped', 'skipped', 'done', 'done', 'failed', 'not-run']
  expect(steps.map(({ status }) => status)).toEqual(told)
  expect(error).toMatchObject({ code: 'history-moved' })
  expect(db.prepare(`SELECT name FROM sqlite_schema WHERE name LIKE 't_' ORDER BY name`).pluck().all()).toEqual([
    't0',
    't1',
    't4',
    't5',
  ])
  expect(migrator.appliedMigrations().map(({ id }) => id)).toEqual([0, 1, 2, 3, 4])
  for (const one of [db, other]) one.close()
})

const STEPS = 25
const TABLES = Object.fromEntries(
  Array.from({ length: STEPS }, (_, id) => [`${id}_m.up.sql`, `CREATE TABLE t${id} (x);\n`]),
)

const NO_STRACE = spawnSync('strace', ['-e', 'trace=none', 'true']).status !== 0

it.skipIf(NO_STRACE)(
  `fault 26: each commit of a migration is on the disk before the next begins${NO_STRACE ? ' (skipped: strace does not work here)' : ''}`,
  async () => {
    const trace = join(temporaryFolder(), 'trace')
    const through = ['strace', '-D', '-f', '-y', '-qq', '-e', 'trace=fsync,fdatasync', '-o', trace]
    const server = await startServer({ migrations: folderWith(TABLES), through })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: STEPS - 1 })
    await server.stop()
    const synced = readFileSync(trace, 'utf8')
      .split('\n')
      .filter((line) => line.includes(`${server.database}-wal`))
    // The run's own rows are commits too.
    expect(synced.length).toBeGreaterThanOrEqual(STEPS + 2)
  },
)

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import Sqlite, { type Database } from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import type { Run } from '../../src/core/migration.ts'
import { busy, CATS, ENDLESS, folderWith, temporaryFolder, write } from '../support/folder.ts'
import {
  childrenOf,
  computing,
  contentOf,
  isAlive,
  query,
  type Server,
  startServer,
  tied,
  until,
} from '../support/server.ts'

const require = createRequire(import.meta.url)

/** The runner that is busy with a step: the server has said that the step runs. */
async function runnerOf(server: Server): Promise<number> {
  await server.logged(({ msg, status }) => msg === '1 busy' && status === undefined)
  return await computing(server)
}

/** Begins a transaction between two of the runner's, which is a moment. */
function grasp(db: Database): void {
  for (;;) {
    try {
      db.exec('BEGIN IMMEDIATE')
      return
    } catch (error) {
      if (!(error instanceof Sqlite.SqliteError) || error.code !== 'SQLITE_BUSY') throw error
    }
  }
}

/** Another process dies in a transaction whose pages are in the file already. */
function leaveHotJournal(database: string): void {
  const script = `
    const Sqlite = require(${JSON.stringify(require.resolve('better-sqlite3'))})
    const db = new Sqlite(${JSON.stringify(database)})
    db.exec('CREATE TABLE things (name)')
    db.pragma('cache_size = 1')
    db.exec('BEGIN')
    for (let i = 0; i < 3000; i += 1) db.prepare('INSERT INTO things VALUES (?)').run('x'.repeat(900))
    process.kill(process.pid, 'SIGKILL')`
  expect(spawnSync(process.execPath, ['-e', script]).signal).toBe('SIGKILL')
  expect(existsSync(`${database}-journal`)).toBe(true)
}

const FIRST = { '0000_init_db.up.sql': CATS['0000_init_db.up.sql'] ?? '' }

describe('while a migration runs', () => {
  it('reads are answered by the hundred, a post that does not wait is refused, and ten that wait do no step twice', async () => {
    const server = await startServer({
      files: { ...FIRST, '0001_busy.up.sql': busy(12), '0002_more.up.sql': 'CREATE TABLE more (x);' },
    })
    const first = server.post('/migrate')
    await server.logged(({ msg }) => msg === '1 busy')

    const refused = await server.post('/migrate?wait=0')
    expect(refused.status).toBe(409)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(refused.body).toMatchObject({
      code: 'change-in-progress',
      retryable: true,
      running: { kind: 'migrate', actor: 'anonymous' },
    })
    expect((await server.post('/rollback')).body).toMatchObject({ code: 'change-in-progress' })

    const waiting = Array.from({ length: 10 }, () => server.post('/migrate?wait=60'))
    let [reads, slowest] = [0, 0]
    let ended = false
    void first.then(() => {
      ended = true
    })
    while (!ended) {
      const begun = performance.now()
      const { status, body } = await server.get('/migrations')
      slowest = Math.max(slowest, performance.now() - begun)
      expect(status).toBe(200)
      if (!ended) expect([0, 1, 2]).toContain(body.current)
      expect((await server.get('/livez')).status).toBe(200)
      reads += 1
    }
    console.log(`${reads} reads while a migration ran, the slowest took ${slowest.toFixed(1)} ms`)
    // A server that the migration holds up answers one or two.
    expect(reads).toBeGreaterThan(10)
    expect((await first).body).toMatchObject({ status: 'succeeded', to: 2 })
    for (const answer of await Promise.all(waiting)) {
      expect(answer.body).toMatchObject({ status: 'succeeded', steps: [] })
    }
    expect(query(server.database, 'SELECT migration_id AS id FROM migration_log')).toEqual([
      { id: 0 },
      { id: 1 },
      { id: 2 },
    ])
  })

  it('the run is told by GET /migrations, of another server too', async () => {
    const files = { ...FIRST, '0001_busy.up.sql': busy(8) }
    const server = await startServer({ files })
    const other = await startServer({ migrations: server.migrations, database: server.database })
    const running = server.post('/migrate')
    await server.logged(({ msg }) => msg === '1 busy')
    const own = (await server.get('/migrations')).body.running as Run
    expect(own).toEqual({ id: expect.any(String), kind: 'migrate', startedAt: expect.any(String), actor: 'anonymous' })
    // An answer of just before is believed for a moment.
    await until(async () => (await other.get('/migrations')).body.running !== null)
    expect((await other.get('/migrations')).body.running).toEqual(own)
    expect((await other.post('/migrate?wait=0')).body).toMatchObject({ code: 'change-in-progress', running: own })
    expect((await running).body.id).toBe(own.id)
    await until(async () => (await other.get('/migrations')).body.running === null)
  })

  it('fault 36: a queued run whose client leaves is dropped, and one that has begun goes on', async () => {
    const server = await startServer({
      files: { ...FIRST, '0001_busy.up.sql': busy(8), '0001_undo.down.sql': 'DROP TABLE busy;' },
    })
    const leaving = new AbortController()
    const first = server.post('/migrate', { signal: leaving.signal }).catch(() => 'left')
    await server.logged(({ msg }) => msg === '1 busy')
    const queued = new AbortController()
    const second = server.post('/rollback?wait=60', { signal: queued.signal }).catch(() => 'left')
    await until(async () => (await server.get('/migrations')).body.running !== null)
    queued.abort()
    leaving.abort()
    expect(await Promise.all([first, second])).toEqual(['left', 'left'])
    await server.logged(({ msg }) => msg === 'migrate succeeded')
    await until(async () => (await server.get('/migrations')).body.running === null)
    expect((await server.get('/migrations')).body).toMatchObject({ current: 1 })
    expect(query(server.database, 'SELECT kind, status FROM migration_runs')).toEqual([
      { kind: 'migrate', status: 'succeeded' },
    ])
  })

  it('a post that has waited its time is refused', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_busy.up.sql': busy(30) } })
    void server.post('/migrate').catch(() => {})
    await server.logged(({ msg }) => msg === '1 busy')
    expect((await server.post('/migrate?wait=1')).body).toMatchObject({ code: 'change-in-progress' })
  })
})

it("ten at once that find nothing to do are in nobody's way", async () => {
  const server = await startServer({ files: CATS })
  await server.post('/migrate')
  const answers = await Promise.all(Array.from({ length: 10 }, () => server.post('/migrate?wait=0')))
  for (const { status, body } of answers) {
    expect(status).toBe(200)
    expect(body).toMatchObject({ status: 'succeeded', steps: [], from: 2, to: 2, finishedAt: expect.any(String) })
  }
})

it('of ten at once that do not wait one migrates, and the others are told who', async () => {
  const server = await startServer({ files: CATS })
  const answers = await Promise.all(Array.from({ length: 10 }, () => server.post('/migrate?wait=0')))
  const [made, ...others] = answers.filter(({ status }) => status === 200)
  expect(made?.body).toMatchObject({ status: 'succeeded', to: 2 })
  expect(others).toEqual([])
  for (const { status, body } of answers.filter((answer) => answer !== made)) {
    expect(status).toBe(409)
    expect(body).toMatchObject({ code: 'change-in-progress', running: { id: made?.body.id, kind: 'migrate' } })
  }
})

describe('several steps', () => {
  const files = { ...CATS, '0003_bad.up.sql': 'SELEC 1;', '0004_last.up.sql': 'CREATE TABLE last (x);' }

  it('leave those applied that came before the failing one, and say so', async () => {
    const server = await startServer({ files })
    const { body } = await server.post('/migrate')
    expect(body.run).toMatchObject({ status: 'failed', from: null, to: 2, schemaChanges: { created: ['table cats'] } })
    expect(body.run?.steps.map(({ status }) => status)).toEqual(['done', 'done', 'done', 'failed', 'not-run'])
    expect((await server.get('/migrations')).body).toMatchObject({ current: 2, pending: 2 })
  })

  it('leave none of them when they are atomic', async () => {
    const server = await startServer({ files })
    const { body } = await server.post('/migrate?atomic=true')
    expect(body.run).toMatchObject({ status: 'failed', atomic: true, from: null, to: null })
    expect(body.run?.steps.map(({ status }) => status)).toEqual(['not-run', 'not-run', 'not-run', 'failed', 'not-run'])
    expect((await server.get('/migrations')).body).toMatchObject({ current: null, pending: 5 })
    rmSync(join(server.migrations, '0003_bad.up.sql'))
    write(server.migrations, { '0003_good.up.sql': 'SELECT 1;' })
    expect((await server.post('/migrate?atomic=true')).body).toMatchObject({ status: 'succeeded', to: 4 })
  })

  it('are told by a dry run, which does nothing', async () => {
    const server = await startServer({ files: CATS })
    const { status, body } = await server.post('/migrate?dryRun=true&target=1')
    expect(status).toBe(200)
    expect(body).toMatchObject({ status: 'planned', from: null, to: 1, startedAt: null })
    expect(body.steps).toMatchObject([
      { id: 0, direction: 'up', status: 'not-run' },
      { id: 1, direction: 'up', status: 'not-run' },
    ])
    expect(() => contentOf(server.database)).toThrow()
    await server.post('/migrate')
    expect((await server.post('/rollback?dryRun=true&target=0')).body).toMatchObject({
      status: 'planned',
      from: 2,
      to: 0,
    })
    expect((await server.get('/migrations')).body).toMatchObject({ current: 2 })
  })

  it('are refused when the current id is another than the one that is asked for', async () => {
    const server = await startServer({ files: CATS })
    expect((await server.post('/migrate?from=0')).status).toBe(412)
    expect((await server.post('/migrate?from=-1&target=0')).status).toBe(200)
    expect((await server.post('/rollback?from=2')).body).toMatchObject({ code: 'precondition-failed', current: 0 })
    expect((await server.post('/migrate?from=0')).body).toMatchObject({ status: 'succeeded', to: 2 })
  })
})

it('a run without steps writes nothing, not even the lock file', async () => {
  const server = await startServer({ files: CATS })
  expect((await server.post('/rollback')).body).toMatchObject({ status: 'succeeded', steps: [] })
  await server.get('/migrations')
  expect(() => contentOf(server.database)).toThrow()
  await server.post('/migrate')
  rmSync(`${server.database}.lock`)
  const before = query(server.database, 'SELECT count(*) AS n FROM migration_runs')
  expect((await server.post('/migrate')).body).toMatchObject({ steps: [], from: 2, to: 2 })
  expect(query(server.database, 'SELECT count(*) AS n FROM migration_runs')).toEqual(before)
  expect(() => readFileSync(`${server.database}.lock`)).toThrow()
})

it('fault 16: a migration that has gone is missing, and is rolled back by the log', async () => {
  const server = await startServer({ files: CATS })
  await server.post('/migrate')
  for (const file of ['0002_add_tom.up.sql', '0002_remove_tom.down.sql']) rmSync(join(server.migrations, file))
  await until(async () => (await server.get('/migrations')).body.state === 'ahead')
  const { body } = await server.get('/migrations')
  expect(body).toMatchObject({ state: 'ahead', current: 2, latest: 1, pending: 0 })
  expect((body.migrations as unknown[])[2]).toMatchObject({
    id: 2,
    name: 'add_tom',
    state: 'missing',
    reversible: true,
    kind: null,
  })
  expect((await server.get('/migrations/2')).body).toMatchObject({ up: null, down: CATS['0002_remove_tom.down.sql'] })
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', steps: [] })
  expect((await server.post('/rollback')).body).toMatchObject({ status: 'succeeded', to: 1 })
  expect(query(server.database, 'SELECT * FROM cats')).toEqual([])
})

it('fault 17: a history with a hole is a conflict', async () => {
  const server = await startServer({ files: CATS })
  await server.post('/migrate')
  const db = new Sqlite(server.database)
  db.exec('DELETE FROM migrations WHERE id = 1')
  db.close()
  expect((await server.get('/migrations')).body).toMatchObject({
    state: 'conflict',
    problems: [{ code: 'history-gap' }],
  })
  expect((await server.post('/migrate')).body).toMatchObject({ status: 409, code: 'history-gap' })
  expect((await server.post('/rollback')).body).toMatchObject({ status: 409, code: 'history-gap' })
  expect((await server.get('/readyz')).status).toBe(200)
})

it('fault 18: a rollback that lacks a way in its middle is refused before anything runs', async () => {
  const server = await startServer({ files: { ...CATS, '0003_more.up.sql': 'CREATE TABLE more (x);' } })
  await server.post('/migrate')
  rmSync(join(server.migrations, '0001_remove_age.down.sql'))
  write(server.migrations, { '0003_less.down.sql': 'DROP TABLE more;' })
  const before = contentOf(server.database)
  const answer = await server.post('/rollback?steps=4')
  expect(answer.body).toMatchObject({ status: 409, code: 'no-rollback', id: 0 })
  expect(answer.body.run).toBeUndefined()
  expect(contentOf(server.database)).toEqual(before)
})

describe('fault 24: a server that is killed in mid-run', () => {
  it.each([
    ['tied to it', () => {}],
    ['watched over by a thread, since it is not tied', (shell: number) => process.kill(shell, 'SIGKILL')],
  ])('takes its runner along, %s; and after its restart nothing has happened and all goes on', async (_, prepare) => {
    const server = await startServer({ files: { ...FIRST, '0001_busy.up.sql': ENDLESS } })
    // Alone: where steps come fast, a thread is started to tell of them.
    const first = server.children()
    await server.post('/migrate?target=0')
    await until(() => server.children().length === 1 && server.children().every((pid) => !first.includes(pid)))
    prepare(await tied(server))
    void server.post('/migrate').catch(() => {})
    const runner = await runnerOf(server)
    const all = [...server.children(), ...server.children().flatMap(childrenOf)]
    await server.stop('SIGKILL')
    await until(() => !all.some(isAlive))
    expect(all).toContain(runner)

    const next = await startServer({ migrations: server.migrations, database: server.database })
    expect((await next.get('/migrations')).body).toMatchObject({ current: 0, running: null })
    write(server.migrations, { '0001_busy.up.sql': 'CREATE TABLE better (x);' })
    expect((await next.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: 0, to: 1 })
    expect(query(server.database, 'SELECT status FROM migration_runs ORDER BY id')).toEqual([
      { status: 'succeeded' },
      { status: 'interrupted' },
      { status: 'succeeded' },
    ])
    expect(contentOf(server.database).integrity).toBe('ok')
  })
})

const NAMESPACE = ['unshare', '-pf', '--mount-proc', '--kill-child']
const BELOW = `require('node:child_process').spawn(process.argv[1], process.argv.slice(2), { stdio: 'inherit' })`

it.skipIf(process.getuid?.() !== 0).each([
  ['the first of its container', []],
  ['below one that waits for nobody', [process.execPath, '-e', BELOW]],
])('runs leave no process behind in a server that is %s', async (_, above) => {
  const files = { '0000_a.up.sql': 'CREATE TABLE a (x);', '0000_a.down.sql': 'DROP TABLE a;' }
  const server = await startServer({ files, through: [...NAMESPACE, ...above] })
  const [first = 0] = server.children()
  const all = (pid: number): number[] => childrenOf(pid).flatMap((child) => [child, ...all(child)])
  for (let times = 0; times < 3; times += 1) {
    for (const path of ['/migrate', '/rollback']) {
      expect((await server.post(path)).body).toMatchObject({ status: 'succeeded' })
      // By then the next runner waits, with its shell where it needs one.
      await new Promise((resolve) => setTimeout(resolve, 700))
    }
  }
  await until(() => all(first).every(isAlive))
  // The server, a runner, and the shell of that.
  expect(all(first).length).toBeLessThanOrEqual(3)
})

it('a runner that is killed is told as such: the step failed, what came before stays, and the next post goes on', async () => {
  const server = await startServer({
    files: { ...FIRST, '0001_busy.up.sql': ENDLESS, '0002_more.up.sql': 'SELECT 1;' },
  })
  const posted = server.post('/migrate')
  process.kill(await runnerOf(server), 'SIGKILL')
  const { status, body } = await posted
  expect(status).toBe(500)
  expect(body).toMatchObject({ code: 'runner-crashed', retryable: true, detail: expect.stringContaining('SIGKILL') })
  expect(body.run).toMatchObject({
    status: 'failed',
    from: null,
    to: 0,
    error: { id: 1, file: '0001_busy.up.sql', line: 1 },
  })
  expect(body.run?.steps.map((step) => step.status)).toEqual(['done', 'failed', 'not-run'])
  expect(query(server.database, 'SELECT status FROM migration_runs')).toEqual([{ status: 'failed' }])
  expect(query(server.database, `SELECT migration_id AS id, outcome FROM migration_log`)).toEqual([
    { id: 0, outcome: 'done' },
    { id: 1, outcome: 'failed' },
  ])
  write(server.migrations, { '0001_busy.up.sql': 'CREATE TABLE better (x);' })
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
})

it('fault 35: a rollback by steps whose runner dies after its first commit is not answered with what curl would retry', async () => {
  const server = await startServer({
    files: {
      ...FIRST,
      '0000_undo.down.sql': 'DROP TABLE cats;',
      '0001_busy.up.sql': 'SELECT 1;',
      '0001_busy.down.sql': ENDLESS,
      '0002_c.up.sql': 'SELECT 1;',
      '0002_c.down.sql': 'SELECT 2;',
    },
  })
  await server.post('/migrate')
  // The lines of it may come after its answer.
  await server.logged(({ msg }) => msg === 'migrate succeeded')
  server.log.length = 0
  const posted = server.post('/rollback?steps=3')
  process.kill(await runnerOf(server), 'SIGKILL')
  const { status, body } = await posted
  expect(status).toBe(409)
  expect(body).toMatchObject({ code: 'rollback-incomplete', retryable: false, run: { to: 1, status: 'failed' } })
  expect(
    query(
      server.database,
      `SELECT status, json_extract(error, '$.code') AS code FROM migration_runs ORDER BY id DESC LIMIT 1`,
    ),
  ).toEqual([{ status: 'failed', code: 'rollback-incomplete' }])
})

it('a run past RUN_TIMEOUT is killed and rolled back', async () => {
  const server = await startServer({ files: { ...FIRST, '0001_busy.up.sql': ENDLESS }, env: { RUN_TIMEOUT: '1' } })
  const { status, body } = await server.post('/migrate')
  expect(status).toBe(422)
  expect(body).toMatchObject({
    code: 'timed-out',
    run: { status: 'timed-out', to: 0, steps: [{ status: 'done' }, { status: 'failed' }] },
  })
  expect(contentOf(server.database).integrity).toBe('ok')
})

it.each([
  'CREATE TABLE migrations (version TEXT); INSERT INTO migrations VALUES (1)',
  'CREATE TABLE migrations (id TEXT PRIMARY KEY, name TEXT NOT NULL, inserted_at TEXT NOT NULL)',
  'CREATE TABLE migrations (id VARCHAR(255) PRIMARY KEY, name VARCHAR(255), inserted_at TIMESTAMP)',
])('fault 32: a table of another tool is left alone: %s', async (table) => {
  const database = join(temporaryFolder(), 'app.db')
  const db = new Sqlite(database)
  db.exec(table)
  db.close()
  const before = contentOf(database)
  const server = await startServer({ files: CATS, database })
  expect((await server.get('/migrations')).body).toMatchObject({
    state: 'conflict',
    problems: [{ code: 'foreign-table' }],
  })
  expect((await server.post('/migrate')).body).toMatchObject({ status: 409, code: 'foreign-table' })
  expect(contentOf(database)).toEqual(before)
})

it("the ancestor's database works unchanged, and goes on working there", async () => {
  const database = join(temporaryFolder(), 'app.db')
  const db = new Sqlite(database)
  const table = 'CREATE TABLE migrations (id INTEGER PRIMARY KEY, name TEXT NOT NULL, inserted_at TEXT NOT NULL)'
  db.exec(
    `${table}; INSERT INTO migrations VALUES (0, 'init_db', '2025-03-09 19:23:08'); ${CATS['0000_init_db.up.sql']}`,
  )
  db.close()
  const server = await startServer({ files: CATS, database })
  expect((await server.get('/migrations')).body).toMatchObject({
    current: 0,
    state: 'pending',
    migrations: [
      { id: 0, state: 'applied', appliedAt: '2025-03-09T19:23:08Z', durationMs: null, appliedBy: null },
      {},
      {},
    ],
  })
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: 0, to: 2 })
  expect(query(database, `SELECT sql FROM sqlite_schema WHERE name = 'migrations'`)).toEqual([{ sql: table }])
  expect(query(database, 'SELECT id, name FROM migrations')).toEqual([
    { id: 0, name: 'init_db' },
    { id: 1, name: 'add_age' },
    { id: 2, name: 'add_tom' },
  ])
})

describe('fault 33: an application', () => {
  it('that holds the write lock makes a post fail after LOCK_TIMEOUT, and holds up nobody else', async () => {
    const server = await startServer({ files: CATS, env: { LOCK_TIMEOUT: '0.5' } })
    await server.post('/migrate?target=0')
    const db = new Sqlite(server.database)
    db.exec('BEGIN IMMEDIATE')
    const posted = server.post('/migrate')
    let answered = false
    void posted.then(() => {
      answered = true
    })
    let reads = 0
    while (!answered) {
      expect((await server.get('/migrations')).body).toMatchObject({ current: 0 })
      reads += 1
    }
    expect(reads).toBeGreaterThan(5)
    const { status, headers, body } = await posted
    expect(status).toBe(503)
    expect(headers.get('retry-after')).toBe('1')
    expect(body).toMatchObject({ code: 'database-locked', retryable: true })
    db.exec('COMMIT')
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
    db.close()
  })

  it.each(['/migrate', '/migrate?dryRun=true', '/rollback'])(
    'that locks readers out too is waited for by POST %s as long as LOCK_TIMEOUT',
    async (path) => {
      const database = join(temporaryFolder(), 'app.db')
      const db = new Sqlite(database)
      db.exec('CREATE TABLE things (name); BEGIN EXCLUSIVE')
      const server = await startServer({ files: CATS, database, env: { LOCK_TIMEOUT: '1' } })
      const { status, headers, body } = await server.post(path)
      expect(status).toBe(503)
      expect(headers.get('retry-after')).toBe('1')
      expect(body).toMatchObject({ code: 'database-locked', retryable: true })
      const waiting = server.post(path)
      const later = await server.get('/readyz?schema=current')
      expect(later.body).toMatchObject({ reason: 'database-unavailable' })
      db.exec('COMMIT')
      db.close()
      expect((await waiting).status).toBe(200)
    },
  )

  it('that keeps the end of a run from being recorded for a while does not make it an interrupted one', async () => {
    const many = Array.from({ length: 500 }, (_, id) => [`${id}_m.up.sql`, `CREATE TABLE t${id} (x);`])
    const server = await startServer({ files: Object.fromEntries(many), env: { LOCK_TIMEOUT: '1' } })
    const posted = server.post('/migrate')
    await server.logged(({ msg }) => msg === '0 m')
    const db = new Sqlite(server.database, { timeout: 0 })
    grasp(db)
    // Longer than the runner waits for its next step.
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    db.exec('COMMIT')
    db.close()
    const { status, body } = await posted
    expect(status).toBe(503)
    expect(body).toMatchObject({ code: 'database-locked', run: { status: 'failed' } })
    const failed = body.run?.steps.find((step) => step.status === 'failed')?.id
    expect(query(server.database, 'SELECT status FROM migration_runs')).toEqual([{ status: 'failed' }])
    const last = 'SELECT migration_id AS id, outcome FROM migration_log ORDER BY id DESC LIMIT 1'
    expect(query(server.database, last)).toEqual([{ id: failed, outcome: 'failed' }])
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 499 })
  })

  it('that died in the middle of a commit is undone by one process, however many ask', async () => {
    const database = join(temporaryFolder(), 'app.db')
    leaveHotJournal(database)
    const server = await startServer({ files: CATS, database })
    const most = { children: 0 }
    const counting = setInterval(() => {
      most.children = Math.max(most.children, server.children().length)
    }, 5)
    const answers = await Promise.all(Array.from({ length: 30 }, () => server.get('/migrations')))
    clearInterval(counting)
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 30 }, () => 200))
    // The spare one beside it.
    expect(most.children).toBeLessThanOrEqual(2)
    expect(query(database, 'SELECT count(*) AS n FROM things')).toEqual([{ n: 0 }])
  })

  it('that reads a snapshot is no hindrance', async () => {
    const server = await startServer({ files: CATS })
    await server.post('/migrate?target=0')
    const db = new Sqlite(server.database)
    db.exec('BEGIN')
    db.prepare('SELECT * FROM cats').all()
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
    expect(db.prepare('SELECT * FROM cats').all()).toEqual([])
    db.exec('COMMIT')
    expect(db.prepare('SELECT name FROM cats').all()).toEqual([{ name: 'Tom' }])
    db.close()
  })

  it('that reads in another journal mode keeps the first run from beginning', async () => {
    const database = join(temporaryFolder(), 'app.db')
    const db = new Sqlite(database)
    db.exec('CREATE TABLE own (x); INSERT INTO own VALUES (1)')
    db.exec('BEGIN')
    db.prepare('SELECT * FROM own').all()
    const server = await startServer({ files: CATS, database, env: { LOCK_TIMEOUT: '0.3' } })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 503, code: 'database-locked' })
    db.exec('COMMIT')
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded' })
    expect(query(database, 'PRAGMA journal_mode')).toEqual([{ journal_mode: 'wal' }])
    db.close()
  })
})

describe('fault 34: two servers on one file', () => {
  it('a post is judged at its turn, also while the run of the other server is under way', async () => {
    const files = { ...CATS, '0003_busy.up.sql': busy(10), '0003_undo.down.sql': 'DROP TABLE busy;' }
    const one = await startServer({ files })
    const other = await startServer({ migrations: one.migrations, database: one.database })
    await one.post('/migrate?target=2')
    const running = one.post('/migrate')
    await one.logged(({ msg }) => msg === '3 busy')
    const busyNow = await Promise.all(
      ['/migrate?target=1&wait=0', '/rollback?target=2', '/repair', '/baseline?target=0', '/migrate?from=0&wait=0'].map(
        (path) => other.post(path),
      ),
    )
    for (const answer of busyNow)
      expect(answer).toMatchObject({ status: 409, body: { code: 'change-in-progress', running: { kind: 'migrate' } } })
    const [moved, expected, back] = await Promise.all([
      other.post('/migrate?from=2&wait=60'),
      other.post('/migrate?from=3&wait=60'),
      other.post('/rollback?target=2&wait=60'),
    ])
    expect((await running).body).toMatchObject({ status: 'succeeded', to: 3 })
    expect(moved).toMatchObject({ status: 412, body: { code: 'precondition-failed' } })
    expect(expected).toMatchObject({ status: 200, body: { steps: [] } })
    expect(back).toMatchObject({ status: 200, body: { steps: [{ id: 3, direction: 'down', status: 'done' }], to: 2 } })
  })

  it('both posting: each migration once', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 20 }, (_, id) => [
        `${id}_m.up.sql`,
        `CREATE TABLE t${id} (x); INSERT INTO t${id} VALUES (1);`,
      ]),
    )
    const migrations = folderWith(files)
    const database = join(temporaryFolder(), 'app.db')
    const servers = await Promise.all([startServer({ migrations, database }), startServer({ migrations, database })])
    const answers = await Promise.all([...servers, ...servers].map((server) => server.post('/migrate')))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    expect(answers.flatMap(({ body }) => body.steps)).toHaveLength(20)
    expect(query(database, 'SELECT count(*) AS n FROM migration_log')).toEqual([{ n: 20 }])
    expect(contentOf(database).integrity).toBe('ok')
  })

  it('one rolling back while the other migrates: one run after the other, never in between', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 15 }, (_, id) => [
        [`${id}_m.up.sql`, `CREATE TABLE t${id} (x);`],
        [`${id}_u.down.sql`, `DROP TABLE t${id};`],
      ]).flat() as [string, string][],
    )
    const migrations = folderWith(files)
    const database = join(temporaryFolder(), 'app.db')
    const [one, other] = await Promise.all([
      startServer({ migrations, database }),
      startServer({ migrations, database }),
    ])
    for (let round = 0; round < 5; round += 1) {
      await one.post('/migrate')
      const [back, forth] = await Promise.all([one.post('/rollback?target=-1&wait=60'), other.post('/migrate?wait=60')])
      expect([back.status, forth.status]).toEqual([200, 200])
      expect(back.body.steps).toHaveLength(15)
      expect([0, 15]).toContain((forth.body.steps as unknown[]).length)
    }
    const runs = (query(database, 'SELECT run_id AS id FROM migration_log ORDER BY id') as { id: string }[]).map(
      ({ id }) => id,
    )
    const changes = runs.filter((id, place) => id !== runs[place - 1])
    expect(new Set(changes).size).toBe(changes.length)
  })
})

it('runs without the tokens in the environment of the migration', async () => {
  const server = await startServer({
    files: { '0000_env.mjs': 'export function up() { console.log(JSON.stringify(Object.keys(process.env))) }' },
    env: { ADMIN_TOKEN: 'an-admin-token-of-length', OTHER: 'x' },
  })
  await server.post('/migrate', { headers: { authorization: 'Bearer an-admin-token-of-length' } })
  const { output } = await server.logged(({ msg }) => msg === 'output of a migration')
  expect(JSON.parse(String(output))).toContain('OTHER')
  expect(String(output)).not.toMatch(/TOKEN/)
})

it('keeps no more than one process beside the server, and a fresh one for each run', async () => {
  const server = await startServer({
    files: {
      '0_a.mjs':
        'export function up() { console.log(process.pid) }\nexport function down() { console.log(process.pid) }',
    },
  })
  for (let round = 0; round < 3; round += 1) {
    expect((await server.post('/migrate')).status).toBe(200)
    expect((await server.post('/rollback')).status).toBe(200)
  }
  const pids = () => server.log.flatMap(({ msg, output }) => (msg === 'output of a migration' ? [output] : []))
  await until(() => pids().length === 6)
  expect(new Set(pids()).size).toBe(6)
  await until(() => childrenOf(server.process.pid ?? 0).length <= 1)
})

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { CATS, write } from './support/folder.ts'
import { contentOf, query, type Server, startServer } from './support/server.ts'

const edited = { '0001_add_age.up.sql': 'ALTER TABLE cats ADD COLUMN age INTEGER; -- in years\n' }

const log = (server: Server) =>
  query(
    server.database,
    'SELECT migration_id AS id, outcome, checksum, down_sql IS NOT NULL AS kept FROM migration_log',
  )

describe('fault 15: an applied migration whose file is another now', () => {
  it('refuses /migrate until POST /repair records what it is', async () => {
    const server = await startServer({ files: CATS })
    await server.post('/migrate?target=1')
    write(server.migrations, edited)
    expect(await server.post('/migrate')).toMatchObject({
      status: 409,
      body: { code: 'checksum-mismatch', migrations: [{ id: 1, name: 'add_age' }] },
    })
    const before = contentOf(server.database)
    expect((await server.post('/repair?dryRun=true')).body).toMatchObject({
      status: 'planned',
      from: 1,
      to: 1,
      steps: [{ id: 1 }],
    })
    expect(contentOf(server.database)).toEqual(before)
    const { status, body } = await server.post('/repair')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      kind: 'repair',
      status: 'succeeded',
      from: 1,
      to: 1,
      steps: [{ id: 1, name: 'add_age', direction: 'up', status: 'recorded', statements: null, durationMs: null }],
      schemaChanges: { created: [], dropped: [], altered: [] },
    })
    expect(contentOf(server.database)).toEqual(before)
    expect(log(server)).toMatchObject([
      { outcome: 'done' },
      { outcome: 'done' },
      { id: 1, outcome: 'recorded', kept: 1 },
    ])
    expect((await server.get('/migrations')).body).toMatchObject({ state: 'pending' })
    expect((await server.post('/repair')).body).toMatchObject({ status: 'succeeded', steps: [] })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
    expect((await server.get(`/runs/${body.id}`)).body).toEqual(body)
  })

  it('keeps the rollback that was kept when it was applied, though the directory has none any more', async () => {
    const server = await startServer({ files: CATS })
    await server.post('/migrate')
    write(server.migrations, { '0002_add_tom.up.sql': `INSERT INTO cats (name, age) VALUES ('Tom', 4);\n` })
    rmSync(join(server.migrations, '0002_remove_tom.down.sql'))
    expect((await server.post('/repair')).body).toMatchObject({ steps: [{ id: 2, status: 'recorded' }] })
    expect((await server.get('/migrations')).body.migrations).toMatchObject([{}, {}, { id: 2, reversible: true }])
    expect((await server.post('/rollback')).body).toMatchObject({ status: 'succeeded', to: 1 })
    expect(query(server.database, 'SELECT * FROM cats')).toEqual([])
  })

  it('of an adopted database is known by its name, and takes the new one', async () => {
    const server = await startServer({ files: CATS })
    const db = new Sqlite(server.database)
    db.exec(`CREATE TABLE migrations (id INTEGER PRIMARY KEY, name TEXT NOT NULL, inserted_at TEXT NOT NULL);
      CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
      INSERT INTO migrations VALUES (0, 'initial', '2025-03-09 19:23:08')`)
    db.close()
    expect((await server.get('/migrations')).body).toMatchObject({ state: 'changed' })
    expect(await server.post('/migrate')).toMatchObject({ status: 409, body: { code: 'checksum-mismatch' } })
    expect(await server.post('/repair', {})).toMatchObject({
      status: 200,
      body: { steps: [{ id: 0, name: 'init_db' }] },
    })
    expect(query(server.database, 'SELECT * FROM migrations')).toEqual([
      { id: 0, name: 'init_db', inserted_at: '2025-03-09 19:23:08' },
    ])
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
  })
})

it('a repair says what the file is, and not who applied it nor how long that took', async () => {
  const tokens = { MIGRATE_TOKEN: 'ci:0123456789abcdef', ADMIN_TOKEN: 'boss:fedcba9876543210' }
  const server = await startServer({ files: CATS, env: tokens })
  const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
  await server.post('/migrate?target=1', as('0123456789abcdef'))
  const of = async () => {
    const { body } = await server.get('/migrations', as('0123456789abcdef').headers)
    return (body.migrations as Record<string, unknown>[])[1]
  }
  const before = await of()
  expect(before).toMatchObject({ state: 'applied', appliedBy: 'ci', durationMs: expect.any(Number) })
  write(server.migrations, edited)
  expect((await server.post('/repair', as('fedcba9876543210'))).status).toBe(200)
  expect(await of()).toEqual({ ...before, checksum: expect.not.stringContaining(String(before?.checksum)) })
})

it('what the ancestor has applied anew is not taken for what schemad had applied before', async () => {
  const server = await startServer({ files: CATS })
  await server.post('/migrate')
  const db = new Sqlite(server.database)
  db.exec(`DELETE FROM migrations WHERE id = 2; INSERT INTO migrations VALUES (2, 'add_tom', '2030-01-01 00:00:00')`)
  db.close()
  const of = async () => ((await server.get('/migrations')).body.migrations as unknown[])[2]
  expect(await of()).toMatchObject({ appliedAt: '2030-01-01T00:00:00Z', appliedBy: null, durationMs: null })
  write(server.migrations, { '0002_add_tom.up.sql': '-- the log speaks of another application of it\nSELECT 1;\n' })
  expect(await of()).toMatchObject({ state: 'applied' })
  // The down SQL that was kept belongs to what is not there any more.
  rmSync(join(server.migrations, '0002_remove_tom.down.sql'))
  expect(await server.post('/rollback')).toMatchObject({ status: 409, body: { code: 'no-rollback' } })
})

describe('POST /baseline', () => {
  it('records what is there already as applied, without running it', async () => {
    const server = await startServer({ files: CATS })
    const db = new Sqlite(server.database)
    db.exec('CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER)')
    db.close()
    expect((await server.post('/baseline?target=1&dryRun=true')).body).toMatchObject({ status: 'planned', to: 1 })
    const { status, body } = await server.post('/baseline?target=1', { headers: { accept: 'application/json' } })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      kind: 'baseline',
      status: 'succeeded',
      from: null,
      to: 1,
      steps: [
        { id: 0, status: 'recorded' },
        { id: 1, status: 'recorded' },
      ],
    })
    expect(log(server)).toMatchObject([
      { id: 0, outcome: 'recorded', kept: 0 },
      { id: 1, outcome: 'recorded', kept: 1 },
    ])
    expect((await server.get('/migrations')).body).toMatchObject({ current: 1, state: 'pending' })
    expect((await server.post('/migrate')).body).toMatchObject({ to: 2, steps: [{ id: 2, status: 'done' }] })
    // The rollback of a recorded one works as that of any other.
    expect((await server.post('/rollback?target=0')).body).toMatchObject({ status: 'succeeded', to: 0 })
  })

  it('is refused where something is applied, for what is no target, and without one', async () => {
    const server = await startServer({ files: CATS })
    for (const wrong of [
      '',
      '?target=3',
      '?target=-1',
      '?target=x',
      '?target=0&target=1',
      '?steps=1',
      '?atomic=true',
    ]) {
      const answer = await server.post(`/baseline${wrong}`)
      expect(answer, wrong).toMatchObject({ status: 400, body: { code: 'invalid-request' } })
    }
    expect(await server.post('/baseline?target=1&from=0')).toMatchObject({ status: 412 })
    await server.post('/migrate?target=0')
    expect(await server.post('/baseline?target=1')).toMatchObject({ status: 409, body: { code: 'not-empty' } })
    write(server.migrations, { 'typo.sql': '' })
    for (const path of ['/baseline?target=1', '/repair'])
      expect(await server.post(path)).toMatchObject({ status: 422, body: { code: 'invalid-migrations' } })
    expect(log(server)).toHaveLength(1)
  })
})

it('repair, baseline and restore take an admin', async () => {
  const server = await startServer({ files: CATS, env: { MIGRATE_TOKEN: 'migrate-0123456789abcdef' } })
  const headers = { authorization: 'Bearer migrate-0123456789abcdef' }
  for (const path of ['/repair', '/baseline?target=0', '/backups/x.db/restore', '/rollback']) {
    expect(await server.post(path), path).toMatchObject({ status: 401 })
    expect(await server.post(path, { headers }), path).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  }
  expect((await server.get('/backups', headers)).body).toEqual({ backups: [] })
})

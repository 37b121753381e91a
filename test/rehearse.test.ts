import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Run } from '../src/core/migration.ts'
import { CATS, ENDLESS, write } from './support/folder.ts'
import { ask, contentOf, type Server, startServer, until } from './support/server.ts'

const beside = ({ database }: Server) => readdirSync(join(database, '..')).sort()

describe('rehearse=true', () => {
  it('does it all with a copy, tells what came of it, and leaves the database alone', async () => {
    const server = await startServer({ files: CATS })
    await server.post('/migrate?target=0')
    const before = contentOf(server.database)
    const { status, body } = await server.post('/migrate?rehearse=true')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      kind: 'migrate',
      status: 'succeeded',
      rehearsal: true,
      from: 0,
      to: 2,
      steps: [
        { id: 1, status: 'done', statements: 1 },
        { id: 2, status: 'done' },
      ],
      schemaChanges: { created: [], dropped: [], altered: ['table cats'] },
      rowCounts: [{ table: 'cats', before: 0, after: 1 }],
      warnings: [],
      backup: null,
    })
    expect(body.durationMs).toBeGreaterThan(0)
    expect(contentOf(server.database)).toEqual(before)
    expect(beside(server).filter((name) => /rehearsal/.test(name))).toEqual(['app.db.rehearsal.lock'])
    expect((await server.get('/runs')).body.runs).toHaveLength(1)
    expect((await server.get(`/runs/${body.id}`)).body).toEqual(body)
    const told = server.log.filter(({ runId }) => runId === body.id)
    expect(told.map(({ msg }) => msg)).toContain('2 add_tom done')
    expect(told.every(({ rehearsal }) => rehearsal === true)).toBe(true)
    expect(server.log.some(({ runId, rehearsal }) => runId !== body.id && rehearsal !== undefined)).toBe(false)
    await server.post('/migrate')
    const undone = await server.post('/rollback?target=0&rehearse=true')
    expect(undone.body).toMatchObject({ from: 2, to: 0, rowCounts: [{ table: 'cats', before: 1, after: 0 }] })
    expect((await server.get('/migrations')).body.current).toBe(2)
  })

  it('works with an empty file, which is a database', async () => {
    const server = await startServer({ files: CATS })
    writeFileSync(server.database, '')
    expect(await server.post('/migrate?rehearse=true')).toMatchObject({ status: 200, body: { from: null, to: 2 } })
    expect(await server.post('/migrate')).toMatchObject({ status: 200, body: { from: null, to: 2 } })
  })

  it.each(['false', 'true'])('is the same with a module that leaves its settings behind, atomic=%s', async (atomic) => {
    const leaves = `export function up(db) {
      db.defaultSafeIntegers(true)
      db.function('json_array', (...all) => 'not ' + all.join())
      db.aggregate('count', { start: 0, varargs: true, step: (sum) => sum + 7 })
      db.prepare('SELECT id FROM cats').all()
    }`
    const server = await startServer({ files: { ...CATS, '0003_leaves.mjs': leaves } })
    const { status, body } = await server.post(`/migrate?rehearse=true&atomic=${atomic}`)
    expect([status, body.to, body.rowCounts]).toEqual([200, 3, [{ table: 'cats', before: null, after: 1 }]])
    expect(body.schemaChanges).toEqual({ created: ['table cats'], dropped: [], altered: [] })
  })

  it('tells nothing of a fault of our own but to the log', async () => {
    const breaks = `export function up(db) { globalThis.Date = class {}; db.exec('CREATE TABLE z (x)') }`
    const server = await startServer({ files: { '0000_breaks.mjs': breaks } })
    const { status, body, text } = await server.post('/migrate?rehearse=true')
    expect([status, body.code]).toEqual([500, 'internal'])
    expect(text).not.toMatch(/toISOString|function/)
  })

  it('calls out a table that loses rows though no statement names it', async () => {
    const server = await startServer({
      files: {
        // A name that is part of another's is not named by that.
        '0000_init.up.sql': `CREATE TABLE "" (x); CREATE TABLE cats (name); CREATE TABLE toys (cat); CREATE TABLE beds (cat); CREATE TABLE cat (x);
          INSERT INTO cat VALUES (1); CREATE TRIGGER gone AFTER DELETE ON cats BEGIN DELETE FROM cat; END;
          CREATE TRIGGER cleared AFTER DELETE ON cats BEGIN DELETE FROM toys WHERE cat = old.name; END;
          INSERT INTO cats VALUES ('Tom'), ('Kit'); INSERT INTO toys VALUES ('Tom'), ('Tom'), ('Kit');
          INSERT INTO beds VALUES ('Tom')`,
      },
    })
    await server.post('/migrate')
    write(server.migrations, { '0001_less.up.sql': `DELETE FROM cats WHERE name = 'Tom'; DELETE FROM beds` })
    const { body } = await server.post('/migrate?rehearse=true')
    expect(body.rowCounts).toEqual([
      { table: '', before: 0, after: 0 },
      { table: 'beds', before: 1, after: 0 },
      { table: 'cat', before: 1, after: 0 },
      { table: 'cats', before: 2, after: 1 },
      { table: 'toys', before: 3, after: 1 },
    ])
    expect((body.warnings as string[]).sort()).toEqual([
      expect.stringMatching(/^the table cat loses 1 of its 1 rows/),
      expect.stringMatching(/^the table toys loses 2 of its 3 rows/),
    ])
  })

  it('holds to all guards, and fails as the real run would', async () => {
    const server = await startServer({ files: { ...CATS, '0003_bad.up.sql': 'CREATE TABLE a (x);\nCOMMIT;' } })
    const { status, body } = await server.post('/migrate?rehearse=true')
    expect(status).toBe(422)
    expect(body).toMatchObject({ code: 'forbidden-statement', run: { rehearsal: true, status: 'failed', to: 2 } })
    expect(beside(server).includes('app.db')).toBe(false)
  })

  it('can be made while a change runs, one at a time, and leaves nothing when it is cancelled or its server dies', async () => {
    const server = await startServer({ files: { ...CATS, '0003_never.up.sql': ENDLESS } })
    await server.post('/migrate?target=2')
    const real = server.post('/migrate').catch(() => null)
    await server.logged(({ msg }) => msg === '3 never')
    const rehearsal = server.post('/migrate?rehearse=true')
    await until(() => server.log.filter(({ msg, status }) => msg === '3 never' && !status).length === 2)
    expect(beside(server)).toContain('app.db.rehearsal')
    const refused = await server.post('/migrate?rehearse=true&wait=0')
    expect(refused).toMatchObject({ status: 409, body: { code: 'change-in-progress', running: { kind: 'migrate' } } })
    const runs = (await server.get('/runs')).body.runs as Run[]
    expect(runs.slice(0, 2).map((run) => [run.status, run.rehearsal])).toEqual([
      ['running', true],
      ['running', false],
    ])
    expect(refused.body.running).toMatchObject({ id: runs[0]?.id })
    await ask(`${server.url}/runs/${runs[0]?.id}`, { method: 'DELETE' })
    expect(await rehearsal).toMatchObject({
      status: 409,
      body: { code: 'cancelled', run: { status: 'cancelled', steps: [{ id: 3, status: 'failed' }] } },
    })
    expect(beside(server)).not.toContain('app.db.rehearsal')

    const lost = server.post('/migrate?rehearse=true').catch(() => null)
    await until(() => server.log.filter(({ msg, status }) => msg === '3 never' && !status).length === 3)
    await server.stop('SIGKILL')
    await Promise.allSettled([lost, real])
    writeFileSync(`${server.database}.rehearsal-journal`, 'left')
    const next = await startServer({ migrations: server.migrations, database: server.database })
    await until(() => beside(next).every((name) => !/rehearsal(-|$)/.test(name)))
    expect((await next.get('/migrations')).body.current).toBe(2)
  })

  it('is one at a time in all servers of a database', async () => {
    const server = await startServer({ files: { ...CATS, '0003_never.up.sql': ENDLESS } })
    const other = await startServer({ migrations: server.migrations, database: server.database })
    const rehearsal = server.post('/migrate?rehearse=true')
    await server.logged(({ msg }) => msg === '3 never')
    const refused = await other.post('/migrate?rehearse=true&wait=0')
    expect(refused).toMatchObject({ status: 409, body: { code: 'change-in-progress' } })
    expect(beside(server)).toContain('app.db.rehearsal')
    const queued = other.post('/migrate?rehearse=true&target=2&wait=30')
    const [run] = (await server.get('/runs')).body.runs as Run[]
    await ask(`${server.url}/runs/${run?.id}`, { method: 'DELETE' })
    expect((await rehearsal).status).toBe(409)
    expect(await queued).toMatchObject({ status: 200, body: { rehearsal: true, to: 2 } })
    expect(beside(server)).not.toContain('app.db.rehearsal')
  })

  it('is refused together with dryRun, and where there is nothing to rehearse', async () => {
    const server = await startServer({ files: CATS })
    expect((await server.post('/migrate?rehearse=true&dryRun=true')).status).toBe(400)
    expect((await server.post('/rollback?rehearse=true')).body).toMatchObject({ status: 'succeeded', steps: [] })
    expect((await server.post('/repair?rehearse=true')).status).toBe(400)
  })
})

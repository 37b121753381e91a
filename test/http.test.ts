import { dirname, join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, it, onTestFinished } from 'vitest'
import { busy, CATS, folderWith, temporaryFolder, write } from './support/folder.ts'
import { ask, query, startServer, until } from './support/server.ts'

describe('GET /migrations', () => {
  it('tells how the migrations stand before the first run, and creates nothing', async () => {
    const server = await startServer({ files: CATS })
    const { status, headers, body, text } = await server.get('/migrations')
    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(headers.get('vary')).toBe('Accept')
    expect(text.endsWith('}\n')).toBe(true)
    expect(body).toEqual({
      current: null,
      latest: 2,
      pending: 3,
      state: 'pending',
      running: null,
      problems: [],
      migrations: ['init_db', 'add_age', 'add_tom'].map((name, id) => ({
        id,
        name,
        state: 'pending',
        kind: 'sql',
        reversible: id > 0,
        checksum: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
        appliedAt: null,
        durationMs: null,
        appliedBy: null,
      })),
    })
    expect(() => query(server.database, 'SELECT 1')).toThrow()
  })

  it('has an ETag of its own for each representation, which changes with the state', async () => {
    const server = await startServer({ files: CATS })
    const tag = async (accept: string) => (await server.get('/migrations', { accept })).headers.get('etag') ?? ''
    const [json, text] = [await tag('application/json'), await tag('text/plain')]
    expect(json).toMatch(/^"[\w-]+"$/)
    expect(text).not.toBe(json)
    const unchanged = await server.get('/migrations', { 'if-none-match': `"x", W/${json}` })
    expect([unchanged.status, unchanged.text]).toEqual([304, ''])
    expect(unchanged.headers.get('etag')).toBe(json)
    expect((await server.get('/migrations', { accept: 'text/plain', 'if-none-match': json })).status).toBe(200)
    await server.post('/migrate?target=0')
    const changed = await server.get('/migrations', { 'if-none-match': json })
    expect(changed.status).toBe(200)
    expect(changed.headers.get('etag')).not.toBe(json)
    const head = await ask(`${server.url}/migrations`, { method: 'HEAD' })
    expect([head.status, head.headers.get('etag')]).toEqual([200, changed.headers.get('etag')])
  })

  it('has a view for people, and one of a state alone', async () => {
    const server = await startServer({ files: CATS })
    await server.post('/migrate?target=1')
    const { headers, text } = await server.get('/migrations', { accept: 'text/plain' })
    expect(headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect((await server.get('/migrations', { accept: 'text/plain; charset=UTF-8, */*;q=0.1' })).text).toBe(text)
    expect(text.replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')).toBe(
      '[X] 0000 init_db  TIME\n[X] 0001 add_age  TIME\n[ ] 0002 add_tom\n\nApplied: 2\nPending: 1\n',
    )
    expect(((await server.get('/migrations?state=pending')).body.migrations as unknown[]).length).toBe(1)
    write(server.migrations, { '0000_init_db.up.sql': 'CREATE TABLE dogs (x);' })
    await until(async () =>
      (await server.get('/migrations', { accept: 'text/plain' })).text.includes('0000 init_db  2'),
    )
    await until(async () =>
      /0000 init_db {2}[\d :-]+ \[changed\]\n/.test((await server.get('/migrations', { accept: 'text/plain' })).text),
    )
    expect((await server.get('/migrations')).body).toMatchObject({ state: 'changed' })
    expect((await server.post('/migrate')).body).toMatchObject({
      status: 409,
      code: 'checksum-mismatch',
      migrations: [{ id: 0, name: 'init_db' }],
    })
    expect((await server.post('/rollback')).body).toMatchObject({ status: 'succeeded', to: 0 })
  })

  it('gives a migration with its sources', async () => {
    const server = await startServer({ files: CATS })
    const { status, body } = await server.get('/migrations/1/')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      id: 1,
      name: 'add_age',
      up: CATS['0001_add_age.up.sql'],
      down: CATS['0001_remove_age.down.sql'],
    })
    expect((await server.get('/migrations/0')).body).toMatchObject({ down: null })
    expect((await server.get('/migrations/9')).body).toMatchObject({ status: 404, code: 'not-found' })
    expect((await server.get('/migrations/01')).body).toMatchObject({ status: 400, code: 'invalid-request' })
  })

  it('lists the problems of the directory, for which every post is refused', async () => {
    const server = await startServer({ files: { ...CATS, '0003_typo.sql': 'SELECT 1;' } })
    expect((await server.get('/migrations')).body).toMatchObject({
      state: 'invalid',
      problems: [{ code: 'bad-name', file: '0003_typo.sql' }],
    })
    for (const path of ['/migrate', '/rollback', '/migrate?dryRun=true']) {
      const { status, body } = await server.post(path)
      expect(status).toBe(422)
      expect(body).toMatchObject({
        code: 'invalid-migrations',
        problems: [{ code: 'bad-name', file: '0003_typo.sql', message: expect.any(String) }],
      })
    }
    expect((await server.get('/readyz')).status).toBe(200)
    expect((await server.get('/readyz?schema=current')).body).toMatchObject({ reason: 'invalid-migrations' })
  })
})

it('answers with the request id that it was given when that is well formed, else with one of its own', async () => {
  const server = await startServer({ files: CATS })
  const given = await server.post('/migrate', { headers: { 'x-request-id': 'ci-42' } })
  expect(given.headers.get('x-request-id')).toBe('ci-42')
  expect(given.body).toMatchObject({ requestId: 'ci-42' })
  expect((await server.get('/livez', { 'x-request-id': 'a b' })).headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
})

it('logs a line before each step as the ancestor prints it, with who and what', async () => {
  const server = await startServer({ files: CATS })
  const { body } = await server.post('/migrate', { headers: { 'x-request-id': 'ci-42' } })
  await server.logged(({ msg }) => msg === 'POST /migrate')
  const steps = server.log.filter(({ migrationId, status }) => migrationId !== undefined && status === undefined)
  expect(steps.map(({ msg }) => msg)).toEqual(['0 init_db', '1 add_age', '2 add_tom'])
  expect(steps[1]).toMatchObject({
    level: 30,
    runId: body.id,
    requestId: 'ci-42',
    actor: 'anonymous',
    migrationId: 1,
    name: 'add_age',
    direction: 'up',
  })
  expect(server.log.find(({ msg }) => msg === 'migrate succeeded')).toMatchObject({
    runId: body.id,
    durationMs: expect.any(Number),
  })
  await server.get('/livez')
  await server.get('/migrations')
  await server.logged(({ msg }) => msg === 'GET /migrations')
  expect(server.log.filter(({ url }) => url === '/livez')).toEqual([])
})

it('logs what was refused with its reason, and who has left before the answer', async () => {
  const server = await startServer({ files: { ...CATS, '0003_busy.up.sql': busy(8) } })
  await server.post('/migrate?target=99')
  expect(await server.logged(({ url }) => url === '/migrate?target=99')).toMatchObject({
    status: 400,
    code: 'invalid-request',
    detail: expect.stringContaining('target 99'),
  })
  const left = new AbortController()
  const posted = server.post('/migrate', { signal: left.signal, headers: { 'x-request-id': 'leaver' } })
  await server.logged(({ msg }) => msg === '3 busy')
  left.abort()
  await expect(posted).rejects.toThrow(/abort/)
  const line = await server.logged(({ msg, requestId }) => msg === 'POST /migrate' && requestId === 'leaver')
  expect(line).toMatchObject({ status: null, left: true })
  await server.logged(({ msg }) => msg === 'migrate succeeded')
})

describe('GET /readyz', () => {
  it('tells what an application waits for', async () => {
    const server = await startServer({ files: CATS })
    expect((await server.get('/readyz')).body).toEqual({ status: 'ok' })
    expect((await server.get('/readyz?schema=current')).body).toMatchObject({ reason: 'schema-pending' })
    await server.post('/migrate')
    expect((await server.get('/readyz?schema=current')).status).toBe(200)
    expect((await server.get('/readyz?schema=old')).body).toMatchObject({
      status: 400,
      detail: 'schema must be current, or the id of a migration',
    })
  })

  it('tells who waits for one migration whether that is there, whatever the directory says', async () => {
    const server = await startServer({ files: CATS })
    const wait = async (id: number) => (await server.get(`/readyz?schema=${id}`)).body
    expect(await wait(0)).toEqual({
      reason: 'schema-pending',
      detail: 'migration 0 is not applied; the current one is none',
    })
    await server.post('/migrate?target=1')
    expect([await wait(0), await wait(1)]).toEqual([{ status: 'ok' }, { status: 'ok' }])
    expect([await wait(2), await wait(7)]).toMatchObject([{ reason: 'schema-pending' }, { reason: 'schema-pending' }])
    write(server.migrations, { 'typo.sql': '' })
    await until(async () => (await server.get('/migrations')).body.state === 'invalid')
    expect(await wait(1)).toEqual({ status: 'ok' })
  })

  it('names the path of a database that cannot be', async () => {
    const file = join(folderWith({ 'a-file': '' }), 'a-file')
    const server = await startServer({ files: CATS, database: join(file, 'app.db') })
    const { status, body } = await server.get('/readyz')
    expect(status).toBe(503)
    expect(body).toMatchObject({ reason: 'database-unavailable', detail: expect.stringContaining(file) })
    expect((await server.get('/livez')).status).toBe(200)
    const posted = await server.post('/migrate')
    expect(posted.body).toMatchObject({ status: 503, code: 'database-unavailable' })
  })

  it('is not ready with a file that is no database, which is left as it is', async () => {
    const server = await startServer({ files: CATS })
    write(dirname(server.database), {
      'app.db': 'this is a text, and longer than the head of a database file is: '.repeat(20),
    })
    expect((await server.get('/readyz')).body).toMatchObject({ reason: 'database-unavailable' })
    expect((await server.get('/migrations')).body).toMatchObject({ status: 503, code: 'database-unavailable' })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 503, code: 'database-unavailable' })
    expect((await server.get('/livez')).status).toBe(200)
  })
})

it('while the file cannot be read, GET /migrations gives the last known answer and calls it stale', async () => {
  const database = join(temporaryFolder(), 'app.db')
  // In a rollback journal, which the application's file has until the first run, an exclusive lock keeps readers out.
  const db = new Sqlite(database)
  onTestFinished(() => void db.close())
  db.exec('CREATE TABLE things (name)')
  const server = await startServer({ files: CATS, database })
  const known = (await server.get('/migrations')).body
  expect(known).toMatchObject({ pending: 3 })
  db.exec("BEGIN EXCLUSIVE; INSERT INTO things VALUES ('one')")
  const stale = await server.get('/migrations')
  expect(stale.status).toBe(200)
  expect(stale.body).toEqual({ ...known, stale: true })
  expect((await server.get('/migrations', { accept: 'text/plain' })).text).toMatch(/Stale/)
  db.exec('COMMIT')
  expect((await server.get('/migrations')).body).toEqual(known)
})

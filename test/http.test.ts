import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { CATS, write } from './support/folder.ts'
import { query, type Server, startServer, until } from './support/server.ts'

const READ = 'a-read-token-of-length'
const MIGRATE = 'a-migrate-token-of-length'
const ADMIN = 'an-admin-token-of-length'

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` }
}

/** A request with a `Host` of our choice, which fetch does not allow. */
function withHost(
  server: Server,
  host: string,
  path: string,
  method = 'GET',
): Promise<{ status: number; body: string }> {
  const { hostname, port } = new URL(server.url)
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ hostname, port, path, method, headers: { host } }, (response) => {
      let body = ''
      response.on('data', (data: Buffer) => {
        body += data
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    sent.once('error', reject)
    sent.end()
  })
}

/** What comes back for bytes that are sent as they are. */
function raw(server: Server, text: string): Promise<string> {
  const { hostname, port } = new URL(server.url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(text))
    let answer = ''
    socket.on('data', (data) => {
      answer += data
    })
    socket.once('close', () => resolve(answer))
    socket.once('error', reject)
  })
}

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
    const head = await fetch(`${server.url}/migrations`, { method: 'HEAD' })
    expect([head.status, head.headers.get('etag')]).toEqual([200, changed.headers.get('etag')])
  })

  it('has a view for people, and one of a state alone', async () => {
    const server = await startServer({ files: CATS })
    await server.post('/migrate?target=1')
    const { headers, text } = await server.get('/migrations', { accept: 'text/plain' })
    expect(headers.get('content-type')).toBe('text/plain; charset=utf-8')
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

describe('fault 37: a hostile or mistaken request', () => {
  it.each<[string, RequestInit]>([
    ['/migrate?dryrun=true', {}],
    ['/migrate?dryRun=1', {}],
    ['/migrate?dryRun=true&dryRun=true', {}],
    ['/migrate?target=01', {}],
    ['/migrate?target=0x1', {}],
    ['/migrate?target=1e0', {}],
    ['/migrate?target=%201', {}],
    ['/migrate?target=1.0', {}],
    ['/migrate?target=', {}],
    ['/migrate?target=-2', {}],
    ['/migrate?target=9007199254740993', {}],
    ['/migrate?target=1&target=2', {}],
    ['/migrate?steps=1', {}],
    ['/migrate?wait=-1', {}],
    ['/migrate?wait=3601', {}],
    ['/migrate?atomic', {}],
    ['/migrate?__proto__=1', {}],
    ['/migrate?constructor=1', {}],
    ['/migrate?%', {}],
    ['/rollback?steps=1&target=0', {}],
    ['/rollback?steps=0', {}],
    ['/rollback?steps=-1', {}],
    ['/migrate', { body: '{"dryRun":true}', headers: { 'content-type': 'application/json' } }],
    ['/migrate', { body: '{"dryRun":', headers: { 'content-type': 'application/json' } }],
    ['/migrate', { body: '{"__proto__":{}}', headers: { 'content-type': 'application/json' } }],
    ['/migrate', { body: 'dryRun=true' }],
    ['/migrate', { body: '[]' }],
    ['/migrate', { body: 'x'.repeat(2_000_000) }],
    ['/migrate', { body: 'x', headers: { 'content-type': 'no type at all' } }],
  ])('POST %s %j is refused, and nothing runs', async (path, init) => {
    const server = await startServer({ files: CATS })
    const answer = await server.post(path, init)
    expect(answer.status).toBe(400)
    expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8')
    expect(answer.text.endsWith('}\n')).toBe(true)
    expect(answer.body).toMatchObject({
      type: '/problems/invalid-request',
      status: 400,
      code: 'invalid-request',
      retryable: false,
    })
    expect(answer.body.title).toEqual(expect.any(String))
    expect(answer.body.detail).not.toMatch(/\n|Error|node_modules/)
    expect((await server.get('/migrations')).body).toMatchObject({ current: null })
  })

  it.each<RequestInit>([
    { body: '' },
    { body: '{}' },
    { body: ' { } \n', headers: { 'content-type': 'application/json' } },
    { body: '', headers: { 'content-type': 'application/json' } },
    { body: '', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
    { body: '', headers: { 'content-type': 'no type at all' } },
    { headers: { 'content-type': 'application/json' } },
  ])('but an empty body is taken, whatever it is called: %j', async (init) => {
    const server = await startServer({ files: CATS })
    expect((await server.post('/migrate', init)).status).toBe(200)
  })

  it('for a path that is not there is 404, and with a wrong method 405 with Allow', async () => {
    const server = await startServer({ files: CATS })
    expect((await server.get('/nowhere')).body).toMatchObject({ status: 404, code: 'not-found', instance: '/nowhere' })
    const cases = [
      ['GET', '/migrate', 'POST'],
      ['DELETE', '/migrations', 'GET, HEAD'],
      ['PUT', '/rollback/', 'POST'],
      ['POST', '/livez', 'GET, HEAD'],
      ['POST', '/migrations/0', 'GET, HEAD'],
      ['OPTIONS', '/migrate', 'POST'],
    ] as const
    for (const [method, path, allow] of cases) {
      const response = await fetch(`${server.url}${path}`, { method })
      expect([method, path, response.status]).toEqual([method, path, 405])
      expect(response.headers.get('allow')?.split(', ').sort().join(', ')).toBe(allow)
      expect(await response.json()).toMatchObject({ code: 'method-not-allowed' })
    }
  })

  it('that is no HTTP, has a URL of 20 kB, or a body that does not come, is answered with a problem', async () => {
    const server = await startServer({ files: CATS })
    const answers = await Promise.all([
      raw(server, 'HELLO\r\n\r\n'),
      raw(server, `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`),
      raw(server, 'POST /migrate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{'),
    ])
    for (const answer of answers) {
      expect(answer).toMatch(/^HTTP\/1\.1 400 /)
      expect(answer).toMatch('application/problem+json')
      expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'invalid-request', status: 400 })
    }
    expect((await server.get('/migrations')).body).toMatchObject({ current: null })
  })
})

describe('fault 38: who may', () => {
  const env = { READ_TOKEN: `dash:${READ}`, MIGRATE_TOKEN: MIGRATE, ADMIN_TOKEN: `alice:${ADMIN}` }

  it('read, migrate and roll back: by the role of the token', async () => {
    const server = await startServer({ files: CATS, env })
    const status = async (method: 'GET' | 'POST', path: string, token?: string) =>
      (await fetch(`${server.url}${path}`, { method, headers: token ? bearer(token) : {} })).status
    const table = [
      ['GET', '/migrations', 401, 200, 200, 200],
      ['GET', '/migrations/0', 401, 200, 200, 200],
      ['POST', '/migrate?dryRun=true', 401, 403, 200, 200],
      ['POST', '/rollback?dryRun=true', 401, 403, 403, 200],
      ['GET', '/nowhere', 401, 404, 404, 404],
      ['GET', '/livez', 200, 200, 200, 200],
      ['GET', '/readyz', 200, 200, 200, 200],
      ['GET', '/openapi.json', 200, 200, 200, 200],
    ] as const
    for (const [method, path, ...expected] of table) {
      const found = [
        await status(method, path),
        await status(method, path, READ),
        await status(method, path, MIGRATE),
        await status(method, path, ADMIN),
      ]
      expect([path, ...found]).toEqual([path, ...expected])
    }
  })

  it('a missing or wrong token is 401 with WWW-Authenticate, and no token is ever logged', async () => {
    const server = await startServer({ files: CATS, env })
    for (const headers of [
      {},
      bearer('wrong'),
      { authorization: `Basic ${ADMIN}` },
      bearer(`${ADMIN}x`),
      bearer(`alice:${ADMIN}`),
    ]) {
      const answer = await server.post('/migrate', { headers })
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
      expect(answer.body).toMatchObject({ code: 'unauthorized' })
    }
    expect((await server.post('/rollback', { headers: bearer(READ) })).body).toMatchObject({
      status: 403,
      code: 'forbidden',
    })
    expect((await server.post('/migrate', { headers: bearer(MIGRATE) })).body).toMatchObject({
      status: 'succeeded',
      actor: 'migrate',
    })
    expect((await server.post('/rollback', { headers: bearer(ADMIN) })).body).toMatchObject({ actor: 'alice' })
    expect((await server.get('/migrations', bearer(READ))).body.migrations).toMatchObject([
      { appliedBy: 'migrate' },
      {},
      {},
    ])
    const text = JSON.stringify(server.log)
    for (const token of [READ, MIGRATE, ADMIN]) expect(text).not.toContain(token)
    expect(text).toContain('"actor":"alice"')
  })

  it('without tokens a foreign Host is refused, probes apart', async () => {
    const server = await startServer({ files: CATS, env: { ALLOWED_HOSTS: 'db.internal' } })
    const statuses = async (host: string) => [
      (await withHost(server, host, '/migrations')).status,
      (await withHost(server, host, '/migrate?dryRun=true', 'POST')).status,
      (await withHost(server, host, '/livez')).status,
      (await withHost(server, host, '/readyz')).status,
    ]
    for (const host of ['evil.example', 'evil.example:8080', 'localhost.evil.example', '127.0.0.1.evil.example']) {
      expect(await statuses(host)).toEqual([403, 403, 200, 200])
    }
    for (const host of [
      'localhost',
      'LOCALHOST:80',
      '10.1.2.3:8080',
      '[::1]:8080',
      'db.internal',
      'db.internal:8080',
    ]) {
      expect(await statuses(host)).toEqual([200, 200, 200, 200])
    }
    expect((await withHost(server, 'evil.example', '/migrations')).body).toMatch('forbidden-host')
  })

  it('a page of another site cannot post', async () => {
    const server = await startServer({ files: CATS, env: { CORS_ORIGINS: 'https://ops.example.com' } })
    const own = server.url
    const status = async (headers: Record<string, string>) => {
      const answer = await server.post('/migrate?dryRun=true', { headers })
      if (answer.status === 403) expect(answer.body.code).toBe('cross-site')
      return answer.status
    }
    // fetch sends Sec-Fetch-Site by itself in browsers only.
    expect(await status({ 'sec-fetch-site': 'cross-site' })).toBe(403)
    expect(await status({ 'sec-fetch-site': 'same-site', origin: own })).toBe(403)
    expect(await status({ 'sec-fetch-site': 'same-origin' })).toBe(200)
    expect(await status({ 'sec-fetch-site': 'none' })).toBe(200)
    expect(await status({ origin: 'https://evil.example' })).toBe(403)
    expect(await status({ origin: 'null' })).toBe(403)
    expect(await status({ origin: own })).toBe(200)
    expect(await status({ 'sec-fetch-site': 'cross-site', origin: 'https://ops.example.com' })).toBe(200)
    expect((await server.get('/migrations', { 'sec-fetch-site': 'cross-site' })).status).toBe(200)
    const preflight = await fetch(`${own}/migrate`, {
      method: 'OPTIONS',
      headers: { origin: 'https://ops.example.com', 'access-control-request-method': 'POST' },
    })
    expect(preflight.headers.get('access-control-allow-origin')).toBe('https://ops.example.com')
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

describe('GET /readyz', () => {
  it('tells what an application waits for', async () => {
    const server = await startServer({ files: CATS })
    expect((await server.get('/readyz')).body).toEqual({ status: 'ok' })
    expect((await server.get('/readyz?schema=current')).body).toMatchObject({ reason: 'schema-pending' })
    await server.post('/migrate')
    expect((await server.get('/readyz?schema=current')).status).toBe(200)
    expect((await server.get('/readyz?schema=old')).status).toBe(400)
  })

  it('names the path of a database that cannot be', async () => {
    const server = await startServer({ files: CATS, database: '/proc/nowhere/app.db' })
    const { status, body } = await server.get('/readyz')
    expect(status).toBe(503)
    expect(body).toMatchObject({ reason: 'database-unavailable', detail: expect.stringContaining('/proc') })
    expect((await server.get('/livez')).status).toBe(200)
    const posted = await server.post('/migrate')
    expect(posted.body).toMatchObject({ status: 503, code: 'database-unavailable' })
  })

  it('is not ready with a file that is no database, which is left as it is', async () => {
    const server = await startServer({ files: CATS })
    write(`${server.database}/..`, {
      'app.db': 'this is a text, and longer than the head of a database file is: '.repeat(20),
    })
    expect((await server.get('/readyz')).body).toMatchObject({ reason: 'database-unavailable' })
    expect((await server.get('/migrations')).body).toMatchObject({ status: 503, code: 'database-unavailable' })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 503, code: 'database-unavailable' })
    expect((await server.get('/livez')).status).toBe(200)
  })
})

it('while the file cannot be read, GET /migrations gives the last known answer and calls it stale', async () => {
  const server = await startServer({ files: CATS })
  await server.post('/migrate')
  const known = (await server.get('/migrations')).body
  const { default: Sqlite } = await import('better-sqlite3')
  const db = new Sqlite(server.database)
  // In this mode an exclusive lock keeps readers out.
  await until(() => db.pragma('journal_mode = DELETE', { simple: true }) === 'delete').catch(() => {})
  db.pragma('locking_mode = EXCLUSIVE')
  db.exec('BEGIN EXCLUSIVE; CREATE TABLE x (y)')
  expect((await server.get('/migrations')).body).toEqual({ ...known, stale: true })
  expect((await server.get('/migrations', { accept: 'text/plain' })).text).toMatch(/Stale/)
  db.exec('ROLLBACK')
  db.close()
  expect((await server.get('/migrations')).body).toEqual(known)
})

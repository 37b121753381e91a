import { describe, expect, it } from 'vitest'
import { openJudges } from '../src/http/validation.ts'
import { CATS } from './support/folder.ts'
import { raw, withHost } from './support/raw.ts'
import { ask, shared, startServer } from './support/server.ts'

const READ = 'a-read-token-of-length'
const MIGRATE = 'a-migrate-token-of-length'
const ADMIN = 'an-admin-token-of-length'

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` }
}

describe('fault 37: a hostile or mistaken request', () => {
  const server = shared((endWith) => startServer({ files: CATS, endWith }))

  it.each<[string, RequestInit | (() => RequestInit)]>([
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
    ['/migrate', { body: 'x', headers: { 'content-type': 'no type at all' } }],
    ['/migrate', () => ({ body: 'x'.repeat(2_000_000) })],
  ])('POST %s %j is refused, and nothing runs', async (path, given) => {
    const init = typeof given === 'function' ? given() : given
    const answer = await server().post(path, init)
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
    expect((await server().get('/migrations')).body).toMatchObject({ current: null })
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
    expect((await server().post('/migrate?dryRun=true', init)).status).toBe(200)
  })

  it('that is garbage behind another one is no answer to that one', async () => {
    const { status, body } = await server().get('/migrations')
    expect(status).toBe(200)
    const text = await raw(server(), 'GET /migrations HTTP/1.1\r\nHost: localhost\r\n\r\nGARBAGE\r\n\r\n')
    expect(text).not.toMatch(/^HTTP\/1\.1 400/)
    expect(body).toMatchObject({ current: null })
  })

  it('for a path that is not there is 404, and with a wrong method 405 with Allow', async () => {
    expect((await server().get('/nowhere')).body).toMatchObject({
      status: 404,
      code: 'not-found',
      instance: '/nowhere',
    })
    const cases = [
      ['GET', '/migrate', 'POST'],
      ['DELETE', '/migrations', 'GET, HEAD'],
      ['PUT', '/rollback/', 'POST'],
      ['POST', '/livez', 'GET, HEAD'],
      ['POST', '/migrations/0', 'GET, HEAD'],
      ['OPTIONS', '/migrate', 'POST'],
      ['QUERY', '/migrations', 'GET, HEAD'],
      ['POST', '/%6digrations', 'GET, HEAD'],
      ['POST', '/docs/static/swagger-ui.css', 'GET, HEAD'],
    ] as const
    for (const [method, path, allow] of cases) {
      const response = await ask(`${server().url}${path}`, { method })
      expect([method, path, response.status]).toEqual([method, path, 405])
      expect(response.headers.get('allow')?.split(', ').sort().join(', ')).toBe(allow)
      expect(response.body).toMatchObject({ code: 'method-not-allowed' })
    }
  })

  const TOO_LONG = 'POST /migrate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'

  it('whose body is too long is answered while it comes, and the next one on the connection too', async () => {
    const body = 'x'.repeat(2_000_000)
    const next = 'GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
    const answer = await raw(server(), `${TOO_LONG}Content-Length: ${body.length}\r\n\r\n${body}${next}`)
    expect(answer.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 400', 'HTTP/1.1 200'])
  })

  it.concurrent.each([
    ['that is no HTTP', 'HELLO\r\n\r\n'],
    ['with a URL of 20 kB', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`],
    ['whose URL cannot be decoded', 'GET /%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'],
    [
      'with an id of a thousand digits',
      `GET /migrations/${'1'.repeat(1_000)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    ],
    ['with two Hosts', 'GET /migrations HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n'],
    ['without a Host', 'POST /migrate HTTP/1.1\r\nConnection: close\r\n\r\n'],
    [
      'that expects what cannot be',
      'POST /migrate HTTP/1.1\r\nHost: localhost\r\nExpect: x\r\nConnection: close\r\n\r\n',
    ],
    [
      'that brings a body with a GET',
      'GET /migrations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 15\r\n\r\n{"dryRun":true}',
    ],
    ['that asks for *?', 'GET *?x=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'],
    ['that asks for *', 'GET * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'],
    ['whose body does not come', 'POST /migrate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{'],
    ['whose head does not come', 'POST /migrate HTTP/1.1\r\nHost: localhost\r\n'],
  ])('%s is answered with a problem', async (_, text) => {
    const answer = await raw(server(), text)
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer).toMatch('application/problem+json')
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'invalid-request', status: 400 })
    expect((await server().get('/migrations')).body).toMatchObject({ current: null })
  })

  it.concurrent.each([
    ['does not come', 'Content-Length: 2000000\r\n\r\n'],
    ['stops coming', `Content-Length: 2000000\r\n\r\n${'x'.repeat(20_000)}`],
    ['stops coming in chunks', `Transfer-Encoding: chunked\r\n\r\n4e20\r\n${'x'.repeat(20_000)}\r\n`],
    ['becomes garbage', `Transfer-Encoding: chunked\r\n\r\n4e20\r\n${'x'.repeat(20_000)}\r\nzz\r\n`],
  ])('whose body is too long and %s is answered once, and cut', async (_, text) => {
    const answer = await raw(server(), TOO_LONG + text)
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400'])
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'invalid-request', status: 400 })
  })
})

it('the first requests of all, which come at once, are each judged for themselves', async () => {
  const server = await startServer({ files: CATS })
  const paths = ['target=x', 'dryRun=true&target=1', 'wait=3601', 'dryRun=true', 'atomic=perhaps', 'nothing=1']
  const answers = await Promise.all(paths.map((query) => server.post(`/migrate?${query}`)))
  expect(answers.map(({ status, body }) => body.detail ?? status)).toEqual([
    'target must be a whole number, plainly written',
    200,
    'wait is 3601; it goes from 0 to 3600 seconds',
    200,
    'atomic must be one of true, false',
    'unknown parameter nothing; look it up in /openapi.json',
  ])
  const again = await Promise.all(paths.map((query) => server.post(`/migrate?${query}`)))
  expect(again.map(({ status, body }) => body.detail ?? status)).toEqual(
    answers.map(({ status, body }) => body.detail ?? status),
  )
  expect((await server.get('/runs')).body.runs).toEqual([])
})

const STEPS = { type: 'object', properties: { steps: { type: 'string', pattern: '^[0-9]+$' } } }

it('no request waits for its judge once all are ready', async () => {
  const judges = openJudges()
  const all = [judges.of({ schema: STEPS }), judges.of({ schema: { ...STEPS, required: ['steps'] } })]
  await judges.ready()
  expect(all.map((judge) => [judge({ steps: '1' }), judge({ steps: 'x' }), judge({})])).toEqual([
    [true, false, true],
    [true, false, false],
  ])
})

it('what is wrong with one of the first requests is not taken for what is wrong with the next', async () => {
  const judge = openJudges().of({ schema: STEPS })
  const all = await Promise.allSettled([judge({ steps: 'x' }), judge({ steps: '1' }), judge({ steps: ['1'] })])
  expect(all).toMatchObject([
    { status: 'rejected', reason: [{ keyword: 'pattern' }] },
    { status: 'fulfilled', value: true },
    { status: 'rejected', reason: [{ keyword: 'type' }] },
  ])
  expect([judge({ steps: 'x' }), judge.errors]).toMatchObject([false, [{ keyword: 'pattern' }]])
})

describe('fault 38: who may', () => {
  const env = { READ_TOKEN: `dash:${READ}`, MIGRATE_TOKEN: MIGRATE, ADMIN_TOKEN: `alice:${ADMIN}` }

  it('read, migrate and roll back: by the role of the token', async () => {
    const server = await startServer({ files: CATS, env })
    const status = async (method: 'GET' | 'POST', path: string, token?: string) =>
      (await ask(`${server.url}${path}`, { method, headers: token ? bearer(token) : {} })).status
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
    const mistaken = await server.get(`/migrations?token=${ADMIN}`, bearer(ADMIN))
    expect(mistaken.body).toMatchObject({ status: 400, instance: '/migrations?token=…' })
    for (const path of [`/migrations?${ADMIN}`, `/migrations;t=${ADMIN}`, `/migrations?state=${ADMIN}`]) {
      expect((await server.get(path, bearer(ADMIN))).body.instance).not.toContain(ADMIN)
    }
    await server.logged(({ url }) => String(url).includes('token'))
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
    const seen = await server.get('/migrations', { origin: 'https://ops.example.com' })
    expect(seen.headers.get('vary')?.split(', ').sort()).toEqual(['Accept', 'Origin'])
    // No preflight: a method like any other.
    expect((await fetch(`${own}/migrate`, { method: 'OPTIONS' })).status).toBe(405)
    expect((await fetch(`${own}/nowhere`, { method: 'OPTIONS' })).status).toBe(404)
  })
})

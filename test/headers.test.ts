import { describe, expect, it } from 'vitest'
import { CATS } from './support/folder.ts'
import { ask, shared, startServer } from './support/server.ts'

const ORIGIN = 'https://ops.example.com'
const [ADMIN, MIGRATE] = ['an-admin-token-of-length', 'a-migrate-token-of-length']

describe('an answer', () => {
  const served = shared((endWith) =>
    startServer({
      files: CATS,
      env: { ADMIN_TOKEN: `alice:${ADMIN}`, MIGRATE_TOKEN: `ci:${MIGRATE}`, CORS_ORIGINS: ORIGIN },
      endWith,
    }),
  )
  const authorization = `Bearer ${ADMIN}`

  it.each([
    ['GET', '/migrations', 200],
    ['POST', '/migrate?dryRun=true', 200],
    ['GET', '/livez', 200],
    ['GET', '/metrics', 200],
    ['GET', '/docs/', 200],
    ['GET', '/openapi.json', 200],
    ['GET', '/nowhere', 404],
    ['PUT', '/migrate', 405],
    ['POST', '/migrate?x=1', 400],
  ])(
    'to %s %s is nothing but what it says, in no frame, and tells no page where it came from',
    async (method, path, status) => {
      const { headers, ...answer } = await ask(`${served().url}${path}`, { method, headers: { authorization } })
      expect(answer.status).toBe(status)
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('x-frame-options')).toBe('DENY')
      expect(headers.get('referrer-policy')).toBe('no-referrer')
      expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; ?.*frame-ancestors 'none'$/)
      expect(headers.get('content-security-policy')).not.toMatch(/unsafe-eval|script-src [^;]*unsafe|upgrade-insecure/)
      expect(headers.get('x-powered-by')).toBe(null)
      expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
      expect(headers.get('cache-control')).toMatch(/^no-(store|cache)$|max-age/)
    },
  )

  it('without a token has these headers too', async () => {
    const { status, headers } = await served().get('/migrations')
    expect(status).toBe(401)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('content-security-policy')).toMatch(/default-src 'none'/)
  })

  it('to a page of a named origin shows what a dashboard needs, and to another nothing', async () => {
    const named = await served().post('/migrate?dryRun=true', { headers: { authorization, origin: ORIGIN } })
    expect(named.headers.get('access-control-allow-origin')).toBe(ORIGIN)
    const exposed = named.headers.get('access-control-expose-headers')?.split(', ')
    expect(exposed).toEqual(expect.arrayContaining(['ETag', 'Location', 'Retry-After', 'X-Request-Id']))
    const other = await served().get('/migrations', { authorization, origin: 'https://evil.example' })
    expect(other.headers.get('access-control-allow-origin')).toBe(null)
  })

  it('to the preflight of such a page allows its methods and headers, and asks for no token', async () => {
    const asked = {
      'access-control-request-method': 'DELETE',
      'access-control-request-headers': 'authorization,prefer',
    }
    const { status, headers } = await ask(`${served().url}/runs/x`, {
      method: 'OPTIONS',
      headers: { origin: ORIGIN, ...asked },
    })
    expect(status).toBe(204)
    expect(headers.get('access-control-allow-methods')?.split(', ')).toEqual(['GET', 'HEAD', 'POST', 'DELETE'])
    expect(headers.get('access-control-allow-headers')).toMatch(/authorization, ?prefer/)
  })
})

it('each change leaves a line with who asked for it and the id of the request, whatever came of it', async () => {
  const env = { ADMIN_TOKEN: `alice:${ADMIN}`, MIGRATE_TOKEN: `ci:${MIGRATE}` }
  const server = await startServer({ files: { ...CATS, '0003_bad.up.sql': 'SELEC 1;' }, env })
  const post = async (path: string, token: string, id: string, more: Record<string, string> = {}) =>
    await server.post(path, { headers: { authorization: `Bearer ${token}`, 'x-request-id': id, ...more } })
  const { id } = (await post('/migrate?target=2', MIGRATE, 'deploy-7', { prefer: 'respond-async' })).body
  await server.logged(({ msg }) => msg === 'migrate succeeded')
  await post('/migrate', MIGRATE, 'deploy-8')
  await post('/rollback?target=0', ADMIN, 'oops-1')
  await post('/rollback', MIGRATE, 'oops-2')
  await post('/repair', ADMIN, 'fix-1')
  await server.logged(({ url, requestId }) => url === '/repair' && requestId === 'fix-1')
  const lines = (wanted: Record<string, unknown>) =>
    server.log.filter((line) => Object.entries(wanted).every(([name, value]) => line[name] === value))
  expect(lines({ msg: 'migrate begins', runId: id, requestId: 'deploy-7', actor: 'ci' })).toHaveLength(1)
  expect(lines({ msg: 'migrate succeeded', runId: id, requestId: 'deploy-7', actor: 'ci' })).toHaveLength(1)
  expect(lines({ msg: 'migrate failed', requestId: 'deploy-8', actor: 'ci' })).toHaveLength(1)
  expect(lines({ msg: 'rollback succeeded', requestId: 'oops-1', actor: 'alice' })).toHaveLength(1)
  // What was refused, or had nothing to do, has the line of its request.
  expect(lines({ url: '/rollback', requestId: 'oops-2', status: 403, code: 'forbidden' })).toHaveLength(1)
  expect(lines({ url: '/repair', requestId: 'fix-1', status: 200, actor: 'alice' })).toHaveLength(1)
  expect(JSON.stringify(server.log)).not.toMatch(new RegExp(`${ADMIN}|${MIGRATE}`))
})

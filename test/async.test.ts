import { request } from 'node:http'
import { describe, expect, it } from 'vitest'
import { CATS, ENDLESS } from './support/folder.ts'
import { type Answer, ask, query, type Server, startServer, until } from './support/server.ts'

const FIRST = { '0000_init_db.up.sql': CATS['0000_init_db.up.sql'] ?? '' }
const ASYNC = { headers: { prefer: 'respond-async' } }

/** The run that an answer of 202 points to, when its status is none of a run that goes on. */
async function end(server: Server, { headers }: Answer) {
  const location = headers.get('location') ?? ''
  await until(async () => !['queued', 'running'].includes(String((await server.get(location)).body.status)))
  return (await server.get(location)).body
}

describe('a client that prefers respond-async', () => {
  it('is answered at once with 202 and where the run is found, which goes on by itself', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_never.up.sql': ENDLESS } })
    const answer = await server.post('/migrate', ASYNC)
    const { id } = answer.body
    expect(answer.status).toBe(202)
    expect(answer.headers.get('location')).toBe(`/runs/${id}`)
    expect(answer.headers.get('preference-applied')).toBe('respond-async')
    expect(answer.body).toMatchObject({ kind: 'migrate', error: null, finishedAt: null })
    expect(answer.text.endsWith('\n')).toBe(true)
    await server.logged(({ msg }) => msg === '1 never')
    expect((await server.get(`/runs/${id}`)).body).toMatchObject({
      status: 'running',
      steps: [{ status: 'done' }, { status: 'running' }],
    })
    await ask(`${server.url}/runs/${id}`, { method: 'DELETE' })
    expect(await end(server, answer)).toMatchObject({ id, status: 'cancelled', to: 0 })
    expect(query(server.database, 'SELECT id, status FROM migration_runs')).toEqual([{ id, status: 'cancelled' }])
  })

  it('is told how the run stands when it has waited as long as it liked', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_never.up.sql': ENDLESS } })
    const answer = await server.post('/migrate', { headers: { prefer: 'respond-async, wait=3' } })
    expect(answer.status).toBe(202)
    expect(answer.body).toMatchObject({ status: 'running', steps: [{ status: 'done' }, { status: 'running' }] })
  })

  it('finds a failure at the place, with its error', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_bad.up.sql': 'SELEC 1;' } })
    const answer = await server.post('/migrate', ASYNC)
    expect(answer.status).toBe(202)
    expect(await end(server, answer)).toMatchObject({ status: 'failed', to: 0, error: { code: 'migration-failed' } })
  })

  it('finds an end there too when there is nothing to do', async () => {
    const server = await startServer({ files: CATS })
    await server.post('/migrate')
    const answer = await server.post('/migrate', ASYNC)
    expect(answer).toMatchObject({ status: 202, body: { status: 'succeeded', steps: [] } })
    expect(await end(server, answer)).toMatchObject({ status: 'succeeded', steps: [] })
  })

  it('keeps its place in the queue after it has left', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_never.up.sql': ENDLESS } })
    const first = await server.post('/migrate', ASYNC)
    await server.logged(({ msg }) => msg === '1 never')
    const queued = await server.post('/migrate?target=0&wait=600', {
      headers: { ...ASYNC.headers, connection: 'close' },
    })
    expect(queued).toMatchObject({ status: 202, body: { status: 'queued' } })
    await ask(`${server.url}/runs/${first.body.id}`, { method: 'DELETE' })
    expect(await end(server, queued)).toMatchObject({ status: 'succeeded', steps: [], to: 0 })
  })

  it('finds that a run which it was promised did not get its turn, and the log says so', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_never.up.sql': ENDLESS } })
    const first = await server.post('/migrate', ASYNC)
    await server.logged(({ msg }) => msg === '1 never')
    const answer = await server.post('/rollback?wait=1', ASYNC)
    expect(answer.status).toBe(202)
    expect(await end(server, answer)).toMatchObject({
      status: 'failed',
      error: { code: 'change-in-progress', running: { id: first.body.id } },
    })
    await server.logged(({ msg, runId }) => msg === 'rollback failed' && runId === answer.body.id)
  })

  it.each([
    ['that is busy, without a wait', '/rollback', 409, 'change-in-progress'],
    ['with a parameter that is wrong', '/migrate?target=x', 400, 'invalid-request'],
  ])('is refused at once by a server %s', async (_, path, status, code) => {
    const server = await startServer({ files: { ...FIRST, '0001_never.up.sql': ENDLESS } })
    await server.post('/migrate', ASYNC)
    await server.logged(({ msg }) => msg === '1 never')
    expect(await server.post(path, ASYNC)).toMatchObject({ status, body: { code } })
  })

  it.each([
    ['another current migration', CATS, '/migrate?from=7', 412, 'precondition-failed'],
    ['problems in the directory', { ...CATS, '0003.sql': '' }, '/migrate', 422, 'invalid-migrations'],
  ])('is refused at once for %s', async (_, files, path, status, code) => {
    const server = await startServer({ files })
    const answer = await server.post(path, ASYNC)
    expect(answer).toMatchObject({ status, body: { code } })
    expect((await server.get('/runs')).body).toEqual({ runs: [], next: null })
  })

  it('is given a plan, which is made at once anyway', async () => {
    const server = await startServer({ files: CATS })
    const answer = await server.post('/migrate?dryRun=true', ASYNC)
    expect(answer).toMatchObject({ status: 200, body: { status: 'planned' } })
    expect(answer.headers.get('preference-applied')).toBe(null)
  })

  it('and wait=N beside it, is given the end that comes within so many seconds', async () => {
    const server = await startServer({ files: { ...CATS, '0003_bad.up.sql': 'SELEC 1;' } })
    const wait = { headers: { prefer: 'wait=50, respond-async' } }
    expect(await server.post('/migrate?target=2', wait)).toMatchObject({ status: 200, body: { status: 'succeeded' } })
    expect(await server.post('/migrate', wait)).toMatchObject({ status: 422, body: { code: 'migration-failed' } })
  })

  it('and does not wait for the run of another server, is refused at once', async () => {
    const other = await startServer({ files: { ...FIRST, '0001_never.up.sql': ENDLESS } })
    const server = await startServer({ migrations: other.migrations, database: other.database })
    const { id } = (await other.post('/migrate', ASYNC)).body
    await other.logged(({ msg }) => msg === '1 never')
    const refused = await server.post('/rollback?wait=0', ASYNC)
    expect(refused).toMatchObject({ status: 409, body: { code: 'change-in-progress', running: { id } } })
    expect((await server.get('/runs')).body.runs).toMatchObject([{ id }])
    expect(await server.post('/rollback?wait=100', ASYNC)).toMatchObject({ status: 202, body: { status: 'queued' } })
  })

  it('and leaves before it has heard of it, has not begun a run that still waits', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_never.up.sql': ENDLESS } })
    const { id } = (await server.post('/migrate', ASYNC)).body
    await server.logged(({ msg }) => msg === '1 never')
    const leaver = new AbortController()
    const init = { headers: { prefer: 'respond-async, wait=60' }, signal: leaver.signal }
    const posted = server.post('/rollback?wait=600', init).catch(() => 'left')
    await until(async () => ((await server.get('/runs')).body.runs as unknown[]).length === 2)
    leaver.abort()
    expect(await posted).toBe('left')
    await until(async () => ((await server.get('/runs')).body.runs as { status: string }[])[0]?.status !== 'queued')
    await ask(`${server.url}/runs/${id}`, { method: 'DELETE' })
    await until(async () => (await server.get(`/runs/${id}`)).body.status === 'cancelled')
    expect(query(server.database, 'SELECT kind FROM migration_runs')).toEqual([{ kind: 'migrate' }])
  })

  it('reads its id and how it stands as plain text', async () => {
    const server = await startServer({ files: CATS })
    const { status, text } = await server.post('/migrate', { headers: { ...ASYNC.headers, accept: 'text/plain' } })
    expect(status).toBe(202)
    expect(text).toMatch(/^[0-9a-f-]{36} (queued|running|succeeded)\n$/)
  })

  it('is refused by a server that ends, and one that waits is told so by nobody but the log', async () => {
    const server = await startServer({
      files: { ...FIRST, '0001_never.up.sql': ENDLESS },
      env: { SHUTDOWN_TIMEOUT: '1' },
    })
    await server.post('/migrate', ASYNC)
    await server.logged(({ msg }) => msg === '1 never')
    const queued = await server.post('/migrate?wait=600', ASYNC)
    const ended = server.stop()
    await server.logged(({ msg, runId }) => msg === 'migrate interrupted' && runId === queued.body.id)
    expect(await server.post('/migrate', ASYNC)).toMatchObject({ status: 503, body: { code: 'shutting-down' } })
    expect(await ended).toBe(0)
  })

  it.each(['respond-sync', 'respond-async=no', 'handling=lenient', '=;,', 'wait=10'])(
    'is one who says so: %s is not',
    async (prefer) => {
      const server = await startServer({ files: CATS })
      expect((await server.post('/migrate', { headers: { prefer } })).status).toBe(200)
    },
  )

  it.each([[['handling=strict', 'Respond-Async; x=1']], [['respond-async=""']]])(
    'may say so in any of the ways of RFC 7240: %j',
    async (lines) => {
      const server = await startServer({ files: CATS })
      const status = await new Promise((resolve, reject) => {
        const sent = request(`${server.url}/migrate`, { method: 'POST', headers: { prefer: lines } }, (response) =>
          resolve(response.statusCode),
        )
        sent.once('error', reject).end()
      })
      expect(status).toBe(202)
    },
  )
})

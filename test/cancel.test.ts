import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import type { Run } from '../src/core/migration.ts'
import { CATS, ENDLESS } from './support/folder.ts'
import { ask, contentOf, query, type Server, startServer, until } from './support/server.ts'

const FILES = { '0000_init_db.up.sql': CATS['0000_init_db.up.sql'] ?? '', '0001_never.up.sql': ENDLESS }

const TOKENS = {
  READ_TOKEN: 'reader:read-0123456789abcdef',
  MIGRATE_TOKEN: 'ci:migrate-0123456789abcdef',
  ADMIN_TOKEN: 'ops:admin-0123456789abcdef',
}
const as = (role: 'read' | 'migrate' | 'admin') => ({ authorization: `Bearer ${role}-0123456789abcdef` })

function cancel(server: Server, id: string, headers: Record<string, string> = {}) {
  return ask(`${server.url}/runs/${id}`, { method: 'DELETE', headers })
}

async function begun(server: Server, headers: Record<string, string> = {}): Promise<string> {
  await server.logged(({ msg }) => msg === '1 never')
  const { body } = await server.get('/runs', headers)
  return (body as unknown as { runs: Run[] }).runs[0]?.id ?? ''
}

/** Milliseconds until the run lock can be had. */
async function untilFree(database: string): Promise<number> {
  const clock = performance.now()
  const side = new Sqlite(`${database}.lock`, { timeout: 0 })
  try {
    await until(() => {
      try {
        side.exec('BEGIN EXCLUSIVE')
        return true
      } catch (error) {
        if (error instanceof Sqlite.SqliteError && error.code === 'SQLITE_BUSY') return false
        throw error
      }
    })
    return performance.now() - clock
  } finally {
    side.close()
  }
}

describe('fault 23: a run that does not end', () => {
  it('is cancelled: killed, rolled back, and told so to all who ask', async () => {
    const server = await startServer({ files: FILES })
    await server.post('/migrate?target=0')
    const before = contentOf(server.database)
    const waiting = server.post('/migrate')
    const id = await begun(server)
    const cancelled = cancel(server, id)
    const took = await untilFree(server.database)
    console.log(`the run lock was free ${took.toFixed(0)} ms after DELETE /runs/{id}`)
    expect(await cancelled).toMatchObject({ status: 202, body: { id, status: 'running' } })

    const answer = await waiting
    expect(answer).toMatchObject({ status: 409, body: { code: 'cancelled', retryable: false } })
    expect(answer.body.run).toMatchObject({ id, status: 'cancelled', to: 0, steps: [{ id: 1, status: 'failed' }] })
    expect(answer.body.run?.error).toMatchObject({ code: 'cancelled', file: '0001_never.up.sql' })
    expect((await server.get(`/runs/${id}`)).body).toEqual(answer.body.run)
    expect(query(server.database, 'SELECT status FROM migration_runs ORDER BY id DESC LIMIT 1')).toEqual([
      { status: 'cancelled' },
    ])
    expect(contentOf(server.database)).toEqual(before)
    expect(await cancel(server, id)).toMatchObject({ status: 409, body: { code: 'run-ended', retryable: false } })
    expect((await server.post('/migrate?target=0')).body).toMatchObject({ status: 'succeeded', steps: [] })
  })

  it('and waits in the queue is dropped, without having done anything', async () => {
    const server = await startServer({ files: FILES })
    const running = server.post('/migrate')
    const id = await begun(server)
    const queued = server.post('/migrate?wait=60')
    await until(async () => (await server.get('/runs')).text.includes('"queued"'))
    const { body } = await server.get('/runs')
    const next = (body as unknown as { runs: Run[] }).runs.find(({ status }) => status === 'queued')?.id ?? ''
    expect((await cancel(server, next)).status).toBe(202)
    expect(await queued).toMatchObject({
      status: 409,
      body: { code: 'cancelled', run: { id: next, status: 'cancelled' } },
    })
    expect((await server.get(`/runs/${next}`)).body).toMatchObject({ status: 'cancelled', steps: [] })
    expect(await cancel(server, next)).toMatchObject({ status: 409, body: { code: 'run-ended' } })
    expect((await server.get(`/runs/${id}`)).body).toMatchObject({ status: 'running' })
    await cancel(server, id)
    await running
  })

  it('ends for the first reason: a cancel that comes before RUN_TIMEOUT is a cancel', async () => {
    const server = await startServer({ files: FILES, env: { RUN_TIMEOUT: '3' } })
    const waiting = server.post('/migrate')
    const id = await begun(server)
    await cancel(server, id)
    await cancel(server, id)
    expect((await waiting).body).toMatchObject({ code: 'cancelled', run: { status: 'cancelled' } })
  })
})

describe('who may cancel', () => {
  it('a run that a migrate token began: such a token, or an admin', async () => {
    const server = await startServer({ files: FILES, env: TOKENS })
    const waiting = server.post('/migrate', { headers: as('migrate') })
    const id = await begun(server, as('read'))
    expect(await cancel(server, id)).toMatchObject({ status: 401 })
    expect(await cancel(server, id, as('read'))).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    expect((await cancel(server, id, as('migrate'))).status).toBe(202)
    expect((await waiting).body.run?.error?.message).toContain('cancelled by ci')
    await server.logged(({ msg, actor, runId }) => msg === 'run cancelled' && actor === 'ci' && runId === id)
  })

  it('a run that an admin began: an admin', async () => {
    const server = await startServer({ files: FILES, env: TOKENS })
    const waiting = server.post('/migrate', { headers: as('admin') })
    const id = await begun(server, as('read'))
    expect(await cancel(server, id, as('migrate'))).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    expect((await server.get(`/runs/${id}`, as('read'))).body).toMatchObject({ status: 'running' })
    expect((await cancel(server, id, as('admin'))).status).toBe(202)
    expect((await waiting).status).toBe(409)
  })

  it('nobody: what is not there, what runs in another server, and for a page of another site', async () => {
    const server = await startServer({ files: FILES })
    const other = await startServer({ migrations: server.migrations, database: server.database })
    expect(await cancel(server, 'nobody')).toMatchObject({ status: 404, body: { code: 'not-found' } })
    const waiting = server.post('/migrate')
    const id = await begun(server)
    expect(await cancel(other, id)).toMatchObject({ status: 409, body: { code: 'change-in-progress' } })
    const page = { origin: 'https://elsewhere.example' }
    expect(await cancel(server, id, page)).toMatchObject({ status: 403, body: { code: 'cross-site' } })
    expect((await server.get(`/runs/${id}`)).body).toMatchObject({ status: 'running' })
    await cancel(server, id)
    expect((await waiting).status).toBe(409)
  })
})

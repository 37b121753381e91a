import { describe, expect, it } from 'vitest'
import type { Run } from '../../src/core/migration.ts'
import { isLocked } from '../../src/sqlite/lock.ts'
import { busy, CATS, ENDLESS, write } from '../support/folder.ts'
import { ask, childrenOf, isAlive, query, type Server, startServer, until } from '../support/server.ts'

const FIRST = { '0000_init_db.up.sql': CATS['0000_init_db.up.sql'] ?? '' }

async function runs(server: Server, query = ''): Promise<{ runs: Run[]; next: string | null }> {
  const { body } = await server.get(`/runs${query}`)
  return body as unknown as { runs: Run[]; next: string | null }
}

describe('GET /runs', () => {
  it('lists the runs that had steps, the newest first, in pages, and after a restart too', async () => {
    const server = await startServer({ files: CATS, env: { ADMIN_TOKEN: 'ops:0123456789abcdef' } })
    const authorization = 'Bearer 0123456789abcdef'
    const post = async (path: string) =>
      (await server.post(path, { headers: { authorization } })).body as unknown as Run
    const made = [await post('/migrate?target=0'), await post('/migrate'), await post('/rollback?target=1')]
    expect(await post('/migrate?target=1')).toMatchObject({ steps: [], status: 'succeeded' })
    expect(await post('/migrate?dryRun=true')).toMatchObject({ status: 'planned' })

    const next = await startServer({ migrations: server.migrations, database: server.database })
    for (const asked of [server, next]) {
      const page = async (query: string) => (await asked.get(`/runs${query}`, { authorization })).body
      expect(await page('')).toEqual({ runs: [...made].reverse(), next: null })
      const first = await page('?limit=2')
      expect(first).toEqual({ runs: [made[2], made[1]], next: made[1]?.id })
      expect(await page(`?limit=2&before=${first.next}`)).toEqual({ runs: [made[0]], next: null })
      for (const run of made) expect((await asked.get(`/runs/${run.id}`, { authorization })).body).toEqual(run)
    }
    expect(made.map(({ actor, kind, from, to }) => [actor, kind, from, to])).toEqual([
      ['ops', 'migrate', null, 0],
      ['ops', 'migrate', 0, 2],
      ['ops', 'rollback', 2, 1],
    ])
  })

  it('tells a failed run with its error, and what is not there is 404', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_bad.up.sql': 'nonsense;' } })
    const { body } = await server.post('/migrate')
    expect((await server.get(`/runs/${body.run?.id}`)).body).toEqual(body.run)
    expect(body.run).toMatchObject({ status: 'failed', error: { code: 'migration-failed', line: 1 } })
    expect(await server.get('/runs/nobody')).toMatchObject({ status: 404, body: { code: 'not-found' } })
    const before = '01a20ad1-b98f-7153-bca5-5f571b8aa87d'
    expect((await server.get(`/runs/${before}`)).status).toBe(404)
    for (const wrong of ['limit=0', 'limit=101', 'limit=-1', 'before=x', 'after=1']) {
      expect(await server.get(`/runs?${wrong}`), wrong).toMatchObject({
        status: 400,
        body: { code: 'invalid-request' },
      })
    }
  })

  it('tells what runs and what waits, of another server what runs', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_busy.up.sql': busy(10) } })
    const other = await startServer({ migrations: server.migrations, database: server.database })
    const running = server.post('/migrate')
    await server.logged(({ msg }) => msg === '1 busy')
    const waiting = server.post('/rollback?wait=60&target=0')
    await until(async () => (await runs(server)).runs.length === 2)
    expect((await runs(server)).runs.map(({ kind, status }) => `${kind} ${status}`)).toEqual([
      'rollback queued',
      'migrate running',
    ])
    expect((await runs(server)).runs[1]?.steps.map(({ status }) => status)).toEqual(['done', 'running'])
    const [seen] = (await runs(other)).runs
    expect(seen).toMatchObject({
      status: 'running',
      kind: 'migrate',
      steps: [{ status: 'done', durationMs: expect.any(Number) }, { status: 'running' }],
    })
    expect(await other.get(`/runs/${seen?.id}`)).toMatchObject({ status: 200, body: { status: 'running' } })
    expect((await running).body).toMatchObject({ id: seen?.id, status: 'succeeded' })
    expect((await waiting).body).toMatchObject({ code: 'no-rollback' })
  })
})

describe('a run that has the database and no step yet', () => {
  // Rows enough that the backup before the first step takes a while.
  const many = `CREATE TABLE many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
    SELECT i, hex(randomblob(500)) AS x FROM n;`
  const files = { '0000_many.up.sql': many, '0001_one.up.sql': 'CREATE TABLE one (x);' }

  it('is told as what it is, since one moment, and finishes when the server is told to end', async () => {
    const server = await startServer({ files })
    await server.post('/migrate?target=0')
    const running = server.post('/migrate')
    let held: Record<string, unknown> | null = null
    await until(async () => {
      held = (await server.get('/migrations')).body.running as Record<string, unknown> | null
      return held !== null
    })
    const { id, startedAt } = held as unknown as Run
    const run = (await server.get(`/runs/${id}`)).body
    expect(run).toMatchObject({ id, status: 'running', startedAt, steps: [{ id: 1, name: 'one' }], from: 0 })
    const ended = server.stop()
    expect((await running).body).toMatchObject({ id, status: 'succeeded', startedAt, to: 1 })
    expect(await ended).toBe(0)
  })

  it('is not taken for another one that has died', async () => {
    const server = await startServer({ files: { ...files, '0002_never.up.sql': ENDLESS } })
    await server.post('/migrate?target=0')
    const lost = server.post('/migrate').catch(() => null)
    await server.logged(({ msg }) => msg === '2 never')
    const dead = (await runs(server)).runs[0]?.id
    const [one, two] = await Promise.all(
      [1, 2].map(() => startServer({ migrations: server.migrations, database: server.database })),
    )
    if (!one || !two) throw new Error('there are two')
    const children = server.children()
    await server.stop('SIGKILL')
    await lost
    await until(() => !children.some(isAlive))
    write(server.migrations, { '0002_never.up.sql': 'CREATE TABLE two (x);' })
    const next = one.post('/migrate')
    let ended = false
    void next.finally(() => {
      ended = true
    })
    // From here on it has the lock, and for a while no row.
    await until(async () => ended || (await one.get('/migrations')).body.running !== null)
    while (!ended) {
      const { running } = (await two.get('/migrations')).body
      expect((running as Run | null)?.id).not.toBe(dead)
      expect((await two.get(`/runs/${dead}`)).body.status).toBe('interrupted')
    }
    expect((await next).body).toMatchObject({ status: 'succeeded', from: 1, to: 2 })
  })
})

describe('a run whose server died', () => {
  it('fault 24: is told as interrupted by the next server, with what it had done, and is recorded so', async () => {
    const files = { ...FIRST, '0001_more.up.sql': 'CREATE TABLE more (x);', '0002_never.up.sql': ENDLESS }
    const server = await startServer({ files })
    const lost = server.post('/migrate').catch(() => 'lost')
    await server.logged(({ msg }) => msg === '2 never')
    const id = (await runs(server)).runs[0]?.id ?? ''
    const children = server.children()
    await server.stop('SIGKILL')
    expect(await lost).toBe('lost')
    await until(() => !children.some(isAlive))

    const next = await startServer({ migrations: server.migrations, database: server.database })
    const expected = {
      id,
      status: 'interrupted',
      from: null,
      to: 1,
      steps: [{ status: 'done' }, { status: 'done' }, { status: 'failed', name: 'never' }],
      durationMs: null,
      error: { code: 'shutting-down', id: 2, name: 'never', direction: 'up' },
    }
    expect((await next.get(`/runs/${id}`)).body).toMatchObject(expected)
    const recorded = () => query(server.database, 'SELECT status, to_id FROM migration_runs')
    await until(() => JSON.stringify(recorded()) === '[{"status":"interrupted","to_id":1}]')
    expect((await next.get(`/runs/${id}`)).body).toMatchObject(expected)
    expect(query(server.database, 'SELECT migration_id AS id, outcome FROM migration_log')).toEqual([
      { id: 0, outcome: 'done' },
      { id: 1, outcome: 'done' },
      { id: 2, outcome: 'failed' },
    ])
    expect((await next.post('/migrate?target=1')).body).toMatchObject({ status: 'succeeded', steps: [] })
  })

  it('is not told as interrupted by a server that has seen it, when its own is about to say how it ended', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_never.up.sql': ENDLESS } })
    const other = await startServer({ migrations: server.migrations, database: server.database })
    const posted = server.post('/migrate')
    await server.logged(({ msg }) => msg === '1 never')
    const [run] = (await runs(other)).runs
    expect(run?.status).toBe('running')
    const told = new Set<unknown>()
    const polling = (async () => {
      while (!told.has('cancelled')) told.add((await other.get(`/runs/${run?.id}`)).body.status)
    })()
    await ask(`${server.url}/runs/${run?.id}`, { method: 'DELETE' })
    expect((await posted).body.run).toMatchObject({ id: run?.id, status: 'cancelled' })
    await polling
    expect(told).not.toContain('interrupted')
  })

  it('is never told as interrupted while it is alive in another server', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_never.up.sql': ENDLESS } })
    const running = server.post('/migrate').catch(() => null)
    await server.logged(({ msg }) => msg === '1 never')
    const next = await startServer({ migrations: server.migrations, database: server.database })
    await next.get('/migrations')
    for (let times = 0; times < 20; times += 1) {
      expect((await runs(next)).runs.map(({ status }) => status)).toEqual(['running'])
    }
    expect(query(server.database, 'SELECT status FROM migration_runs')).toEqual([{ status: 'running' }])
    await server.stop('SIGKILL')
    await running
    // A process may be a zombie while threads of it still hold its files.
    await until(() => !isLocked(server.database))
    expect((await runs(next)).runs[0]?.status).toBe('interrupted')
  })

  it('had done all that it was asked for, when only its end was missing', async () => {
    const server = await startServer({ files: CATS })
    const { body } = await server.post('/migrate')
    await server.stop()
    // As if it had been killed between its last commit and its end.
    const Sqlite = (await import('better-sqlite3')).default
    const db = new Sqlite(server.database)
    db.exec(`UPDATE migration_runs SET status = 'running', finished_at = NULL, to_id = NULL`)
    db.close()
    const next = await startServer({ migrations: server.migrations, database: server.database })
    const run = (await next.get(`/runs/${body.id}`)).body
    expect(run).toMatchObject({ status: 'succeeded', error: null, to: 2 })
    await until(() => childrenOf(next.process.pid ?? 0).length > 0)
    await until(
      () => JSON.stringify(query(server.database, 'SELECT status FROM migration_runs')) === '[{"status":"succeeded"}]',
    )
  })
})

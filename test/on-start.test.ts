import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { CATS, write } from './support/folder.ts'
import { query, startServer, until } from './support/server.ts'

const env = { MIGRATE_ON_START: 'true' }

describe('MIGRATE_ON_START', () => {
  it('applies what is pending, each once though five servers start at once, and then the schema is current', async () => {
    const first = await startServer({ files: CATS, env })
    const { database, migrations } = first
    const others = await Promise.all([1, 2, 3, 4].map(() => startServer({ database, migrations, env })))
    for (const server of [first, ...others])
      await until(async () => (await server.get('/readyz?schema=current')).status === 200)
    expect(query(database, `SELECT migration_id AS id, outcome FROM migration_log ORDER BY id`)).toEqual(
      [0, 1, 2].map((id) => ({ id, outcome: 'done' })),
    )
    expect(query(database, 'SELECT actor FROM migration_runs')).toEqual([{ actor: 'migrate-on-start' }])
  })

  it.each([
    [
      'a script fails',
      { ...CATS, '0003_bad.up.sql': 'SELEC 1;' },
      'schema-pending',
      /at start has failed: 0003_bad.up.sql line 1: near "SELEC"/,
      'migration-failed',
    ],
    [
      'the directory has problems',
      { ...CATS, '0003.sql': '' },
      'invalid-migrations',
      /0003\.sql/,
      'invalid-migrations',
    ],
  ])(
    'where %s, says so to the log and to who waits for the schema, and the server stays up',
    async (_, files, reason, detail, code) => {
      const server = await startServer({ files, env })
      const line = await server.logged(({ msg }) => msg === 'the migration at start has failed')
      expect(line).toMatchObject({ level: 50, code })
      expect(await server.get('/readyz?schema=current')).toMatchObject({
        status: 503,
        body: { reason, detail: expect.stringMatching(detail) },
      })
      expect((await server.get('/readyz')).status).toBe(200)
      write(server.migrations, { '0003_bad.up.sql': 'SELECT 1;' })
      if (code === 'invalid-migrations') return
      await server.post('/migrate')
      expect((await server.get('/readyz?schema=current')).status).toBe(200)
      // What is pending later has nothing to do with it.
      write(server.migrations, { '0004_more.up.sql': 'SELECT 1;' })
      await until(async () => (await server.get('/readyz?schema=current')).status === 503)
      expect((await server.get('/readyz?schema=current')).body.detail).toBe('1 migration is pending')
    },
  )

  it('forgets its failure when another server has mended it', async () => {
    const server = await startServer({ files: { ...CATS, '0003_bad.up.sql': 'SELEC 1;' }, env })
    await server.logged(({ msg }) => msg === 'the migration at start has failed')
    const other = await startServer({ database: server.database, migrations: server.migrations })
    write(server.migrations, { '0003_bad.up.sql': 'SELECT 1;' })
    expect((await other.post('/migrate')).status).toBe(200)
    await until(async () => (await server.get('/readyz?schema=current')).status === 200)
    write(server.migrations, { '0004_more.up.sql': 'SELECT 1;' })
    await until(async () => (await server.get('/readyz?schema=current')).status === 503)
    expect((await server.get('/readyz?schema=current')).body.detail).toBe('1 migration is pending')
  })

  it('tries again where an application has the database locked', async () => {
    const server = await startServer({ files: { '0000_a.up.sql': 'CREATE TABLE a (x);' } })
    await server.post('/migrate')
    await server.stop()
    const { database, migrations } = server
    const application = new Sqlite(database)
    application.exec('BEGIN IMMEDIATE')
    write(migrations, { '0001_b.up.sql': 'CREATE TABLE b (x);' })
    const again = await startServer({ database, migrations, env: { ...env, LOCK_TIMEOUT: '0.2' } })
    await again.logged(({ msg, code }) => msg === 'the migration at start has failed' && code === 'database-locked')
    application.exec('ROLLBACK')
    application.close()
    await until(async () => (await again.get('/readyz?schema=current')).status === 200)
    expect(query(database, 'SELECT id FROM migrations')).toEqual([{ id: 0 }, { id: 1 }])
  })

  it('unset applies nothing', async () => {
    const server = await startServer({ files: CATS })
    expect(await server.get('/readyz?schema=current')).toMatchObject({
      status: 503,
      body: { reason: 'schema-pending' },
    })
  })
})

import { once } from 'node:events'
import { copyFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { CATS, write } from '../support/folder.ts'
import { contentOf, query, type Server, startServer } from '../support/server.ts'
import { checkpoint, damagePage, firstPageOf, sumOf } from './support/file.ts'

const FILES = {
  ...CATS,
  '0003_many.up.sql': `CREATE TABLE many (x);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO many SELECT randomblob(200) FROM n;
`,
}

/** Reads all of `many`. */
const NEXT = { '0004_next.up.sql': 'CREATE TABLE next AS SELECT length(x) AS length FROM many;\n' }

const env = { BACKUP_KEEP: '0' }

interface Served {
  readonly server: Server
  /** A copy of the file as it should be. */
  readonly sound: string
  /** What the file looks like with the damage. */
  readonly damaged: string
}

/** A server whose file is damaged while it serves, or before it starts. */
async function damaged(when: string, damage: (file: string) => void): Promise<Served> {
  const first = await startServer({ files: FILES, env })
  const { database, migrations } = first
  expect((await first.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 3 })
  expect((await first.get('/migrations')).body).toMatchObject({ current: 3 })
  if (when === 'before the start') await first.stop()
  checkpoint(database)
  const sound = `${database}.sound`
  copyFileSync(database, sound)
  damage(database)
  const sum = sumOf(database)
  write(migrations, NEXT)
  const server = when === 'before the start' ? await startServer({ database, migrations, env }) : first
  return { server, sound, damaged: sum }
}

/** The sound file is back, in place: all goes on with no other step. */
async function goesOn({ server, sound }: Served): Promise<void> {
  copyFileSync(sound, server.database)
  expect((await server.get('/readyz')).status).toBe(200)
  const { body } = await server.get('/migrations')
  expect(body).toMatchObject({ current: 3, pending: 1 })
  expect(body.stale).toBeUndefined()
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: 3, to: 4 })
  expect(query(server.database, 'SELECT count(*) AS n FROM next')).toEqual([{ n: 500 }])
  expect(contentOf(server.database).integrity).toBe('ok')
}

describe.each(['while the server runs', 'before the start'])('fault 30: %s', (when) => {
  it.each<[string, (file: string) => void]>([
    ['is a text', (file) => writeFileSync(file, 'a text that is longer than the head of a database: '.repeat(20))],
    ['is cut in the middle of a page', (file) => truncateSync(file, statSync(file).size - 21_000)],
    ['is cut to a whole number of pages', (file) => truncateSync(file, statSync(file).size - 5 * 4096)],
    ['has garbage in its first page', (file) => damagePage(file, 1)],
    ['has garbage in migrations', (file) => damagePage(file, firstPageOf(file, 'migrations'))],
    ['has garbage in migration_log', (file) => damagePage(file, firstPageOf(file, 'migration_log'))],
    ['has garbage in migration_runs', (file) => damagePage(file, firstPageOf(file, 'migration_runs'))],
  ])('a file that %s is unavailable and not written to, and all goes on when it is put right', async (_, damage) => {
    const served = await damaged(when, damage)
    const { server } = served
    const posted = await server.post('/migrate')
    expect([posted.status, posted.body.code]).toEqual([503, 'database-unavailable'])
    expect(posted.headers.get('retry-after')).toBe('1')
    const seen = await server.get('/migrations')
    if (when === 'before the start') expect(seen.body).toMatchObject({ status: 503, code: 'database-unavailable' })
    else expect(seen.body).toMatchObject({ stale: true, current: 3 })
    const ready = await server.get('/readyz')
    expect([ready.status, ready.body.reason]).toEqual([503, 'database-unavailable'])
    expect((await server.get('/livez')).status).toBe(200)
    expect(sumOf(server.database)).toBe(served.damaged)
    await goesOn(served)
  })

  it("garbage in an application's table fails the migration that reads it, and hinders no other", async () => {
    const served = await damaged(when, (file) => damagePage(file, firstPageOf(file, 'many')))
    const { server } = served
    const { status, body } = await server.post('/migrate')
    expect([status, body.code]).toEqual([503, 'database-unavailable'])
    expect(body.run).toMatchObject({ status: 'failed', from: 3, to: 3, steps: [{ id: 4, status: 'failed' }] })
    expect((await server.get('/migrations')).body).toMatchObject({ current: 3, pending: 1 })
    expect(query(server.database, 'SELECT name FROM cats')).toEqual([{ name: 'Tom' }])
    write(server.migrations, {
      '0004_next.up.sql': 'CREATE TABLE other (x);\n',
      '0004_undo.down.sql': 'DROP TABLE other;',
    })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: 3, to: 4 })
    expect((await server.post('/rollback')).body).toMatchObject({ status: 'succeeded', to: 3 })
    expect((await server.get('/livez')).status).toBe(200)
    write(server.migrations, NEXT)
    checkpoint(server.database)
    await goesOn(served)
  })
})

it('fault 30: an index of the WAL that is cut while it is mapped ends the process at once, and the next one goes on', async () => {
  const { process: first, ...server } = await startServer({ files: FILES, env })
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 3 })
  expect((await server.get('/migrations')).body).toMatchObject({ current: 3 })
  const ended = once(first, 'exit')
  truncateSync(`${server.database}-shm`, 0)
  write(server.migrations, NEXT)
  server.post('/migrate').catch(() => {})
  expect(await ended).toEqual([null, 'SIGBUS'])
  const { database, migrations } = server
  const next = await startServer({ database, migrations, env })
  expect((await next.post('/migrate')).status).toBe(200)
  expect((await next.get('/migrations')).body).toMatchObject({ current: 4, pending: 0, running: null })
  expect(contentOf(database).integrity).toBe('ok')
})

import { renameSync, rmSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { busy, CATS, write } from '../support/folder.ts'
import { contentOf, query, type Server, startServer } from '../support/server.ts'
import { ghostOf, makeDatabase } from './support/file.ts'

/** Another database of the same application: less of it is migrated, and it has more cats. */
const OTHER = `CREATE TABLE migrations (id INTEGER PRIMARY KEY, name TEXT NOT NULL, inserted_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
INSERT INTO migrations (id, name) VALUES (0, 'init_db');
CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO cats (name) SELECT 'cat ' || i FROM n;`

/** How the name comes to mean another file, or none. */
const CHANGES = {
  deleted: { change: (file: string) => rmSync(file), current: null, cats: 0 },
  replaced: { change: (file: string) => renameSync(`${file}.next`, file), current: 0, cats: 300 },
} as const

type Change = (typeof CHANGES)[keyof typeof CHANGES]

const each = describe.each(Object.entries(CHANGES))

/** A server that has migrated in two runs, beside whose file lies another. Without backups: they are copies of the ghost. */
async function serving(): Promise<Server> {
  const server = await startServer({ files: CATS, env: { BACKUP_KEEP: '0' } })
  expect((await server.post('/migrate?target=0')).body).toMatchObject({ status: 'succeeded', to: 0 })
  expect((await server.get('/migrations')).body).toMatchObject({ current: 0 })
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
  expect((await server.get('/migrations')).body).toMatchObject({ current: 2 })
  makeDatabase(`${server.database}.next`, OTHER)
  return server
}

/** The file that bears the name now has nothing of its ghost, and the next post goes on from there. */
async function goesOn(server: Server, { current, cats }: Change): Promise<void> {
  expect((await server.get('/migrations')).body).toMatchObject({ current, running: null })
  if (cats > 0) {
    const { rows, integrity } = contentOf(server.database)
    expect(integrity).toBe('ok')
    expect(rows.cats).toHaveLength(cats)
    expect(rows.migrations).toHaveLength(1)
  }
  write(server.migrations, { '0003_busy.up.sql': 'CREATE TABLE better (x);' })
  expect((await server.get('/readyz')).status).toBe(200)
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: current, to: 3 })
  expect(query(server.database, 'SELECT count(*) AS n FROM cats')).toEqual([{ n: cats + 1 }])
  expect(contentOf(server.database).integrity).toBe('ok')
}

each('fault 31: a file that is %s', (_, changed) => {
  it('at rest is noticed, the next post goes on with what is there now, and the ghost is not written to', async () => {
    const server = await serving()
    const ghost = ghostOf(server.database)
    const before = ghost.sum()
    changed.change(server.database)
    await goesOn(server, changed)
    expect(ghost.sum()).toBe(before)
  })

  it('in the middle of a run is noticed: the run has failed, and is not told to have ended well', async () => {
    const server = await serving()
    write(server.migrations, { '0003_busy.up.sql': `CREATE TABLE before (x);\n${busy(10)}` })
    const ghost = ghostOf(server.database)
    const posted = server.post('/migrate')
    await server.logged(({ msg }) => msg === '3 busy')
    const before = ghost.sum()
    changed.change(server.database)
    const { status, body } = await posted
    await goesOn(server, changed)
    expect(ghost.sum()).toBe(before)
    expect([status, body.code]).toEqual([503, 'database-unavailable'])
    expect(body.detail).toContain(server.database)
  })

  it('before the runner is killed is noticed when the record is read back', async () => {
    const server = await serving()
    const killed = `export function up(db) {
      console.log(process.pid)
      db.exec('CREATE TABLE before (x)')
      for (;;) db.exec('INSERT INTO before VALUES (1)')
    }`
    write(server.migrations, { '0003_busy.mjs': killed })
    const ghost = ghostOf(server.database)
    const posted = server.post('/migrate')
    const { output } = await server.logged(({ msg }) => msg === 'output of a migration')
    const before = ghost.sum()
    changed.change(server.database)
    process.kill(Number(output), 'SIGKILL')
    const { status, body } = await posted
    expect([500, 503]).toContain(status)
    expect(['runner-crashed', 'database-unavailable']).toContain(body.code)
    rmSync(`${server.migrations}/0003_busy.mjs`)
    await goesOn(server, changed)
    expect(ghost.sum()).toBe(before)
  })
})

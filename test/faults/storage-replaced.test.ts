import {
  copyFileSync,
  existsSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { holdTo, refuseGhost } from '../../src/sqlite/ghost.ts'
import { busy, CATS, ENDLESS, temporaryFolder, write } from '../support/folder.ts'
import { ask, computing, contentOf, query, type Server, startServer, startWriter, until } from '../support/server.ts'
import { sizeOf } from './support/disk.ts'
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
    expect(existsSync(server.database)).toBe(changed.current !== null)
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

describe.each([
  ['deleted', (file: string) => rmSync(file)],
  ['replaced', (file: string) => renameSync(`${file}.next`, file)],
])(
  'fault 31: of a file that is %s in the middle of a run, the backup stays, which may be all that is left:',
  (_, change) => {
    it.each([
      ['the run fails', busy(10), async () => {}],
      ['the runner is killed', ENDLESS, async (runner: number) => process.kill(runner, 'SIGKILL')],
      ['it is cancelled', ENDLESS, async (_: number, url: string) => ask(url, { method: 'DELETE' })],
    ])('%s', async (_, script, end) => {
      const server = await startServer({ files: CATS })
      await server.post('/migrate')
      makeDatabase(`${server.database}.next`, OTHER)
      write(server.migrations, { '0003_last.up.sql': script })
      const posted = server.post('/migrate')
      await server.logged(({ msg }) => msg === '3 last')
      const [{ id }] = (await server.get('/runs')).body.runs as [{ id: string }]
      const runner = await computing(server)
      change(server.database)
      const left = existsSync(server.database) ? contentOf(server.database) : null
      await end(runner, `${server.url}/runs/${id}`)
      const { run } = (await posted).body
      expect(run).toMatchObject({ id, to: null, schemaChanges: { created: [], dropped: [], altered: [] } })
      expect(existsSync(server.database) ? contentOf(server.database) : null).toEqual(left)
      const backups = (await server.get('/backups')).body.backups
      expect(backups).toMatchObject([{ name: run?.backup, current: 2 }])
      const restored = await server.post(`/backups/${run?.backup}/restore`)
      if (left === null) expect(restored.body).toMatchObject({ status: 'succeeded', to: 2 })
    })
  },
)

it('fault 31: a file that is deleted in the middle of a restore leaves the backup of what was there', async () => {
  const server = await startServer({ files: CATS, env: { LOCK_TIMEOUT: '20' } })
  await server.post('/migrate?target=1')
  const { backup } = (await server.post('/migrate')).body
  // It holds the restore up.
  const { ended } = await startWriter(server.database, 'restore', 3_000)
  const posted = server.post(`/backups/${backup}/restore`)
  await until(async () => ((await server.get('/backups')).body.backups as unknown[]).length === 2)
  const [{ id }] = (await server.get('/runs')).body.runs as [{ id: string }]
  rmSync(server.database)
  const { status, body } = await posted
  await ended
  expect([status, body.code]).toEqual([503, 'database-unavailable'])
  expect(body.detail).toContain('deleted or replaced')
  expect(body.run).toMatchObject({ id, to: null, backup: expect.stringContaining(id) })
  expect(existsSync(server.database)).toBe(false)
  expect((await server.post(`/backups/${body.run?.backup}/restore`)).body).toMatchObject({ status: 'succeeded', to: 2 })
})

it('fault 31: a link that leads elsewhere since the run began has what it led to then told and recorded', async () => {
  const files = { ...CATS, '0003_never.up.sql': ENDLESS }
  const real = await startServer({ files: CATS, env: { BACKUP_KEEP: '0' } })
  const other = await startServer({ files: CATS, env: { BACKUP_KEEP: '0' } })
  for (const one of [real, other]) await one.post('/migrate')
  const link = `${real.database}.link`
  symlinkSync(real.database, link)
  const server = await startServer({ files, database: link, env: { BACKUP_KEEP: '0' } })
  const posted = server.post('/migrate')
  await server.logged(({ msg }) => msg === '3 never')
  const before = contentOf(other.database)
  symlinkSync(other.database, `${link}.next`)
  renameSync(`${link}.next`, link)
  const { id } = (await server.get('/migrations')).body.running as { id: string }
  await ask(`${server.url}/runs/${id}`, { method: 'DELETE' })
  expect((await posted).body.run).toMatchObject({ id, status: 'cancelled', from: 2, to: 2 })
  const recorded = `SELECT status FROM migration_runs WHERE id = '${id}'`
  expect(query(real.database, recorded)).toEqual([{ status: 'cancelled' }])
  expect(query(other.database, recorded)).toEqual([])
  expect(contentOf(other.database)).toEqual(before)
})

it('fault 31: a run that is killed after its link was led elsewhere takes its backup along where it was made', async () => {
  const [real, other] = [await startServer({ files: CATS }), await startServer({ files: CATS })]
  for (const one of [real, other]) await one.post('/migrate')
  const link = `${other.database}.link`
  symlinkSync(real.database, link)
  const server = await startServer({ files: { ...CATS, '0003_never.up.sql': ENDLESS }, database: link })
  const posted = server.post('/migrate')
  const runner = await computing({ children: server.children, database: real.database })
  const backups = () => readdirSync(join(real.database, '..', 'backups'))
  expect(backups()).toHaveLength(1)
  symlinkSync(other.database, `${link}.next`)
  renameSync(`${link}.next`, link)
  process.kill(runner, 'SIGKILL')
  expect((await posted).body).toMatchObject({ code: 'runner-crashed', run: { status: 'failed', backup: null } })
  expect(backups()).toEqual([])
})

/** The first makes the file larger; the others leave its size as it is. */
const SAME_SIZE = {
  '0000_large.up.sql': 'CREATE TABLE large AS SELECT randomblob(20000) AS x;',
  '0001_one.up.sql': 'INSERT INTO large VALUES (1);',
  '0002_two.up.sql': 'INSERT INTO large VALUES (2);',
  '0003_three.up.sql': 'INSERT INTO large VALUES (3);',
}

/** Each post is believed by the next that is asked, and a file put back beside it is seen. */
async function tellsEach(server: Server, from: number): Promise<void> {
  const { size } = statSync(server.database)
  for (let id = from; id <= 3; id += 1) {
    expect((await server.post(`/migrate?target=${id}`)).body).toMatchObject({ status: 'succeeded', to: id })
    const { body } = await server.get('/migrations')
    expect([body.current, body.pending, body.stale]).toEqual([id, 3 - id, undefined])
    expect((await server.get(`/readyz?schema=${id}`)).status).toBe(200)
  }
  expect(statSync(server.database).size).toBe(size)
  write(server.migrations, { '0003_three.down.sql': 'DELETE FROM large WHERE x = 3;' })
  expect((await server.post('/rollback')).body).toMatchObject({ status: 'succeeded', to: 2 })
  expect((await server.get('/migrations')).body).toMatchObject({ current: 2 })
}

/** Leaves nothing beside it. */
function inWal(database: string): void {
  const db = new Sqlite(database)
  db.pragma('journal_mode = WAL')
  db.close()
}

/** As a backup is. */
function inDelete(database: string): void {
  const db = new Sqlite(database)
  db.pragma('journal_mode = DELETE')
  db.close()
}

function removeBeside(database: string): void {
  for (const end of ['-wal', '-shm']) rmSync(`${database}${end}`)
}

describe('fault 31: what SQLite keeps beside the file', () => {
  it('may be deleted while the server runs', async () => {
    const server = await startServer({ files: SAME_SIZE, env: { BACKUP_KEEP: '0' } })
    await server.post('/migrate?target=0')
    expect((await server.get('/migrations')).body).toMatchObject({ current: 0 })
    removeBeside(server.database)
    await tellsEach(server, 1)
  })

  it('may be deleted when the content of another is put into the file', async () => {
    const server = await startServer({ files: SAME_SIZE, env: { BACKUP_KEEP: '0' } })
    await server.post('/migrate?target=0')
    copyFileSync(server.database, `${server.database}.sound`)
    await server.post('/migrate?target=2')
    expect((await server.get('/migrations')).body).toMatchObject({ current: 2 })
    copyFileSync(`${server.database}.sound`, server.database)
    removeBeside(server.database)
    expect((await server.get('/migrations')).body).toMatchObject({ current: 0 })
    await tellsEach(server, 1)
  })

  it('is not believed when as much is copied over the file, which the application can write at once', async () => {
    const server = await startServer({ files: SAME_SIZE, env: { BACKUP_KEEP: '0' } })
    await server.post('/migrate?target=1')
    const sound = new Sqlite(server.database)
    await sound.backup(`${server.database}.sound`)
    sound.close()
    await server.post('/migrate?target=3')
    expect((await server.get('/migrations')).body).toMatchObject({ current: 3 })
    const { size } = statSync(server.database)
    inDelete(`${server.database}.sound`)
    copyFileSync(`${server.database}.sound`, server.database)
    expect(statSync(server.database).size).toBe(size)
    expect((await server.get('/migrations')).body).toMatchObject({ current: 1, pending: 2 })
    const application = new Sqlite(server.database, { timeout: 0 })
    application.exec('INSERT INTO large VALUES (7)')
    application.close()
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: 1, to: 3 })
    expect(contentOf(server.database).integrity).toBe('ok')
  })

  it('is what a run is planned on that has waited meanwhile for the run of another server', async () => {
    const other = await startServer({
      files: { ...SAME_SIZE, '0004_never.up.sql': ENDLESS },
      env: { BACKUP_KEEP: '0' },
    })
    const server = await startServer({ files: SAME_SIZE, database: other.database, env: { BACKUP_KEEP: '0' } })
    await server.post('/migrate?target=1')
    inWal(server.database)
    copyFileSync(server.database, `${server.database}.sound`)
    await server.post('/migrate')
    const endless = other.post('/migrate')
    const runner = await computing(other)
    const waiting = server.post('/migrate?wait=100&target=2')
    await until(async () => (await server.get('/runs')).text.includes('"queued"'))
    expect((await server.get('/migrations')).body).toMatchObject({ current: 3 })
    copyFileSync(`${server.database}.sound`, server.database)
    process.kill(runner, 'SIGKILL')
    expect(await waiting).toMatchObject({ status: 200, body: { status: 'succeeded', from: 1, to: 2 } })
    expect((await endless).status).toBe(500)
    expect((await server.get('/migrations')).body).toMatchObject({ current: 2, pending: 1 })
  })

  it('is missed by a run from which it was deleted, which fails, and nothing that was told is lost', async () => {
    const server = await startServer({
      files: { ...SAME_SIZE, '0004_busy.up.sql': busy(8) },
      env: { BACKUP_KEEP: '0' },
    })
    await server.post('/migrate?target=3')
    const posted = server.post('/migrate')
    await server.logged(({ msg }) => msg === '4 busy')
    removeBeside(server.database)
    const { status, body } = await posted
    expect([status, body.code]).toEqual([503, 'database-unavailable'])
    expect((await server.get('/migrations')).body).toMatchObject({ current: 3, pending: 1 })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: 3, to: 4 })
    expect((await server.get('/migrations')).body).toMatchObject({ current: 4 })
    expect(contentOf(server.database).integrity).toBe('ok')
  })

  it('is missed by a run from which it was deleted before its first commit', () => {
    const database = join(temporaryFolder(), 'app.db')
    const application = new Sqlite(database)
    application.pragma('journal_mode = WAL')
    application.exec('CREATE TABLE cats (x)')
    const db = new Sqlite(database)
    db.pragma('journal_mode = WAL')
    holdTo(db)
    removeBeside(database)
    expect(() => refuseGhost(db)).toThrow(/deleted or replaced/)
    db.close()
    application.close()
  })

  it('is named where it is no lock, and may be removed', async () => {
    const server = await startServer({ files: CATS })
    writeFileSync(`${server.database}.lock`, '1234\n'.repeat(100))
    const { status, body } = await server.post('/migrate')
    expect([status, body.code]).toEqual([503, 'database-unavailable'])
    expect(body.detail).toContain(`${server.database}.lock`)
    rmSync(`${server.database}.lock`)
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
  })

  it('holds nothing of a run that was killed', async () => {
    const many = `CREATE TABLE many (x);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO many SELECT randomblob(4000) FROM n;
`
    const server = await startServer({
      files: { ...CATS, '0003_many.up.sql': many + ENDLESS },
      env: { RUN_TIMEOUT: '5' },
    })
    const posted = server.post('/migrate')
    await until(() => sizeOf(`${server.database}-wal`) > 1e7)
    // Who reads keeps the WAL from going with the last connection.
    expect((await server.get('/migrations')).body).toMatchObject({ current: 2 })
    expect((await posted).body.run).toMatchObject({ status: 'timed-out', to: 2 })
    expect(sizeOf(`${server.database}-wal`)).toBe(0)
  })

  it('serves the file that takes the name too: what others commit there, who come and go, is told at once', async () => {
    const { database, ...server } = await serving()
    inWal(`${database}.next`)
    renameSync(`${database}.next`, database)
    expect((await server.get('/migrations')).body).toMatchObject({ current: 0 })
    for (let round = 0; round < 4; round += 1) {
      const other = new Sqlite(database)
      other.exec(
        round % 2 === 0 ? `INSERT INTO migrations (id, name) VALUES (1, 'x')` : 'DELETE FROM migrations WHERE id = 1',
      )
      other.pragma('wal_checkpoint(TRUNCATE)')
      other.close()
      expect(query(database, 'SELECT max(id) AS id FROM migrations')).toEqual([{ id: round % 2 === 0 ? 1 : 0 }])
      const { body } = await server.get('/migrations')
      expect([body.current, body.stale], `round ${round}`).toEqual([round % 2 === 0 ? 1 : 0, undefined])
    }
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
    expect(contentOf(database).integrity).toBe('ok')
  })
})

import {
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import type { Backup, Run } from '../../src/core/migration.ts'
import { CATS, temporaryFolder, write } from '../support/folder.ts'
import { ask, contentOf, query, type Server, startServer, startWriter } from '../support/server.ts'

async function migrate(server: Server, query = ''): Promise<Run> {
  const { status, body } = await server.post(`/migrate${query}`)
  expect(status).toBe(200)
  return body as unknown as Run
}

function restore(server: Server, name: string | null, query = '') {
  return server.post(`/backups/${encodeURIComponent(name ?? '')}/restore${query}`)
}

function folderOf({ database }: Server): string {
  return join(database, '..', 'backups')
}

describe('a restore', () => {
  it('of a backup that there is not makes no file, not even the lock', async () => {
    const server = await startServer({ files: CATS })
    const { status, body } = await restore(server, 'none.db')
    expect([status, body.code]).toEqual([404, 'not-found'])
    expect(readdirSync(join(server.database, '..')).filter((name) => name.startsWith('app.db'))).toEqual([])
  })

  it('that cannot be is refused at once also where it is not waited for', async () => {
    const server = await startServer({ files: CATS })
    await migrate(server, '?target=1')
    const { backup } = await migrate(server)
    const init = { headers: { prefer: 'respond-async' } }
    for (const name of ['none', 'n'.repeat(300)]) {
      const unknown = await server.post(`/backups/${name}.db/restore`, init)
      expect([unknown.status, unknown.body.code]).toEqual([404, 'not-found'])
    }
    const moved = await server.post(`/backups/${backup}/restore?from=7`, init)
    expect([moved.status, moved.body.code]).toEqual([412, 'precondition-failed'])
    expect((await server.get('/runs')).body.runs).toHaveLength(2)
  })

  it('puts the backup in the place of the database, under connections that are open, and tells what is lost', async () => {
    const server = await startServer({ files: CATS })
    await migrate(server, '?target=1')
    const application = new Sqlite(server.database)
    application.exec(`INSERT INTO cats (name) VALUES ('Kit'), ('Mia')`)
    const before = contentOf(server.database)
    const run = await migrate(server)
    application.exec(`INSERT INTO cats (name) VALUES ('late'); UPDATE cats SET name = 'Kat' WHERE name = 'Kit'`)
    application.exec('CREATE TABLE later (x)')

    const { status, body } = await restore(server, run.backup, '?from=2')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      kind: 'restore',
      status: 'succeeded',
      from: 2,
      to: 1,
      steps: [],
      schemaChanges: { created: [], dropped: ['table later'], altered: [] },
      rowCounts: [
        // Tom of migration 2, the late one and the renamed one.
        { table: 'cats', before: 4, after: 2, lost: 3 },
        { table: 'later', before: 0, after: null, lost: 0 },
      ],
    })
    expect(statSync(`${server.database}-wal`).size).toBe(0)
    expect(contentOf(server.database)).toEqual(before)
    expect(application.prepare('SELECT name FROM cats').pluck().all()).toEqual(['Kit', 'Mia'])
    application.exec(`INSERT INTO cats (name) VALUES ('Ben')`)
    application.close()
    // The way back is open too.
    expect((await restore(server, String(body.backup))).body).toMatchObject({ from: 1, to: 2 })
    expect(query(server.database, 'SELECT name FROM cats ORDER BY id')).toMatchObject([
      { name: 'Kat' },
      { name: 'Mia' },
      { name: 'Tom' },
      { name: 'late' },
    ])
  })

  it('carries over the log and the runs made since, its own too', async () => {
    const server = await startServer({ files: CATS })
    const made = [await migrate(server, '?target=1')]
    made.push(await migrate(server))
    const backup = made[1]?.backup ?? null
    made.push((await server.post('/rollback?target=0')).body as unknown as Run)
    // Migration 1 is another one now than in the backup.
    write(server.migrations, { '0001_add_age.up.sql': 'ALTER TABLE cats ADD COLUMN age INTEGER DEFAULT 0;\n' })
    made.push(await migrate(server, '?target=1'))
    made.push((await restore(server, backup)).body as unknown as Run)
    const kinds = ((await server.get('/runs')).body.runs as Run[]).map(({ id, kind }) => [id, kind])
    expect(kinds).toEqual(made.map(({ id, kind }) => [id, kind]).reverse())
    expect((await server.get(`/runs/${made[4]?.id}`)).body).toEqual(made[4])
    const log = query(
      server.database,
      `SELECT run_id AS run, migration_id AS id, direction FROM migration_log WHERE outcome = 'done' ORDER BY migration_log.id`,
    )
    const steps = made.flatMap(({ id: run, steps }) => steps.map(({ id, direction }) => ({ run, id, direction })))
    expect(log).toEqual(steps)
    // What is applied is what was applied then, and not what has the same number since.
    expect((await server.get('/migrations')).body).toMatchObject({
      state: 'changed',
      migrations: [{ state: 'applied' }, { state: 'changed', appliedAt: expect.any(String) }, { state: 'pending' }],
    })
    write(server.migrations, CATS)
    expect(await migrate(server)).toMatchObject({ steps: [{ id: 2 }], to: 2 })
  })

  it('into a database that is gone brings it back, its log and runs too', async () => {
    const server = await startServer({ files: CATS })
    await migrate(server, '?target=1')
    const { backup } = await migrate(server)
    await server.stop()
    const saved = join(folderOf(server), backup ?? '')
    const next = await startServer({ files: CATS, env: { BACKUP_DIR: folderOf(server) } })
    const before = contentOf(saved)
    expect((await restore(next, backup)).body).toMatchObject({ status: 'succeeded', from: null, to: 1, backup: null })
    expect(contentOf(next.database)).toEqual(before)
    expect((await next.get('/runs')).body.runs).toHaveLength(2)
    expect(await migrate(next)).toMatchObject({ to: 2 })
  })

  it('brings a database that is gone back in the page size and the encoding that it had', async () => {
    const database = join(temporaryFolder(), 'app.db')
    make(database, `PRAGMA page_size = 8192; PRAGMA encoding = 'UTF-16le'; CREATE TABLE notes (x)`)
    const server = await startServer({ files: CATS, database })
    await migrate(server, '?target=1')
    const { backup } = await migrate(server)
    await server.stop()
    for (const end of ['', '-wal', '-shm']) rmSync(`${database}${end}`, { force: true })
    const next = await startServer({ migrations: server.migrations, database })
    expect((await restore(next, backup)).body).toMatchObject({ status: 'succeeded', from: null, to: 1 })
    expect(query(database, 'SELECT page_size, encoding FROM pragma_page_size, pragma_encoding')).toEqual([
      { page_size: 8192, encoding: 'UTF-16le' },
    ])
    expect(contentOf(database)).toEqual(contentOf(join(folderOf(next), backup ?? '')))
    expect(await migrate(next)).toMatchObject({ to: 2 })
  })

  it('does nothing that a trigger on our tables in the backup would do, and leaves it there', async () => {
    const server = await startServer({ files: CATS })
    await migrate(server)
    const saved = join(folderOf(server), 'saved.db')
    mkdirSync(folderOf(server))
    await new Sqlite(server.database, { readonly: true }).backup(saved)
    make(saved, 'CREATE TRIGGER t AFTER INSERT ON migration_log BEGIN DELETE FROM cats; END')
    await server.post('/rollback')
    expect((await restore(server, 'saved.db')).body).toMatchObject({ status: 'succeeded', to: 2 })
    expect(query(server.database, 'SELECT name FROM cats')).toEqual([{ name: 'Tom' }])
    expect(query(server.database, `SELECT name FROM sqlite_schema WHERE type = 'trigger'`)).toEqual([{ name: 't' }])
  })

  it('of a copy in WAL mode leaves nothing beside it', async () => {
    const server = await startServer({ files: CATS })
    await migrate(server)
    const saved = join(folderOf(server), 'saved.db')
    mkdirSync(folderOf(server))
    await new Sqlite(server.database, { readonly: true }).backup(saved)
    make(saved, 'PRAGMA journal_mode = WAL')
    await server.post('/rollback')
    expect((await restore(server, 'saved.db')).body).toMatchObject({ status: 'succeeded', to: 2 })
    expect(readdirSync(folderOf(server)).filter((name) => name.startsWith('saved'))).toEqual(['saved.db'])
  })

  it('counts as lost what only a collation of the table calls alike, and each of rows that are alike', async () => {
    const server = await startServer({
      files: { ...CATS, '0003_names.up.sql': 'CREATE TABLE names (name TEXT COLLATE NOCASE);' },
    })
    await migrate(server)
    const application = new Sqlite(server.database)
    application.exec(`INSERT INTO names VALUES ('tom'), ('mia')`)
    application.exec(`CREATE TABLE twins (x); INSERT INTO twins VALUES (1), (2), (2)`)
    write(server.migrations, { '0004_more.up.sql': 'CREATE TABLE more (x);' })
    const { backup } = await migrate(server)
    application.exec(`UPDATE names SET name = 'Tom' WHERE name = 'tom'`)
    application.exec('DELETE FROM twins; INSERT INTO twins VALUES (1), (1), (2)')
    application.close()
    const { body } = await restore(server, backup)
    expect(body.rowCounts).toContainEqual({ table: 'names', before: 2, after: 2, lost: 1 })
    expect(body.rowCounts).toContainEqual({ table: 'twins', before: 3, after: 3, lost: 1 })
  })

  it('works though the directory has problems, and not while another change is wanted', async () => {
    const server = await startServer({ files: CATS })
    await migrate(server, '?target=1')
    const { backup } = await migrate(server)
    write(server.migrations, { 'typo.sql': 'SELECT 1;' })
    expect((await server.post('/migrate')).status).toBe(422)
    expect(await restore(server, backup, '?from=0')).toMatchObject({ status: 412 })
    expect((await restore(server, backup)).status).toBe(200)
  })

  it('waits for the application that holds the write lock, and after LOCK_TIMEOUT says so', async () => {
    const server = await startServer({ files: CATS, env: { LOCK_TIMEOUT: '1' } })
    await migrate(server, '?target=1')
    const { backup } = await migrate(server)
    const application = new Sqlite(server.database)
    application.exec('BEGIN IMMEDIATE')
    const before = contentOf(server.database)
    expect(await restore(server, backup)).toMatchObject({ status: 503, body: { code: 'database-locked' } })
    application.exec('ROLLBACK')
    expect(contentOf(server.database)).toEqual(before)
    expect((await restore(server, backup)).status).toBe(200)
    application.close()
  })
})

it('an application that writes meanwhile loses nothing: the restore is refused until it stops', async () => {
  const server = await startServer({ files: CATS })
  await migrate(server, '?target=1')
  const application = new Sqlite(server.database)
  const put = application.prepare('INSERT INTO cats (name) VALUES (?)')
  application.transaction(() => {
    for (let n = 0; n < 5_000; n += 1) put.run('x'.repeat(800))
  })()
  const { backup } = await migrate(server)
  let written = 0
  const writing = setInterval(() => {
    put.run('acknowledged')
    written += 1
  }, 5)
  const refused = await restore(server, backup)
  clearInterval(writing)
  expect(refused).toMatchObject({ status: 503, body: { code: 'database-locked', run: { status: 'failed', to: 2 } } })
  expect(written).toBeGreaterThan(0)
  const kept = `SELECT count(*) AS rows FROM cats WHERE name = 'acknowledged'`
  expect(query(server.database, kept)).toEqual([{ rows: written }])
  expect((await restore(server, backup)).status).toBe(200)
  application.close()
})

it('an application that takes the write lock meanwhile loses nothing: its row is there, or the restore came before it', async () => {
  const server = await startServer({ files: CATS })
  await migrate(server, '?target=1')
  const application = new Sqlite(server.database)
  const put = application.prepare('INSERT INTO cats (name) VALUES (?)')
  // Rows enough that it takes a while between the backup and the change itself.
  application.transaction(() => {
    for (let n = 0; n < 5_000; n += 1) put.run('x'.repeat(800))
  })()
  application.close()
  const { backup } = await migrate(server)
  const { ended } = await startWriter(server.database, 'restore', 500)
  const { status, body } = await restore(server, backup)
  expect(await ended).toEqual([0, null])
  expect([200, 503], JSON.stringify(body)).toContain(status)
  expect(query(server.database, `SELECT name FROM cats WHERE name = 'acknowledged'`)).toHaveLength(1)
  expect(contentOf(server.database).integrity).toBe('ok')
})

describe('what is no backup of this database is refused, and nothing is touched', () => {
  it.each([
    ['no database', 400, (path: string) => writeFileSync(path, 'this is no database, only some text\n'.repeat(100))],
    ['an empty file', 400, (path: string) => writeFileSync(path, '')],
    ['of another application', 400, (path: string) => make(path, 'PRAGMA application_id = 42; CREATE TABLE notes (x)')],
    ['without a history', 400, (path: string) => make(path, 'CREATE TABLE notes (x)')],
    ['of another tool', 409, (path: string) => make(path, 'CREATE TABLE migrations (version, dirty)')],
    ['of another encoding', 400, (path: string) => make(path, "PRAGMA encoding = 'UTF-16be'; CREATE TABLE notes (x)")],
    ['of another page size', 400, (path: string) => make(path, 'PRAGMA page_size = 8192; CREATE TABLE notes (x)')],
    ['a link', 404, (path: string) => symlinkSync('/etc/hostname', path)],
  ])('%s', async (_, status, put) => {
    const server = await startServer({ files: CATS })
    await migrate(server, '?target=1')
    await migrate(server)
    put(join(folderOf(server), 'other.db'))
    const before = contentOf(server.database)
    const backups = ((await server.get('/backups')).body.backups as Backup[]).length
    const answer = await restore(server, 'other.db')
    expect(answer.status).toBe(status)
    expect(answer.body).toMatchObject({ retryable: false, detail: expect.stringContaining('other.db') })
    expect(contentOf(server.database)).toEqual(before)
    expect((await server.get('/backups')).body.backups).toHaveLength(backups)
    expect((await server.get('/runs')).body.runs).toHaveLength(2)
  })

  it('one of another database that schemad serves', async () => {
    const [server, other] = [await startServer({ files: CATS }), await startServer({ files: CATS })]
    await migrate(other, '?target=1')
    const { backup } = await migrate(other)
    await migrate(server)
    mkdirSync(folderOf(server))
    copyFileSync(join(folderOf(other), backup ?? ''), join(folderOf(server), backup ?? ''))
    const before = contentOf(server.database)
    expect(await restore(server, backup)).toMatchObject({
      status: 400,
      body: { detail: expect.stringContaining('history of another database') },
    })
    expect(contentOf(server.database)).toEqual(before)
    // Where there is nothing yet, it may be.
    await server.stop()
    for (const end of ['', '-wal', '-shm']) rmSync(`${server.database}${end}`, { force: true })
    const next = await startServer({ migrations: server.migrations, database: server.database })
    expect((await restore(next, backup)).body).toMatchObject({ status: 'succeeded', to: 1 })
  })

  it.each<[string, (path: string) => void]>([
    ['the last part cut off', (path) => truncateSync(path, statSync(path).size - 100)],
    ['an index that has not what its table has', (path) => breakIndex(path)],
  ])('a damaged one, with %s', async (_, damage) => {
    const server = await startServer({
      files: { ...CATS, '0003_index.up.sql': 'CREATE INDEX cats_name ON cats (name);\n' },
    })
    await migrate(server)
    const application = new Sqlite(server.database)
    const put = application.prepare('INSERT INTO cats (name) VALUES (?)')
    for (let n = 0; n < 500; n += 1) put.run(`cat ${n}`)
    application.close()
    write(server.migrations, { '0004_more.up.sql': 'CREATE TABLE more (x);' })
    const { backup } = await migrate(server)
    damage(join(folderOf(server), backup ?? ''))
    const before = contentOf(server.database)
    expect(await restore(server, backup)).toMatchObject({
      status: 400,
      body: { detail: expect.stringContaining('damaged') },
    })
    expect(contentOf(server.database)).toEqual(before)
  })

  it('a damaged one', async () => {
    const server = await startServer({ files: CATS })
    await migrate(server, '?target=1')
    const application = new Sqlite(server.database)
    const put = application.prepare('INSERT INTO cats (name) VALUES (?)')
    for (let n = 0; n < 500; n += 1) put.run('x'.repeat(200))
    application.close()
    const { backup } = await migrate(server)
    const path = join(folderOf(server), backup ?? '')
    const { open } = await import('node:fs/promises')
    const file = await open(path, 'r+')
    await file.write(Buffer.alloc(4096, 0xff), 0, 4096, 4096 * 5)
    await file.close()
    const before = contentOf(server.database)
    expect(await restore(server, backup)).toMatchObject({
      status: 400,
      body: { detail: expect.stringContaining('damaged') },
    })
    expect(contentOf(server.database)).toEqual(before)
  })

  it.each(['..', '..%2fapp.db', '%2e%2e%2fapp.db', '..%5capp.db', '.app.db', 'nothing.db', 'x%00.db', 'app.db-wal'])(
    'the name %s',
    async (name) => {
      const server = await startServer({ files: CATS })
      await migrate(server)
      copyFileSync(server.database, join(server.database, '..', '.app.db'))
      linkSync(server.database, join(server.database, '..', 'nothing'))
      const before = contentOf(server.database)
      const { status, body } = await ask(`${server.url}/backups/${name}/restore`, { method: 'POST' })
      expect([400, 404]).toContain(status)
      expect(body).toMatchObject({ status, retryable: false })
      expect(contentOf(server.database)).toEqual(before)
    },
  )
})

/** Leaves the index of the names as it was when another name is written into its table. */
function breakIndex(path: string): void {
  const bytes = readFileSync(path)
  const at = bytes.lastIndexOf('cat 7')
  bytes.write('dog', at)
  writeFileSync(path, bytes)
}

function make(path: string, sql: string): void {
  const db = new Sqlite(path)
  db.exec(sql)
  db.close()
}

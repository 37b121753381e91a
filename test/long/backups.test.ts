import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import type { Backup, Run } from '../../src/core/migration.ts'
import { busy, CATS, ENDLESS, temporaryFolder, write } from '../support/folder.ts'
import { ask, contentOf, query, type Server, startServer, until } from '../support/server.ts'

async function backupsOf(server: Server): Promise<Backup[]> {
  return (await server.get('/backups')).body.backups as Backup[]
}

function folderOf({ database }: Server): string {
  return join(database, '..', 'backups')
}

function names(server: Server): string[] {
  return existsSync(folderOf(server)) ? readdirSync(folderOf(server)).sort() : []
}

async function migrate(server: Server, query = ''): Promise<Run> {
  return (await server.post(`/migrate${query}`)).body as unknown as Run
}

describe('a backup', () => {
  it('is made before each run that has steps: whole, one file, and what the database was', async () => {
    const server = await startServer({ files: CATS })
    const first = await migrate(server, '?target=0')
    expect(first.backup).toBe(null)
    expect(names(server)).toEqual([])
    const before = contentOf(server.database)
    const run = await migrate(server)
    expect(run.backup).toMatch(/^app\.db-[0-9a-f]{8}-\d{8}T\d{9}Z-0-[0-9a-f-]{36}\.db$/)
    expect(names(server)).toEqual([run.backup])
    expect(await backupsOf(server)).toEqual([
      {
        name: run.backup,
        createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        bytes: statSync(join(folderOf(server), run.backup ?? '')).size,
        current: 0,
        runId: run.id,
      },
    ])
    expect(contentOf(join(folderOf(server), run.backup ?? ''))).toEqual(before)
    // Reading it has left nothing beside it: it is in no journal mode that needs more files.
    expect(names(server)).toEqual([run.backup])
    expect((await server.get(`/runs/${run.id}`)).body.backup).toBe(run.backup)
    expect(await migrate(server)).toMatchObject({ steps: [], backup: null })
    await server.post('/migrate?dryRun=true')
    await server.post('/rollback?rehearse=true')
    expect(names(server)).toHaveLength(1)
  })

  it('is kept BACKUP_KEEP times, the newest; 0 makes none', async () => {
    const server = await startServer({ files: CATS, env: { BACKUP_KEEP: '2' } })
    const made: (string | null)[] = []
    for (const target of [0, 1, 2]) made.push((await migrate(server, `?target=${target}`)).backup)
    for (const target of [1, 0])
      made.push(((await server.post(`/rollback?target=${target}`)).body as unknown as Run).backup)
    expect(names(server)).toEqual(made.slice(-2).sort())
    expect((await backupsOf(server)).map(({ current }) => current)).toEqual([1, 2])

    const none = await startServer({ files: CATS, env: { BACKUP_KEEP: '0' } })
    await migrate(none, '?target=0')
    expect((await migrate(none)).backup).toBe(null)
    expect(names(none)).toEqual([])
  })

  it('fault 35: of a run that changed nothing is deleted: failing runs do not push out the good ones', async () => {
    const server = await startServer({ files: CATS, env: { BACKUP_KEEP: '3' } })
    for (const target of [0, 1, 2]) await migrate(server, `?target=${target}`)
    const good = names(server)
    expect(good).toHaveLength(2)
    write(server.migrations, { '0003_bad.up.sql': 'CREATE TABLE dogs (name);\nnonsense;\n' })
    for (let times = 0; times < 5; times += 1) expect(await server.post('/migrate')).toMatchObject({ status: 422 })
    expect(names(server)).toEqual(good)
    write(server.migrations, { '0003_bad.up.sql': ENDLESS })
    for (let times = 1; times <= 2; times += 1) {
      const running = server.post('/migrate')
      await until(() => server.log.filter(({ msg, status }) => msg === '3 bad' && !status).length === 5 + times)
      expect(names(server)).toHaveLength(3)
      const [run] = (await server.get('/runs')).body.runs as Run[]
      await ask(`${server.url}/runs/${run?.id}`, { method: 'DELETE' })
      expect((await running).body.run?.backup).toBe(null)
    }
    expect(names(server)).toEqual(good)
  })

  it('of a run that died with its server goes when the record is completed', async () => {
    const server = await startServer({ files: CATS })
    await migrate(server)
    write(server.migrations, { '0003_never.up.sql': ENDLESS })
    const lost = server.post('/migrate').catch(() => null)
    await server.logged(({ msg }) => msg === '3 never')
    expect(names(server)).toHaveLength(1)
    await server.stop('SIGKILL')
    await lost
    const own = /^app\.db-[0-9a-f]{8}/.exec(names(server)[0] ?? '')?.[0]
    const half = `.${own}-20260101T000000000Z-none-01a20ad1-b98f-7153-bca5-5f571b8aa87d.db`
    const { ino } = statSync(server.database)
    writeFileSync(join(folderOf(server), `${half}.${ino}.tmp`), 'half')
    // Of a database of the same path in another container.
    const others = `${half}.${ino + 1}.tmp`
    const old = `${half}.${ino + 2}.tmp`
    for (const name of [others, old, 'own.db']) writeFileSync(join(folderOf(server), name), 'not ours to delete')
    // Nobody makes it any more: the file has been replaced since.
    utimesSync(join(folderOf(server), old), 0, 0)
    const next = await startServer({ migrations: server.migrations, database: server.database })
    await until(() => names(next).join() === `${others},own.db`)
  })

  it('of a run that died after its first step stays, and no other goes, though BACKUP_KEEP is 0 by then', async () => {
    const server = await startServer({ files: CATS })
    for (const target of [0, 1, 2]) await migrate(server, `?target=${target}`)
    write(server.migrations, { '0003_more.up.sql': 'CREATE TABLE more (x);', '0004_never.up.sql': ENDLESS })
    const lost = server.post('/migrate').catch(() => null)
    await server.logged(({ msg }) => msg === '4 never')
    const kept = names(server)
    expect(kept).toHaveLength(3)
    await server.stop('SIGKILL')
    await lost
    const next = await startServer({
      migrations: server.migrations,
      database: server.database,
      env: { BACKUP_KEEP: '0' },
    })
    const status = () => query(next.database, `SELECT status FROM migration_runs ORDER BY id DESC LIMIT 1`)
    await until(() => JSON.stringify(status()) === '[{"status":"interrupted"}]')
    expect(names(next)).toEqual(kept)
    // What its backup says was there before tells what it has changed.
    const [run] = (await next.get('/runs')).body.runs as Run[]
    expect(run).toMatchObject({ to: 3, backup: kept.at(-1), schemaChanges: { created: ['table more'], dropped: [] } })
  })

  it('of a run that died counts: there are never more than BACKUP_KEEP, however often a server crashes', async () => {
    const env = { BACKUP_KEEP: '2' }
    const first = await startServer({ files: { '0000_t.up.sql': 'CREATE TABLE t0 (x);' }, env })
    await migrate(first)
    await first.stop()
    const { migrations, database } = first
    for (const id of [1, 2, 3]) {
      const server = await startServer({ migrations, database, env })
      const endless = `000${id + 1}_never.up.sql`
      write(migrations, { [`000${id}_t.up.sql`]: `CREATE TABLE t${id} (x);`, [endless]: ENDLESS })
      const lost = server.post('/migrate').catch(() => null)
      await server.logged(({ msg }) => msg === `${id + 1} never`)
      await server.stop('SIGKILL')
      await lost
      rmSync(join(migrations, endless))
      const next = await startServer({ migrations, database, env })
      const status = () => query(database, 'SELECT status FROM migration_runs ORDER BY id DESC LIMIT 1')
      await until(() => JSON.stringify(status()) === '[{"status":"interrupted"}]')
      expect((await next.get('/migrations')).body.current).toBe(id)
      await until(() => names(next).length === Math.min(id, 2))
      expect(names(next).at(-1)).toBe(((await next.get('/runs')).body.runs as Run[])[0]?.backup)
      await next.stop()
    }
  })

  it('is not the one that goes though the clock was set back, and those of another database never go', async () => {
    const server = await startServer({ files: CATS, env: { BACKUP_KEEP: '1' } })
    await migrate(server, '?target=0')
    const first = await migrate(server, '?target=1')
    const later = (first.backup ?? '').replace(/-\d{8}T/, '-29990101T')
    renameSync(join(folderOf(server), first.backup ?? ''), join(folderOf(server), later))
    const foreign = later.replace(/[0-9a-f]{12}\.db$/, '5f571b8aa87d.db')
    writeFileSync(join(folderOf(server), foreign), 'of a run that this database does not know')
    const second = await migrate(server)
    expect(names(server)).toEqual([second.backup, foreign].sort())
  })

  it.each([
    ['a file', (folder: string) => writeFileSync(folder, '')],
    ['a link to nothing, as where a volume is not mounted', (folder: string) => symlinkSync(`${folder}.not`, folder)],
  ])(
    'that cannot be made below %s stops the run before anything is touched, and says how to do without',
    async (_, make) => {
      const folder = join(temporaryFolder(), 'volume')
      make(folder)
      const server = await startServer({ files: CATS, env: { BACKUP_DIR: join(folder, 'backups') } })
      await migrate(server, '?target=0')
      const before = contentOf(server.database)
      const answer = await server.post('/migrate')
      expect(answer).toMatchObject({ status: 503, body: { code: 'database-unavailable' } })
      expect(answer.body.detail).toContain(join(folder, 'backups'))
      expect(answer.body.detail).toContain('BACKUP_KEEP=0')
      expect(contentOf(server.database)).toEqual(before)
      expect((await server.get('/runs')).body.runs).toHaveLength(1)
    },
  )

  it('fault 33: ends though the application writes all the time, and holds what was there at one moment', async () => {
    const server = await startServer({ files: CATS })
    await migrate(server, '?target=0')
    const db = new Sqlite(server.database)
    db.exec('CREATE TABLE filler (x); CREATE TABLE ticks (n)')
    const fill = db.prepare('INSERT INTO filler VALUES (?)')
    db.transaction(() => {
      for (let n = 0; n < 20_000; n += 1) fill.run('x'.repeat(1_000))
    })()
    const tick = db.prepare('INSERT INTO ticks VALUES (?)')
    let written = 0
    const writing = setInterval(() => {
      written += 1
      tick.run(written)
    }, 20)
    const run = await migrate(server)
    clearInterval(writing)
    db.close()
    expect(run).toMatchObject({ status: 'succeeded', to: 2 })
    const backup = new Sqlite(join(folderOf(server), run.backup ?? ''), { readonly: true })
    const [count, last] = backup.prepare('SELECT count(*), coalesce(max(n), 0) FROM ticks').raw().get() as number[]
    expect(count).toBe(last)
    expect(backup.pragma('integrity_check', { simple: true })).toBe('ok')
    backup.close()
  })
})

it('two databases of one name share a folder without touching the backups of the other', async () => {
  const shared = temporaryFolder()
  const env = { BACKUP_DIR: shared, BACKUP_KEEP: '1' }
  const [one, other] = [await startServer({ files: CATS, env }), await startServer({ files: CATS, env })]
  for (const target of [0, 1]) await migrate(one, `?target=${target}`)
  const [kept] = await backupsOf(one)
  for (const target of [0, 1, 2]) await migrate(other, `?target=${target}`)
  expect(await backupsOf(one)).toEqual([kept])
  expect(await backupsOf(other)).toHaveLength(1)
  expect(readdirSync(shared)).toHaveLength(2)
})

it('one that has no database any more is told of no backup of another, and one that was moved of its own', async () => {
  const shared = temporaryFolder()
  const env = { BACKUP_DIR: shared }
  const one = await startServer({ files: CATS, env })
  const other = await startServer({ files: CATS, env, database: join(temporaryFolder(), 'dogs.db') })
  for (const target of [0, 1]) await migrate(one, `?target=${target}`)
  const own = await backupsOf(one)
  expect(own).toHaveLength(1)
  for (const target of [0, 1, 2]) await migrate(other, `?target=${target}`)
  writeFileSync(join(shared, 'mine.db'), 'put there by somebody')
  renameSync(one.database, `${one.database}.damaged`)
  expect((await backupsOf(one)).map(({ name }) => name).sort()).toEqual([own[0]?.name, 'mine.db'].sort())
  const moved = await startServer({ files: CATS, env, database: join(temporaryFolder(), 'moved.db') })
  expect(await backupsOf(moved)).toHaveLength(4)
})

it('a copy may be read by whoever may read the database, and by nobody else', async () => {
  const server = await startServer({ files: { ...CATS, '0003_busy.up.sql': busy(4) } })
  await migrate(server, '?target=2')
  chmodSync(server.database, 0o600)
  const modes = () =>
    readdirSync(join(server.database, '..'))
      .filter((name) => name.includes('.rehearsal') && !name.includes('.lock'))
      .map((name) => `${name} ${modeOf(join(server.database, '..', name)).toString(8)}`)
  const rehearsed = server.post('/migrate?rehearse=true')
  await server.logged(({ msg }) => msg === '3 busy')
  expect(modes()).toEqual(['', '-shm', '-wal'].map((end) => `app.db.rehearsal${end} 600`))
  await rehearsed
  const run = await migrate(server)
  expect(modeOf(join(folderOf(server), run.backup ?? ''))).toBe(0o600)
})

function modeOf(path: string): number {
  return statSync(path).mode & 0o777
}

it('a row of the record deletes nothing but the backup of its own run', async () => {
  const server = await startServer({ files: CATS })
  await migrate(server, '?target=1')
  const db = new Sqlite(server.database)
  db.exec(`INSERT INTO migration_runs (id, kind, parameters, status, actor, request_id, created_at, started_at, result)
    VALUES ('0', 'migrate', '{}', 'running', 'x', 'x', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', '{"steps":[],"backup":"../app.db"}'),
    ('1', 'migrate', 'x', 'running', 'x', 'x', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', 'x')`)
  db.close()
  expect(await migrate(server)).toMatchObject({ status: 'succeeded', to: 2 })
  expect((await server.get('/migrations')).body.current).toBe(2)
  expect((await server.get('/runs')).body.runs).toHaveLength(4)
})

it('a folder of backups that cannot be read is told', async () => {
  const server = await startServer({ files: CATS, env: { BACKUP_DIR: import.meta.filename } })
  const answers = [await server.get('/backups'), await server.post('/backups/x.db/restore')]
  for (const one of answers) expect(one).toMatchObject({ status: 503, body: { code: 'database-unavailable' } })
  expect(readFileSync(import.meta.filename, 'utf8')).toContain('a folder of backups')
})

import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { busy, CATS, type Files, temporaryFolder, write } from '../support/folder.ts'
import { contentOf, query, type Server, startServer } from '../support/server.ts'
import { disk, folderIn, NO_MOUNT, sizeOf, UNLESS_MOUNTED } from './support/disk.ts'

const PAGE = 4096
/** More than a commit of ours takes; a WAL that was not cut off would have the pages of the failed step. */
const SMALL = 64 * 1024
/** A copy of the database before a run would take room that these tests give away by the page. */
const env = { BACKUP_KEEP: '0' }

/** A table of about `kib` KiB, and an index on it. */
function table(kib: number): Files {
  return {
    '0003_big.up.sql': `CREATE TABLE big (i INTEGER PRIMARY KEY, x);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${kib}) INSERT INTO big SELECT i, randomblob(1000) FROM n;
CREATE INDEX big_x ON big (substr(x, 1, 8));
`,
  }
}

/** What the file has, `null` where there is none. */
function contentIn(file: string): ReturnType<typeof contentOf> | null {
  return sizeOf(file) === 0 ? null : contentOf(file)
}

async function goesOn(server: Server, rows: number): Promise<void> {
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 3 })
  expect(query(server.database, 'SELECT count(*) AS n FROM big')).toEqual([{ n: rows }])
  expect(query(server.database, 'SELECT id FROM migrations')).toHaveLength(4)
  expect(contentOf(server.database).integrity).toBe('ok')
  expect((await server.get('/readyz?schema=current')).status).toBe(200)
}

describe.skipIf(NO_MOUNT !== null)(`fault 27: a full disk${UNLESS_MOUNTED}`, () => {
  it('undoes the migration that fills it and has its room again; the same migration succeeds when there is more', async () => {
    const { folder, free, leave } = disk(32 * 1024)
    const server = await startServer({ files: CATS, database: join(folder, 'app.db'), env })
    expect((await server.post('/migrate')).status).toBe(200)
    write(server.migrations, table(8 * 1024))
    leave(3 << 20)
    const before = contentOf(server.database)
    const { status, body } = await server.post('/migrate')
    expect([status, body.code, body.retryable]).toEqual([507, 'insufficient-storage', false])
    expect(body.detail).toMatch(/free some space/)
    expect(body.run).toMatchObject({ status: 'failed', from: 2, to: 2, error: { id: 3, sqlite: 'SQLITE_FULL' } })
    expect(contentOf(server.database)).toEqual(before)
    expect(sizeOf(`${server.database}-wal`)).toBeLessThan(SMALL)
    expect(free()).toBeGreaterThan((3 << 20) - 2 * SMALL)
    expect((await server.get('/migrations')).body).toMatchObject({ current: 2, pending: 1, running: null })
    expect((await server.get('/readyz')).status).toBe(200)
    rmSync(join(folder, 'ballast'))
    await goesOn(server, 8 * 1024)
  })

  it.each([
    ['the first run', 'first'],
    ['a later run', 'later'],
  ])('at any write of %s: 507, nothing has happened, and the next post goes on', async (_, which) => {
    const place = disk(8 * 1024)
    const told: string[] = []
    for (let pages = 0, fitted = 0; fitted < 3; pages += 1) {
      const folder = folderIn(place.folder, `${pages}`)
      place.leave(4 << 20)
      const server = await startServer({ files: CATS, database: join(folder, 'app.db'), env })
      if (which === 'later') expect((await server.post('/migrate')).status).toBe(200)
      write(server.migrations, table(50))
      const state = (await server.get('/migrations')).body
      const before = contentIn(server.database)
      place.leave(pages * PAGE)
      const { status, body } = await server.post('/migrate?atomic=true')
      const seen = await server.get('/migrations')
      place.leave(4 << 20)
      if (status === 200) fitted += 1
      else {
        const faults = [
          status !== 507 && `${status} ${body.code}: ${body.detail}`,
          seen.status !== 200 && `GET is ${seen.status}`,
          seen.body.current !== state.current && `current is ${seen.body.current}`,
          sizeOf(`${server.database}-wal`) >= SMALL && `a WAL of ${sizeOf(`${server.database}-wal`)}`,
        ].filter(Boolean)
        if (faults.length > 0) told.push(`with ${pages} pages: ${faults.join(', ')}`)
        const after = contentIn(server.database)
        if (before !== null) expect(after).toEqual(before)
        else expect(after?.rows.migrations ?? []).toEqual([])
        expect(after?.integrity ?? 'ok').toBe('ok')
      }
      await goesOn(server, 50)
      await server.stop()
      rmSync(folder, { recursive: true })
    }
    expect(told).toEqual([])
  })

  it.each(['that has read it before', 'that starts now'])(
    'without any room left is told as that by a server %s; GET still answers, and nothing is lost',
    async (which) => {
      const { folder, leave } = disk(8 * 1024)
      const database = join(folder, 'app.db')
      let server = await startServer({ files: CATS, database, env })
      const { migrations } = server
      expect((await server.post('/migrate')).status).toBe(200)
      if (which === 'that has read it before') await server.get('/migrations')
      else await server.stop()
      write(migrations, table(50))
      leave(0)
      if (which === 'that starts now') server = await startServer({ database, migrations, env })
      const posted = await server.post('/migrate')
      expect(['insufficient-storage', 'database-unavailable']).toContain(posted.body.code)
      expect([503, 507]).toContain(posted.status)
      expect(posted.body.detail).toMatch(/space|full/)
      const seen = await server.get('/migrations')
      if (which === 'that has read it before') expect(seen.body).toMatchObject({ current: 2, pending: 1 })
      else if (seen.status === 200) expect(seen.body).toMatchObject({ current: 2 })
      else expect([503, 507]).toContain(seen.status)
      expect((await server.get('/livez')).status).toBe(200)
      leave(4 << 20)
      expect((await server.get('/migrations')).body).toMatchObject({ current: 2, pending: 1 })
      await goesOn(server, 50)
    },
  )

  it('that has no room for the backup is told before anything is touched, and leaves no half of one', async () => {
    const { folder, leave } = disk(32 * 1024)
    const server = await startServer({ files: { ...CATS, ...table(3 * 1024) }, database: join(folder, 'app.db') })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 3 })
    write(server.migrations, { '0004_more.up.sql': 'CREATE TABLE more (x);\n' })
    const kept = (await server.get('/backups')).body
    const before = contentOf(server.database)
    leave(1 << 20)
    const { status, body } = await server.post('/migrate')
    expect([status, body.code]).toEqual([507, 'insufficient-storage'])
    expect(contentOf(server.database)).toEqual(before)
    expect((await server.get('/backups')).body).toEqual(kept)
    expect(readdirSync(join(folder, 'backups'))).toHaveLength((kept.backups as unknown[]).length)
    expect((await server.get('/migrations')).body).toMatchObject({ current: 3, pending: 1, running: null })
    rmSync(join(folder, 'ballast'))
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: 3, to: 4 })
  })

  it('of backups that cannot be written any more when the run has ended decides nothing', async () => {
    const backups = disk(8 * 1024)
    const server = await startServer({
      files: { ...CATS, '0003_busy.up.sql': busy(8) },
      env: { BACKUP_DIR: backups.folder, BACKUP_KEEP: '1' },
    })
    for (const target of [0, 2]) await server.post(`/migrate?target=${target}`)
    const posted = server.post('/migrate')
    await server.logged(({ msg }) => msg === '3 busy')
    backups.remount('ro')
    const { status, body } = await posted
    expect([status, body.status, body.to]).toEqual([200, 'succeeded', 3])
    expect((await server.get(`/runs/${body.id}`)).body).toEqual(body)
    expect(readdirSync(backups.folder)).toHaveLength(2)
  })

  it('of backups alone, which may be another than that of the database, is named; what is there can be restored', async () => {
    const { folder, leave } = disk(32 * 1024)
    const server = await startServer({ files: { ...CATS, ...table(1024) }, env: { BACKUP_DIR: folder } })
    expect((await server.post('/migrate?target=2')).status).toBe(200)
    const { body: run } = await server.post('/migrate')
    expect(readdirSync(folder)).toEqual([run.backup])
    write(server.migrations, { '0004_more.up.sql': 'CREATE TABLE more (x);\n' })
    const before = contentOf(server.database)
    leave(1 << 20)
    const refused = await server.post('/migrate')
    expect(refused).toMatchObject({ status: 507, body: { code: 'insufficient-storage' } })
    expect(refused.body.detail).toContain(folder)
    expect(refused.body.detail).toContain('BACKUP_KEEP=0')
    expect((await server.post(`/backups/${run.backup}/restore`)).status).toBe(507)
    expect(contentOf(server.database)).toEqual(before)
    expect(readdirSync(folder).sort()).toEqual([run.backup, 'ballast'].sort())
    rmSync(join(folder, 'ballast'))
    expect((await server.post(`/backups/${run.backup}/restore`)).body).toMatchObject({ status: 'succeeded', to: 2 })
    expect(contentOf(server.database).integrity).toBe('ok')
  })

  it('is told of a restore that does not fit, which leaves the room as it was', async () => {
    const { folder, free, leave } = disk(48 * 1024)
    const backups = temporaryFolder()
    const server = await startServer({
      files: { ...CATS, ...table(8 * 1024) },
      database: join(folder, 'app.db'),
      env: { BACKUP_DIR: backups },
    })
    expect((await server.post('/migrate')).status).toBe(200)
    write(server.migrations, { '0004_more.up.sql': 'CREATE TABLE more (x);\n' })
    const { body: run } = await server.post('/migrate')
    const before = contentOf(server.database)
    leave(4 << 20)
    const room = free()
    const refused = await server.post(`/backups/${run.backup}/restore`)
    expect(refused).toMatchObject({ status: 507, body: { code: 'insufficient-storage' } })
    expect(refused.body.detail).toContain(folder)
    expect(free()).toBeGreaterThan(room - SMALL)
    expect(contentOf(server.database)).toEqual(before)
    expect(readdirSync(backups)).toEqual([run.backup])
    rmSync(join(folder, 'ballast'))
    expect((await server.post(`/backups/${run.backup}/restore`)).body).toMatchObject({ status: 'succeeded', to: 3 })
  })
})

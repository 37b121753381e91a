import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CATS, folderWith, write } from '../support/folder.ts'
import { contentOf, query, type Server, startServer } from '../support/server.ts'
import { disk, NO_MOUNT, readOnlyView, UNLESS_MOUNTED } from './support/disk.ts'

const MORE = { '0003_more.up.sql': 'CREATE TABLE more (x);\n' }

/** More than SQLite sorts in memory. */
const SORT = {
  '0003_sort.up.sql': `CREATE TABLE big (x);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) INSERT INTO big SELECT randomblob(400) FROM n;
CREATE INDEX big_x ON big (x);
`,
}

/** A user to whom permissions apply, as they do not to root. */
const SOMEBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']

/** Starts the server where the root, and every folder for temporary files, is read-only; what is mounted below stays as it is. */
const READ_ONLY_ROOT = [
  'unshare',
  '--mount',
  'sh',
  '-c',
  `for folder in / /tmp /var/tmp /usr/tmp; do if mountpoint -q $folder; then mount -o remount,bind,ro $folder; fi; done; exec "$@"`,
  'sh',
]

const NO_SOMEBODY = works([...SOMEBODY, process.execPath, '--version'])
const NO_NAMESPACE = works([...READ_ONLY_ROOT, 'sh', '-c', '! touch /tmp/x /var/tmp/x'])

/** Why a command does not work here; `null` where it does. */
function works([command = '', ...words]: readonly string[]): string | null {
  const { status, error, stderr } = spawnSync(command, words, { encoding: 'utf8' })
  return status === 0 ? null : (error?.message ?? stderr.split('\n')[0] ?? 'it fails')
}

const unless = (reason: string | null) => (reason === null ? '' : ` (skipped: ${reason})`)

/** It is unready and unavailable by the name of `path`, tells what it can read, and lives. */
async function isUnavailable(server: Server, path: string, current: number): Promise<void> {
  const ready = await server.get('/readyz')
  expect([ready.status, ready.body.reason]).toEqual([503, 'database-unavailable'])
  expect(ready.body.detail).toContain(path)
  const posted = await server.post('/migrate')
  expect([posted.status, posted.body.code]).toEqual([503, 'database-unavailable'])
  expect(posted.body.detail).toContain(path)
  expect(posted.headers.get('retry-after')).toBe('1')
  expect((await server.get('/migrations')).body).toMatchObject({ current })
  expect((await server.get('/livez')).status).toBe(200)
}

async function goesOn(server: Server): Promise<void> {
  expect((await server.get('/readyz')).status).toBe(200)
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: 2, to: 3 })
  expect(contentOf(server.database).integrity).toBe('ok')
}

async function migrated(database: string): Promise<Server> {
  const server = await startServer({ files: CATS, database })
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
  expect((await server.get('/migrations')).body).toMatchObject({ current: 2 })
  write(server.migrations, MORE)
  return server
}

describe.skipIf(NO_MOUNT !== null)(`fault 29: a read-only mount${UNLESS_MOUNTED}`, () => {
  it.each(['file', 'folder'])(
    'of the %s makes the server unready, the path named, until it is writable',
    async (what) => {
      const server = await migrated(join(disk(32 * 1024).folder, 'app.db'))
      const path = what === 'file' ? server.database : dirname(server.database)
      const takeAway = readOnlyView(path)
      await isUnavailable(server, path, 2)
      takeAway()
      await goesOn(server)
    },
  )

  it('is unready from the start, and tells how the migrations stand', async () => {
    const place = disk(32 * 1024)
    const first = await migrated(join(place.folder, 'app.db'))
    await first.stop()
    place.remount('ro')
    const server = await startServer({ database: first.database, migrations: first.migrations })
    await isUnavailable(server, place.folder, 2)
    place.remount('rw')
    await goesOn(server)
  })

  it('of a folder without a file is unready, and nothing is pending for ever: it goes on when it is writable', async () => {
    const place = disk(32 * 1024)
    place.remount('ro')
    const server = await startServer({ files: CATS, database: join(place.folder, 'data', 'app.db') })
    const ready = await server.get('/readyz')
    expect(ready.body).toMatchObject({ reason: 'database-unavailable', detail: expect.stringContaining(place.folder) })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 503, code: 'database-unavailable' })
    place.remount('rw')
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
  })
})

/** A server whose database has a folder of its own, which belongs to another user than the server's. */
async function somebodys(): Promise<Server> {
  const folder = join(folderWith({}), 'data')
  mkdirSync(folder)
  chmodSync(dirname(folder), 0o755)
  chmodSync(folder, 0o777)
  const migrations = folderWith(CATS)
  chmodSync(migrations, 0o755)
  const server = await startServer({ migrations, database: join(folder, 'app.db'), through: SOMEBODY })
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
  write(server.migrations, MORE)
  return server
}

describe.skipIf(NO_SOMEBODY !== null)(`fault 29: permissions that forbid to write${unless(NO_SOMEBODY)}`, () => {
  it.each(['file', 'folder'])(
    'of the %s make the server unready, the path named, until they are mended',
    async (what) => {
      const server = await somebodys()
      expect((await server.get('/migrations')).body).toMatchObject({ current: 2 })
      const path = what === 'file' ? server.database : dirname(server.database)
      chmodSync(path, what === 'file' ? 0o444 : 0o555)
      await isUnavailable(server, path, 2)
      chmodSync(path, what === 'file' ? 0o644 : 0o777)
      await goesOn(server)
    },
  )

  it.each(['file', 'folder'])(
    'of the %s are told, and can be mended, where the server had not read it before',
    async (what) => {
      const server = await somebodys()
      const path = what === 'file' ? server.database : dirname(server.database)
      chmodSync(path, what === 'file' ? 0o444 : 0o555)
      for (const answer of [await server.get('/readyz'), await server.post('/migrate')]) {
        expect(answer.status).toBe(503)
        expect(answer.body.detail).toContain(path)
      }
      const seen = await server.get('/migrations')
      if (seen.status === 200) expect(seen.body).toMatchObject({ current: 2 })
      else expect(seen.body).toMatchObject({ code: 'database-unavailable', detail: expect.stringContaining(path) })
      chmodSync(path, what === 'file' ? 0o644 : 0o777)
      await goesOn(server)
    },
  )
})

const NO_ROOT = NO_MOUNT ?? NO_NAMESPACE

describe.skipIf(NO_ROOT !== null)(
  `fault 29: a read-only root without a folder for temporary files${unless(NO_ROOT)}`,
  () => {
    it('does not hinder a sort that spills: it has room beside the database', async () => {
      const database = join(disk(128 * 1024).folder, 'app.db')
      const server = await startServer({ files: { ...CATS, ...SORT }, database, through: READ_ONLY_ROOT })
      expect((await server.get('/readyz')).status).toBe(200)
      expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 3 })
      expect(query(database, `SELECT name FROM sqlite_schema WHERE name = 'big_x'`)).toHaveLength(1)
      expect(contentOf(database).integrity).toBe('ok')
    })

    it('makes the server unready, the path named, where SQLITE_TMPDIR names a folder that cannot be written', async () => {
      const database = join(disk(128 * 1024).folder, 'app.db')
      const server = await startServer({
        files: { ...CATS, ...SORT },
        database,
        through: READ_ONLY_ROOT,
        env: { SQLITE_TMPDIR: '/nowhere/to/write' },
      })
      const posted = await server.post('/migrate')
      expect([posted.status, posted.body.code]).toEqual([503, 'database-unavailable'])
      expect(posted.body.detail).toContain('/nowhere/to/write')
      const ready = await server.get('/readyz')
      expect(ready.body).toMatchObject({ reason: 'database-unavailable', detail: expect.stringContaining('/nowhere') })
      expect((await server.get('/livez')).status).toBe(200)
    })
  },
)

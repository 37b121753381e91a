import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, it } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { contentOf, query, startServer } from '../support/server.ts'
import { NO_BACKUPS, numbered } from './support/files.ts'
import { forking, REAL_NODE, STRACE, trace, withStrace, wrapper } from './support/strace.ts'

const MIGRATIONS = 20
/** `-y` has the names of the files beside the numbers. */
const SYNCS = ['-y', '-e', 'trace=fsync,fdatasync']

it.skipIf(STRACE === null).each([
  ['new', null],
  ['in rollback-journal mode before', 'delete'],
  ['in WAL mode before', 'wal'],
])(
  withStrace('fault 26: each of twenty commits is synced before it is told, in a database that was %s'),
  async (state, mode) => {
    const database = join(temporaryFolder(), 'app.db')
    if (mode !== null) prepare(database, mode)
    const traced = trace(SYNCS)
    const env = { ...NO_BACKUPS, ...traced.environment, ...forking(wrapper()) }
    const server = await startServer({ files: numbered(MIGRATIONS), database, env })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: MIGRATIONS - 1 })
    await server.stop()
    expect(query(database, 'SELECT count(*) AS n FROM migration_log')).toEqual([{ n: MIGRATIONS }])
    const { all, wal } = syncs(traced.lines())
    console.log(`a database that was ${state}: ${MIGRATIONS} commits, ${all} syncs, ${wal} of them of the WAL`)
    // Whatever goes to the disk for other reasons does not count: a commit is in the WAL.
    expect(wal).toBeGreaterThanOrEqual(MIGRATIONS)
  },
)

it.skipIf(STRACE === null)(
  withStrace('fault 26: the count can tell: as many commits with the defaults of better-sqlite3 are not synced each'),
  () => {
    const folder = temporaryFolder()
    const out = join(folder, 'trace')
    const sqlite = createRequire(import.meta.url).resolve('better-sqlite3')
    const script = `
      const db = new (require(${JSON.stringify(sqlite)}))(${JSON.stringify(join(folder, 'app.db'))})
      db.pragma('journal_mode = WAL')
      for (let id = 0; id < ${MIGRATIONS}; id += 1) db.exec('CREATE TABLE t' + id + ' (x)')
      process.kill(process.pid, 'SIGKILL')`
    spawnSync(STRACE ?? '', ['-f', '-qq', '-o', out, ...SYNCS, REAL_NODE, '-e', script])
    expect(query(join(folder, 'app.db'), 'SELECT count(*) AS n FROM sqlite_schema')).toEqual([{ n: MIGRATIONS }])
    const { all, wal } = syncs(readFileSync(out, 'utf8').split('\n'))
    console.log(`the control: ${MIGRATIONS} commits, ${all} syncs, ${wal} of them of the WAL`)
    expect(wal).toBeLessThan(MIGRATIONS)
  },
)

it.skipIf(STRACE === null)(
  withStrace('fault 26: a backup is on the disk before it has its name, and its name before the first step is'),
  async () => {
    const database = join(temporaryFolder(), 'app.db')
    prepare(database, 'wal')
    const traced = trace(['-y', '-e', 'trace=fsync,fdatasync,rename,renameat,renameat2'])
    const server = await startServer({
      files: numbered(1),
      database,
      env: { ...traced.environment, ...forking(wrapper()) },
    })
    const { body } = await server.post('/migrate')
    expect(body.backup).toEqual(expect.any(String))
    await server.stop()
    const lines = traced.lines()
    const after = (place: number, call: RegExp) => lines.findIndex((line, at) => at > place && call.test(line))
    const copied = after(-1, /fsync\(\d+<[^>]*\/backups\/\.[^>/]*\.tmp>\) += 0/)
    expect(copied).toBeGreaterThanOrEqual(0)
    const named = after(copied, /rename\w*\(.*\.tmp".*\/backups\/app\.db-.*\) += 0/)
    expect(named).toBeGreaterThan(copied)
    const kept = after(named, /fsync\(\d+<[^>]*\/backups>\) += 0/)
    expect(kept).toBeGreaterThan(named)
    expect(after(kept, /sync\(\d+<[^>]*app\.db-wal>\) += 0/), 'the first step').toBeGreaterThan(kept)
  },
)

function prepare(database: string, mode: string): void {
  const db = new Sqlite(database)
  db.pragma(`journal_mode = ${mode}`)
  db.exec('CREATE TABLE own (x); INSERT INTO own VALUES (1)')
  db.close()
}

function syncs(lines: readonly string[]): { all: number; wal: number } {
  const calls = lines.filter((line) => /\bf(data)?sync\(.* = 0$/.test(line))
  return { all: calls.length, wal: calls.filter((line) => line.includes('app.db-wal>')).length }
}

it.skipIf(STRACE === null).each([['migrate'], ['restore']])(
  withStrace('fault 35: a backup that cannot be given its name ends a run of kind %s before it has done anything'),
  async (kind) => {
    const first = await startServer({ files: numbered(3) })
    await first.post('/migrate?target=0')
    const { backup } = (await first.post('/migrate?target=1')).body
    await first.stop()
    const before = contentOf(first.database)
    const folder = join(first.database, '..', 'backups')
    const made = readdirSync(folder)
    const traced = trace(['-e trace=rename,renameat2', '-e inject=rename,renameat2:error=EACCES'])
    const { migrations, database } = first
    const env = { ...traced.environment, ...forking(wrapper()) }
    const server = await startServer({ migrations, database, env })
    const { status, body } = await server.post(kind === 'migrate' ? '/migrate' : `/backups/${backup}/restore`)
    expect(traced.lines().join('\n')).toContain('INJECTED')
    expect([status, body.code]).toEqual([503, 'database-unavailable'])
    expect(body.detail).toContain('without its backup nothing was run')
    expect(body.run).toMatchObject({ kind, status: 'failed', from: 1, to: 1, backup: null })
    expect(contentOf(database)).toEqual(before)
    expect(readdirSync(folder)).toEqual(made)
    expect((await server.get(`/runs/${body.run?.id}`)).body).toMatchObject({ kind, status: 'failed' })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: 1, to: 2 })
  },
)

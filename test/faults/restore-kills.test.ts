import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, it } from 'vitest'
import type { Backup, Run } from '../../src/core/migration.ts'
import { CATS } from '../support/folder.ts'
import { contentOf, isAlive, query, type Server, startServer, until } from '../support/server.ts'

const KILLS = 80
/** Every so many, the server is killed and not its runner. */
const SERVER_EVERY = 4

type Content = ReturnType<typeof contentOf>

it('a restore that is killed at any moment, its runner or its server, has happened whole or not at all, and is told truly', async () => {
  let server = await startServer({ files: CATS })
  await server.post('/migrate?target=1')
  fill(server.database, 4_000)
  const old = contentOf(server.database)
  const made = (await server.post('/migrate')).body as unknown as Run
  fill(server.database, 2_000)
  const late = contentOf(server.database)
  const [backup] = (await server.get('/backups')).body.backups as Backup[]
  const path = `/backups/${backup?.name}/restore`
  // What a restore takes here, and the way back from it.
  const measured = (await server.post(path)).body as unknown as Run
  const back = `/backups/${measured.backup}/restore`
  const usual = Number(measured.durationMs)
  expect(contentOf(server.database)).toEqual(old)
  let [is, other] = [old, late] as [Content, Content]
  const tally = { killed: 0, happened: 0, not: 0, unheard: 0 }

  while (tally.killed < KILLS) {
    const asked = is === old ? back : path
    let answered = false
    const posted = server
      .post(asked)
      .catch(() => null)
      .finally(() => {
        answered = true
      })
    // A runner is at it: a copy of the backup is there, or more.
    await until(() => answered || leftovers(server).length > 0)
    await new Promise((resolve) => setTimeout(resolve, Math.random() * usual * 1.3))
    const children = server.children()
    const ofServer = tally.killed % SERVER_EVERY === 0
    if (ofServer) {
      await server.stop('SIGKILL')
      await until(() => !children.some(isAlive))
      server = await startServer({ migrations: server.migrations, database: server.database })
    } else for (const child of children) end(child)
    tally.killed += 1
    const answer = await posted
    const now = contentOf(server.database)
    const happened = JSON.stringify(now) === JSON.stringify(other)
    expect(happened ? other : is).toEqual(now)
    const [run] = (await server.get('/runs?limit=1')).body.runs as Run[]
    if (answer?.status === 200) expect(happened, answer.text).toBe(true)
    else if (answer !== null) expect([happened, answer.body.code]).toEqual([false, 'runner-crashed'])
    if (happened) expect(run).toMatchObject({ kind: 'restore', status: 'succeeded', to: other === old ? 1 : 2 })
    if (happened) tally.happened += 1
    else tally.not += 1
    if (happened && answer === null) tally.unheard += 1
    if (happened) [is, other] = [other, is]
    await until(() => leftovers(server).length === 0)
    // Both ways stay open: what came of nothing has taken its own backup along, and the others are as they were.
    const names = ((await server.get('/backups')).body.backups as Backup[]).map(({ name }) => name)
    expect(names.length).toBeLessThanOrEqual(7)
    keep(server, [backup?.name ?? '', measured.backup ?? ''], names)
  }
  console.log(
    `${tally.killed} kills in a restore: ${tally.happened} had happened, ${tally.not} not, ${tally.unheard} without anybody having heard; 0 half, 0 told wrongly`,
  )
  expect(Math.min(tally.happened, tally.not)).toBeGreaterThan(KILLS / 20)
  expect((await server.get(`/runs/${made.id}`)).body).toMatchObject({ status: 'succeeded' })
  expect(query(server.database, `SELECT 1 FROM migration_runs WHERE status = 'running'`).length).toBeLessThan(2)
})

function fill(database: string, rows: number): void {
  const db = new Sqlite(database)
  const put = db.prepare('INSERT INTO cats (name) VALUES (?)')
  db.transaction(() => {
    for (let n = 0; n < rows; n += 1) put.run(`${n} `.repeat(300))
  })()
  db.close()
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // It had ended by itself.
    expect(error).toMatchObject({ code: 'ESRCH' })
  }
}

function folder({ database }: Server): string {
  return join(database, '..', 'backups')
}

function leftovers(server: Server): string[] {
  return readdirSync(folder(server)).filter((name) => name.startsWith('.'))
}

/** The backups that this test goes back and forth between must not be pruned: they are made the newest. */
function keep(server: Server, wanted: readonly string[], names: readonly string[]): void {
  expect(names).toEqual(expect.arrayContaining([...wanted]))
  for (const name of names) if (!wanted.includes(name)) rmSync(join(folder(server), name), { force: true })
}

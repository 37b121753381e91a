import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, it } from 'vitest'
import type { Run } from '../../src/core/migration.ts'
import { CATS, ENDLESS, write } from '../support/folder.ts'
import { hold } from '../support/hold.ts'
import { type Answer, ask, isAlive, query, type Server, startServer, startWriter, until } from '../support/server.ts'

async function cancelNewest(server: Server): Promise<void> {
  const [run] = (await server.get('/runs')).body.runs as { id: string }[]
  expect((await ask(`${server.url}/runs/${run?.id}`, { method: 'DELETE' })).status).toBe(202)
}

/** The runner that has the run: it has told that `step` runs. */
async function working(server: Server, step: string): Promise<void> {
  await server.logged(({ msg, status }) => msg === step && status === undefined)
}

it('what a killed run has done is told though the application holds the write lock, and recorded later', async () => {
  const server = await startServer({
    files: { ...CATS, '0003_slow.mjs': SLOW },
    env: { LOCK_TIMEOUT: '1', RUN_TIMEOUT: '3' },
  })
  await server.post('/migrate?target=2')
  const application = new Sqlite(server.database)
  const running = server.post('/migrate')
  await working(server, '3 slow')
  // The step holds the write lock until its process dies, and the application has it then.
  hold(application)
  const answer = await running
  expect(answer).toMatchObject({ status: 422, body: { code: 'timed-out', run: { status: 'timed-out', to: 2 } } })
  expect(answer.body.run?.steps).toMatchObject([{ id: 3, status: 'failed' }])
  expect((await server.get(`/runs/${answer.body.run?.id}`)).body).toMatchObject({ status: 'timed-out' })
  expect((await server.get('/runs?limit=1')).body.runs).toEqual([answer.body.run])
  expect(query(server.database, 'SELECT status FROM migration_runs ORDER BY id')).toEqual([
    { status: 'succeeded' },
    { status: 'running' },
  ])
  // What comes after it is not its doing.
  application.exec('CREATE TABLE later (x); COMMIT')
  application.close()
  const recorded = () => query(server.database, 'SELECT status FROM migration_runs ORDER BY id')
  await until(() => JSON.stringify(recorded()) === '[{"status":"succeeded"},{"status":"timed-out"}]')
  const other = await startServer({ migrations: server.migrations, database: server.database })
  expect((await other.get(`/runs/${answer.body.run?.id}`)).body).toEqual(answer.body.run)
})

it('of a run in one transaction that died with its server nobody says which step it was at', async () => {
  const files = { ...CATS, '0003_never.up.sql': ENDLESS }
  const server = await startServer({ files })
  const other = await startServer({ migrations: server.migrations, database: server.database })
  const lost = server.post('/migrate?atomic=true').catch(() => null)
  await working(server, '3 never')
  const [{ id }] = (await other.get('/runs')).body.runs as [Run]
  const stepsOf = async () =>
    ((await other.get(`/runs/${id}`)).body as unknown as Run).steps.map(({ status }) => status)
  expect(await stepsOf()).toEqual(['not-run', 'not-run', 'not-run', 'not-run'])
  await server.stop('SIGKILL')
  await lost
  await until(async () => (await other.get(`/runs/${id}`)).body.status === 'interrupted')
  expect(await stepsOf()).toEqual(['not-run', 'not-run', 'not-run', 'not-run'])
  await other.post('/migrate?target=0')
  expect((await other.get(`/runs/${id}`)).body).toMatchObject({ status: 'interrupted', to: null })
  expect(query(server.database, `SELECT * FROM migration_log WHERE run_id = '${id}'`)).toEqual([])
})

it.each([
  ['timed-out', 422, (server: Server) => server.logged(({ msg }) => msg === 'migrate timed-out')],
  ['cancelled', 409, cancelNewest],
  ['runner-crashed', 500, async (server: Server) => server.children().map((pid) => process.kill(pid, 'SIGKILL'))],
])(
  'a run that ended as %s is told so though the run of another server has the lock by now',
  async (code, status, end) => {
    const server = await startServer({ files: { '0000_never.up.sql': ENDLESS }, env: { RUN_TIMEOUT: '4' } })
    const other = await startServer({ migrations: server.migrations, database: server.database })
    const running = server.post('/migrate')
    await working(server, '0 never')
    const waiting = other.post('/migrate?wait=60')
    await until(async () => (await other.get('/runs')).text.includes('"queued"'))
    await end(server)
    const answer = await running
    expect(answer).toMatchObject({ status, body: { code, run: { error: { code }, steps: [{ status: 'failed' }] } } })
    await working(other, '0 never')
    const { id, status: ended } = answer.body.run as Run
    expect((await server.get(`/runs/${id}`)).body).toEqual(answer.body.run)
    // The next run has waited until that was recorded.
    const row = `SELECT status, error ->> 'code' AS code FROM migration_runs WHERE id = '${id}'`
    expect(query(server.database, row)).toEqual([{ status: ended, code }])
    expect((await other.get(`/runs/${id}`)).body).toEqual(answer.body.run)
    const [failed] = query(server.database, `SELECT error FROM migration_log WHERE run_id = '${id}'`)
    expect(failed).toEqual({ error: answer.body.run?.error?.message })
    await cancelNewest(other)
    expect(await waiting).toMatchObject({ status: 409, body: { code: 'cancelled' } })
  },
)

it('a run that the record calls running, and whose server is silent, costs the next one no time that it is allowed', async () => {
  const server = await startServer({ files: CATS, env: { RUN_TIMEOUT: '1' } })
  const dead = (await server.post('/migrate?target=1')).body.id
  const db = new Sqlite(server.database)
  db.exec(`UPDATE migration_runs SET status = 'running', finished_at = NULL`)
  db.close()
  expect(await server.post('/migrate')).toMatchObject({ status: 200, body: { status: 'succeeded', to: 2 } })
  const told = query(server.database, `SELECT status, to_id AS at FROM migration_runs WHERE id = '${dead}'`)
  expect(told).toEqual([{ status: 'succeeded', at: 1 }])
})

it('a rollback by steps that is killed beside such an application is not told as what curl would retry', async () => {
  const server = await startServer({
    files: {
      ...CATS,
      '0001_remove_age.down.sql': ENDLESS,
    },
    env: { LOCK_TIMEOUT: '1' },
  })
  await server.post('/migrate')
  const application = new Sqlite(server.database)
  const running = server.post('/rollback?steps=2')
  await working(server, '1 remove_age')
  for (const runner of server.children()) process.kill(runner, 'SIGKILL')
  hold(application)
  expect(await running).toMatchObject({
    status: 409,
    body: { code: 'rollback-incomplete', run: { to: 1, steps: [{ status: 'done' }, { status: 'failed' }] } },
  })
  application.close()
})

it('a rollback by steps is not told as what curl would retry though no runner lives long enough to read it back', async () => {
  const server = await startServer({
    files: { ...CATS, '0001_remove_age.down.sql': `ALTER TABLE cats DROP COLUMN age;\n${ENDLESS}` },
    env: { BACKUP_KEEP: '0' },
  })
  await server.post('/migrate')
  let answered = false
  const rollback = server.post('/rollback?steps=2').finally(() => {
    answered = true
  })
  await server.logged(({ msg }) => msg === '1 remove_age')
  // As when memory runs out, and whatever is begun dies of it.
  while (!answered) {
    for (const child of server.children().filter(isAlive)) process.kill(child, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(await rollback).toMatchObject({
    status: 409,
    body: { code: 'rollback-incomplete', retryable: false, run: { to: 1, steps: [{ status: 'done' }, {}] } },
  })
  const status = () => query(server.database, `SELECT status FROM migration_runs ORDER BY id DESC LIMIT 1`)
  await until(() => JSON.stringify(status()) === '[{"status":"failed"}]')
  expect((await server.post('/rollback?target=1')).body).toMatchObject({ status: 'succeeded', steps: [] })
})

it('the end of a failed run is recorded as it was told, though the application held the lock when it was to be', async () => {
  // Each statement of it is a transaction of its own, between two of which an application has all the time that it needs.
  const tidy = {
    '0003_tidy.up.sql': `-- schemad:no-transaction\n${'ANALYZE;\n'.repeat(2_000)}`,
    '0003_tidy.down.sql': 'SELECT 1;',
  }
  const server = await startServer({ files: { ...CATS, ...tidy }, env: { LOCK_TIMEOUT: '0', BACKUP_KEEP: '0' } })
  await server.post('/migrate?target=2')
  const newest = () =>
    query(
      server.database,
      `SELECT id, status, error, duration_ms AS ms FROM migration_runs ORDER BY id DESC LIMIT 1`,
    )[0]
  let answer = await lockedOut(server)
  while (answer.status === 200) {
    await server.post('/rollback?target=2')
    answer = await lockedOut(server)
  }
  expect(answer).toMatchObject({ status: 503, body: { code: 'database-locked', run: { status: 'failed' } } })
  expect(newest()).toMatchObject({ id: answer.body.run?.id, status: 'running' })
  await until(() => (newest() as { status: string }).status !== 'running')
  const { id, error, durationMs } = answer.body.run as Run
  expect(newest()).toEqual({ id, status: 'failed', error: JSON.stringify(error), ms: durationMs })
  const failed = `SELECT run_id AS id FROM migration_log WHERE outcome = 'failed'`
  await until(() => query(server.database, failed).length > 0)
  expect(query(server.database, failed)).toEqual([{ id }])
})

it.each([
  ['it is cancelled', (server: Server) => cancelNewest(server)],
  ['its runner is killed', async (server: Server) => server.children().map((pid) => process.kill(pid, 'SIGKILL'))],
  ['the server is to end', async (server: Server) => void server.stop()],
])(
  'a run that has failed is told with what it failed of, though %s while an application keeps it from being recorded',
  async (_, end) => {
    const server = await startServer({
      files: { ...CATS, '0003_bad.mjs': FAILS_BESIDE },
      env: { LOCK_TIMEOUT: '20', BACKUP_KEEP: '0', SHUTDOWN_TIMEOUT: '0' },
    })
    await server.post('/migrate?target=2')
    const application = new Sqlite(server.database)
    const running = await unrecorded(server, application)
    // Nobody can see that it has said how it has ended.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    const ended = end(server)
    const { status, body } = await running.answer
    application.exec('ROLLBACK')
    application.close()
    await ended
    expect([status, body.code, body.run?.status]).toEqual([422, 'migration-failed', 'failed'])
    expect(body.detail).toBe('0003_bad.mjs: no such table: nope')
    const recorded = `SELECT status, error ->> 'code' AS code FROM migration_runs WHERE id = '${body.run?.id}'`
    await until(
      () => JSON.stringify(query(server.database, recorded)) === '[{"status":"failed","code":"migration-failed"}]',
    )
  },
)

/** Posts what fails, until the application has the lock before the end is recorded. */
async function unrecorded(server: Server, application: Sqlite.Database): Promise<{ answer: Promise<Answer> }> {
  const status = application.prepare('SELECT status FROM migration_runs ORDER BY id DESC LIMIT 1').pluck()
  for (let tries = 1; ; tries += 1) {
    const answer = server.post('/migrate')
    await until(() => server.log.filter(({ output }) => output === 'it has the lock').length === tries)
    hold(application)
    if (status.get() === 'running') return { answer }
    application.exec('ROLLBACK')
    await answer
  }
}

/** Has the write lock long enough for somebody to wait for it, and fails then. */
const FAILS_BESIDE = `import { writeSync } from 'node:fs'
export function up(db) {
  db.exec('CREATE TABLE x (y)')
  writeSync(1, 'it has the lock\\n')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
  db.exec('DELETE FROM nope')
}
`

it('what could not be recorded yet is when the server ends', async () => {
  const server = await startServer({
    files: { ...CATS, '0003_slow.mjs': SLOW },
    env: { LOCK_TIMEOUT: '1', RUN_TIMEOUT: '2' },
  })
  await server.post('/migrate?target=2')
  const application = new Sqlite(server.database)
  const running = server.post('/migrate')
  await server.logged(({ output }) => String(output).startsWith('created'))
  hold(application)
  const { id } = (await running).body.run as Run
  const status = () => query(server.database, `SELECT status FROM migration_runs WHERE id = '${id}'`)
  expect(status()).toEqual([{ status: 'running' }])
  application.exec('ROLLBACK')
  application.close()
  expect(await server.stop()).toBe(0)
  expect(status()).toEqual([{ status: 'timed-out' }])
})

/** Posts beside an application that takes the lock when the run has begun, and holds it for longer than it is waited for. */
async function lockedOut(server: Server): Promise<Answer> {
  const { ended } = await startWriter(server.database, 'migrate', 8_000)
  const answer = await server.post('/migrate')
  // It may have come too late, and has the lock now.
  if (answer.status === 200) await ended
  return answer
}

it('a reader of the application does not hold up the answer after a failed step', async () => {
  const server = await startServer({ files: CATS, env: { LOCK_TIMEOUT: '600' } })
  await server.post('/migrate')
  const reader = new Sqlite(server.database, { readonly: true })
  reader.exec('BEGIN')
  reader.prepare('SELECT count(*) FROM cats').get()
  write(server.migrations, { '0003_bad.up.sql': 'INSERT INTO cats (name) VALUES (1);\nnonsense;' })
  expect(await server.post('/migrate')).toMatchObject({ status: 422, body: { code: 'migration-failed' } })
  reader.close()
})

it('what a migration has started is ended with its runner, and holds nothing up', async () => {
  const server = await startServer({ files: { ...CATS, '0003_slow.mjs': SLOW } })
  const running = server.post('/migrate')
  await working(server, '3 slow')
  const line = await server.logged(({ output }) => String(output).startsWith('started '))
  const started = Number(String(line.output).split(' ')[1])
  expect(isAlive(started)).toBe(true)
  await cancelNewest(server)
  expect(await running).toMatchObject({ status: 409, body: { code: 'cancelled' } })
  await until(() => !isAlive(started))
  expect(readFileSync(join(server.migrations, '0003_slow.mjs'), 'utf8')).toBe(SLOW)
})

/** Starts a process that has what it prints to for as long as it lives, then computes without end. */
const SLOW = `import { spawn } from 'node:child_process'
import { writeSync } from 'node:fs'
export function up(db) {
  const child = spawn('sleep', ['1000'], { stdio: ['ignore', 'inherit', 'inherit'] })
  writeSync(1, 'started ' + child.pid + '\\n')
  db.exec("CREATE TABLE slow (x)")
  writeSync(1, 'created\\n')
  db.exec(${JSON.stringify(ENDLESS)})
}
`

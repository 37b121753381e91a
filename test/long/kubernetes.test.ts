import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Run } from '../../src/core/migration.ts'
import { type Placed, POSTING, SERVERS, WAITING } from '../kubernetes/chapter.ts'
import { prepare, run, TOKENS, triesAgain } from '../kubernetes/kubelet.ts'
import { type Files, write } from '../support/folder.ts'
import { freePort, query, type Server, type ServerOptions, startServer } from '../support/server.ts'

const BROKEN: Files = { '0001_add_age.up.sql': 'ALTER TABLE dogs ADD COLUMN age INTEGER;\n' }

/** The service as the chapter's container starts it. */
function start(placed: Placed, { env, files = {} }: ServerOptions = {}): Promise<Server> {
  const container = prepare(placed)
  const migrations = join(container.root, '/migrations')
  write(migrations, files)
  return startServer({ migrations, env: { ...container.env, ...env } })
}

/** Whom a container speaks to: the schemad beside it, else the one that stands alone. */
function serverOf({ pod }: Placed): Placed {
  const found = SERVERS.find((one) => one.pod === pod) ?? SERVERS.find(({ title }) => title === 'schemad/schemad')
  if (found === undefined) throw new Error('the chapter has no schemad')
  return found
}

function portOf({ url }: Server): string {
  return new URL(url).port
}

/** The Job's words are those of an init container, which are tried. */
const TRIED = POSTING.filter(({ title }) => title !== 'migrate/migrate')

it('the Job posts as the init container does whose place it takes', () => {
  const [, ofWeb, ofJob] = POSTING.map((placed) => ({ ...placed.container, on: serverOf(placed).title }))
  expect(ofJob).toEqual(ofWeb)
})

describe.each(TRIED)('the init container that posts: $title', (placed) => {
  it('ends well in each of ten pods at once, and each migration is applied once', async () => {
    const server = await start(serverOf(placed))
    const all = await Promise.all(Array.from({ length: 10 }, () => run(prepare(placed), portOf(server)).ended))
    expect(all.map(({ status, stderr }) => ({ status, stderr }))).toEqual(all.map(() => ({ status: 0, stderr: '' })))
    const runs = all.map(({ stdout }) => JSON.parse(stdout) as Run)
    expect(runs.flatMap(({ steps }) => steps.map(({ name, status }) => `${name} ${status}`))).toEqual([
      'init_db done',
      'add_age done',
    ])
    expect(query(server.database, 'SELECT id, name FROM migrations ORDER BY id')).toEqual([
      { id: 0, name: 'init_db' },
      { id: 1, name: 'add_age' },
    ])
    expect(query(server.database, 'SELECT name, outcome FROM migration_log ORDER BY id')).toEqual([
      { name: 'init_db', outcome: 'done' },
      { name: 'add_age', outcome: 'done' },
    ])
    expect(query(server.database, 'SELECT actor FROM migration_runs')).toEqual([{ actor: 'ci' }])
  })

  it('fails with the problem in its log, and without its token, where a script is broken, and does not try again', async () => {
    const server = await start(serverOf(placed), { files: BROKEN, env: { LOG_LEVEL: 'trace' } })
    const started = prepare(placed)
    const { status, stdout, stderr } = await run(started, portOf(server)).ended
    expect(status).toBe(22)
    expect(triesAgain(stderr)).toBe(false)
    const problem = { code: 'migration-failed', detail: '0001_add_age.up.sql line 1: no such table: dogs' }
    expect(JSON.parse(stdout)).toMatchObject(problem)
    expect(query(server.database, 'SELECT status, actor FROM migration_runs')).toEqual([
      { status: 'failed', actor: 'ci' },
    ])
    expect(JSON.stringify([started.command, started.env, stdout, stderr, server.log])).not.toContain(
      TOKENS.authorization,
    )
  })

  it('waits for a schemad that is not there yet', async () => {
    const port = await freePort()
    const curl = run(prepare(placed), port)
    expect(await curl.triesAgain).toBe(true)
    const server = await start(serverOf(placed), { env: { PORT: String(port) } })
    expect(await curl.ended).toMatchObject({ status: 0 })
    expect(query(server.database, 'SELECT max(id) AS current FROM migrations')).toEqual([{ current: 1 }])
  })
})

it('an init container that names its migration fails at the schemad of the release before', async () => {
  const [placed] = TRIED.filter(({ container }) => container.command?.at(-1)?.includes('target=1'))
  if (placed === undefined) throw new Error('the chapter has none')
  const first: Files = { '0000_init_db.up.sql': 'CREATE TABLE cats (id INTEGER PRIMARY KEY);\n' }
  const before = await startServer({ files: first, env: prepare(serverOf(placed)).env })
  const { status, stdout } = await run(prepare(placed), portOf(before)).ended
  expect(status).toBe(22)
  expect(JSON.parse(stdout)).toMatchObject({ status: 400, code: 'invalid-request' })
})

describe.each(WAITING)('the init container that waits: $title', (placed) => {
  it('ends when somebody has migrated, and not before', async () => {
    const server = await start(serverOf(placed))
    const waiting = run(prepare(placed), portOf(server))
    expect(await waiting.triesAgain).toBe(true)
    expect(waiting.process.exitCode).toBe(null)
    const [posting] = POSTING.filter((one) => serverOf(one) === serverOf(placed))
    expect(await run(prepare(posting as Placed), portOf(server)).ended).toMatchObject({ status: 0 })
    const { status, stdout } = await waiting.ended
    expect(status).toBe(0)
    expect(stdout).toMatch(/"reason":"schema-pending".*\{"status":"ok"\}\s*$/s)
  })
})

describe.each(SERVERS)('the schemad of the chapter: $title', (placed) => {
  it('does not start with the Secret as it stands', async () => {
    const { env } = prepare(placed, () => '…')
    await expect(startServer({ env })).rejects.toThrow(/READ_TOKEN_FILE: a token is too short/)
  })

  it('answers its probes, without a token', async () => {
    const server = await start(placed)
    const { startupProbe, livenessProbe, readinessProbe } = placed.container
    const paths = [startupProbe, livenessProbe, readinessProbe].map((probe) => probe?.httpGet?.path ?? '')
    expect(paths).toEqual(['/livez', '/livez', '/readyz'])
    for (const path of paths) expect(await server.get(path)).toMatchObject({ status: 200 })
    expect(await server.get('/migrations')).toMatchObject({ status: 401 })
  })
})

import { spawnSync } from 'node:child_process'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { CATS, ENDLESS } from './support/folder.ts'
import { ask, type Server, startServer, tied, until } from './support/server.ts'

const PROMTOOL = spawnSync('promtool', ['--version']).status === 0

/** The values by name and labels, as `schemad_runs_total{kind="migrate",status="failed"}`. */
async function scrape(server: Server): Promise<{ text: string; value: (series: string) => number | undefined }> {
  const { text, status } = await server.get('/metrics')
  expect(status).toBe(200)
  const values = new Map(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))] as const),
  )
  return { text, value: (series) => values.get(series) }
}

const runs = (kind: string, status: string) => `schemad_runs_total{kind="${kind}",status="${status}"}`

/** How often the server's thread has waited for something and gone on. */
function wakesOf({ process: { pid } }: Server): number {
  return Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

function statOf({ process: { pid } }: Server): string {
  return readFileSync(`/proc/${pid}/stat`, 'utf8')
}

describe('GET /metrics', () => {
  it('tells how the database stands, in the text format of Prometheus', async () => {
    const server = await startServer({ files: CATS })
    const none = await scrape(server)
    expect(none.value('schemad_schema_version')).toBe(-1)
    expect(none.value('schemad_migrations_pending')).toBe(3)
    await server.post('/migrate?target=1')
    const { headers } = await server.get('/metrics')
    expect(headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    const some = await scrape(server)
    expect(some.value('schemad_schema_version')).toBe(1)
    expect(some.value('schemad_migrations_pending')).toBe(1)
    expect(some.value('schemad_change_in_progress')).toBe(0)
    expect(some.value('schemad_database_readable')).toBe(1)
    expect(some.text).toMatch(/^schemad_build_info\{version="\d+\.\d+\.\d+",node="\d+\.\d+\.\d+"\} 1$/m)
    expect(some.text).toMatch(/^process_resident_memory_bytes \d+$/m)
    expect(some.text).toMatch(/^process_cpu_seconds_total [\d.]+$/m)
  })

  it('counts runs by how they ended, and not what was no run or only rehearsed', async () => {
    const server = await startServer({ files: { ...CATS, '0003_bad.up.sql': 'SELEC 1;' } })
    expect((await scrape(server)).value(runs('migrate', 'failed'))).toBe(0)
    const before = Date.now() / 1000
    await server.post('/migrate?rehearse=true&target=2')
    await server.post('/migrate?dryRun=true')
    await server.post('/migrate?target=2')
    await server.post('/migrate?target=2')
    await server.post('/migrate')
    await server.post('/migrate?from=0')
    await server.post('/rollback?steps=1')
    const { value, text } = await scrape(server)
    expect(value(runs('migrate', 'succeeded'))).toBe(1)
    expect(value(runs('migrate', 'failed'))).toBe(1)
    expect(value(runs('rollback', 'succeeded'))).toBe(1)
    expect(value('schemad_run_duration_seconds_count{kind="migrate"}')).toBe(2)
    expect(value('schemad_step_duration_seconds_count{direction="up"}')).toBe(3)
    expect(value('schemad_step_duration_seconds_count{direction="down"}')).toBe(1)
    expect(value('schemad_last_success_timestamp_seconds{kind="rollback"}')).toBeGreaterThan(before)
    expect(text).not.toMatch(/last_success_timestamp_seconds\{kind="repair"/)
  })

  it('knows the last success of before a restart', async () => {
    const server = await startServer({ files: CATS })
    await server.post('/migrate')
    const last = 'schemad_last_success_timestamp_seconds{kind="migrate"}'
    const before = (await scrape(server)).value(last)
    await server.stop()
    const again = await startServer({ database: server.database, migrations: server.migrations })
    expect(before).toBeGreaterThan(0)
    expect((await scrape(again)).value(last)).toBe(before)
    expect((await scrape(again)).value(runs('migrate', 'succeeded'))).toBe(0)
  })

  it('tells a change in progress, of another server too, and how it was cancelled', async () => {
    const server = await startServer({ files: { ...CATS, '0003_never.up.sql': ENDLESS } })
    const other = await startServer({ database: server.database, migrations: server.migrations })
    const { id } = (await server.post('/migrate', { headers: { prefer: 'respond-async' } })).body
    await server.logged(({ msg }) => msg === '3 never')
    for (const asked of [server, other])
      await until(async () => (await scrape(asked)).value('schemad_change_in_progress') === 1)
    await ask(`${server.url}/runs/${id}`, { method: 'DELETE' })
    await until(async () => (await scrape(server)).value(runs('migrate', 'cancelled')) === 1)
    await until(async () => (await scrape(other)).value('schemad_change_in_progress') === 0)
  })

  it('says that the database cannot be read, and what it was last', async () => {
    const server = await startServer({ files: CATS })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })
    const before = await scrape(server)
    expect([before.value('schemad_database_readable'), before.value('schemad_schema_version')]).toEqual([1, 2])
    // At once: a file that is cut first is an empty database for a moment.
    writeFileSync(`${server.database}.next`, 'no database')
    renameSync(`${server.database}.next`, server.database)
    const { value } = await scrape(server)
    expect(value('schemad_database_readable')).toBe(0)
    expect(value('schemad_schema_version')).toBe(2)
    const broken = await startServer({ database: server.database, migrations: server.migrations })
    expect((await scrape(broken)).value('schemad_database_readable')).toBe(0)
    expect((await scrape(broken)).value('schemad_schema_version')).toBeNaN()
  })

  it('measures requests by the pattern of their route, however many paths are asked for', async () => {
    const server = await startServer({ files: CATS })
    for (const path of ['/migrations/0', '/migrations/1', '/migrations/7', '/nothing', '/nowhere/x'])
      await server.get(path)
    const { text } = await scrape(server)
    const counts = text.match(/^schemad_http_request_duration_seconds_count.*$/gm)
    expect(counts?.sort()).toEqual([
      'schemad_http_request_duration_seconds_count{method="GET",route="/migrations/:id",status="200"} 2',
      'schemad_http_request_duration_seconds_count{method="GET",route="/migrations/:id",status="404"} 1',
      'schemad_http_request_duration_seconds_count{method="GET",route="none",status="404"} 2',
    ])
  })

  it('lets a server sleep that nobody asks for them, and tells of the event loop from the first time on', async () => {
    const server = await startServer({ files: CATS })
    await tied(server)
    await until(async () => {
      const before = wakesOf(server)
      await wait(1_000)
      return wakesOf(server) - before < 50
    })
    for (const { value } of await Promise.all([1, 2, 3].map(() => scrape(server)))) {
      for (const name of ['min', 'mean', 'max', 'p99']) {
        expect(value(`nodejs_eventloop_lag_${name}_seconds`)).toBeGreaterThan(0)
        expect(value(`nodejs_eventloop_lag_${name}_seconds`)).toBeLessThan(60)
      }
    }
  })

  it('counts the processor time since the start, also of before the first who asks', async () => {
    const server = await startServer({ files: CATS })
    const [, user = '', kernel = ''] = /^\d+ \(.*\)(?: \S+){11} (\d+) (\d+)/.exec(statOf(server)) ?? []
    const { value } = await scrape(server)
    // In the kernel's ticks, of which each may be one more.
    expect(value('process_cpu_seconds_total')).toBeGreaterThan((Number(user) + Number(kernel) - 2) / 100)
    expect(value('process_cpu_user_seconds_total')).toBeGreaterThan((Number(user) - 1) / 100)
    expect(Number(user)).toBeGreaterThan(5)
  })

  it('takes a read token, and is logged at debug only', async () => {
    const env = { READ_TOKEN: 'a-read-token-of-length', LOG_LEVEL: 'debug' }
    const server = await startServer({ files: CATS, env })
    expect((await server.get('/metrics')).status).toBe(401)
    expect((await server.get('/metrics', { authorization: 'Bearer a-read-token-of-length' })).status).toBe(200)
    const line = await server.logged(({ url, status }) => url === '/metrics' && status === 200)
    expect(line.level).toBe(20)
  })

  it.skipIf(!PROMTOOL)('passes promtool check metrics', async () => {
    const server = await startServer({ files: { ...CATS, '0003_bad.up.sql': 'SELEC 1;' } })
    await server.post('/migrate')
    const { text } = await scrape(server)
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
    expect(`${checked.stdout}${checked.stderr}`).toBe('')
    expect(checked.status).toBe(0)
    const wrong = spawnSync('promtool', ['check', 'metrics'], { input: 'x_total{} no number\n', encoding: 'utf8' })
    expect(wrong.status).not.toBe(0)
  })
})

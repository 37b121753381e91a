import fc from 'fast-check'
import { expect, it } from 'vitest'
import { noProblem, pathOf, REFUSALS, undescribed } from '../support/described.ts'
import { CATS } from '../support/folder.ts'
import { query, type Server, startServer } from '../support/server.ts'
import { mayRun } from './requests/may-run.ts'
import type { Sent } from './requests/mutations.ts'
import { anyRequest, LIVE } from './requests/requests.ts'
import { openWire, type Response, type Wire } from './requests/wire.ts'
import { givenSeed } from './support/seed.ts'

const TOKENS = {
  read: 'a-read-token-of-length',
  migrate: 'a-migrate-token-of-length',
  admin: 'an-admin-token-of-length',
}
const REQUESTS = Number(process.env.FC_REQUESTS ?? 10_000)
/** So many are sent side by side, over so many connections. */
const AT_ONCE = 20
const CONNECTIONS = 4
/** How long what is no valid HTTP is waited for, and how long everything else, in milliseconds. */
const [SHORT, LONG] = [100, 60_000]

/** What was sent and what came of it, by the request's id. */
type Exchanges = Map<string, { readonly sent: Sent; readonly response: Response | null }>

it('fault 39: whatever is sent, every answer is one that the OpenAPI document describes, and nothing runs that should not', async () => {
  const { seed, path } = givenSeed()
  console.log(`FC_SEED=${seed}`)
  const { read, migrate, admin } = TOKENS
  const server = await startServer({
    files: { ...CATS, '0003_bad.up.sql': 'CREATE TABLE half (x);\nSELEC 1;', '0003_bad.down.sql': 'SELECT 1;' },
    env: { READ_TOKEN: read, MIGRATE_TOKEN: migrate, ADMIN_TOKEN: admin },
  })
  const wires = Array.from({ length: CONNECTIONS }, () => openWire(Number(new URL(server.url).port)))
  const exchanges: Exchanges = new Map()
  let live = 'none'

  const exchange = async (wire: Wire, given: Sent) => {
    const id = `request-${exchanges.size}`
    const sent = { ...given, target: given.target.replaceAll(LIVE, live) }
    exchanges.set(id, { sent, response: null })
    const response = await wire.send(bytesOf(sent, id), sent.method, sent.broken ? SHORT : LONG)
    exchanges.set(id, { sent, response })
    if (sent.broken) wire.close()
    live = /"(?:id|name)":"([^"]{12,})"/.exec(response?.body ?? '')?.[1] ?? live
    const wrong = complaint(sent, response)
    if (wrong !== null)
      throw new Error(`${wrong}: ${shortened(sent)} was answered with ${response?.raw.slice(0, 2_000)}`)
  }
  const property = fc.asyncProperty(
    fc.array(anyRequest(Object.values(TOKENS)), { minLength: AT_ONCE, maxLength: AT_ONCE }),
    async (all) => {
      const each = wires.map(async (wire, lane) => {
        for (const sent of all.filter((_, at) => at % CONNECTIONS === lane)) await exchange(wire, sent)
      })
      const failed = (await Promise.allSettled(each)).find(({ status }) => status === 'rejected')
      if (failed?.status === 'rejected') throw failed.reason
    },
  )
  await fc.assert(property, { seed, numRuns: REQUESTS / AT_ONCE, ...(path !== undefined && { path }) })
  for (const wire of wires) wire.close()
  expect(exchanges.size).toBeGreaterThanOrEqual(REQUESTS)
  compareHistory(server, exchanges)
})

/** What is wrong with an answer; `null` where nothing is. */
function complaint(sent: Sent, response: Response | null): string | null {
  if (response === null) return sent.broken ? null : 'there is no answer'
  // Who asks whether the schema is current is told with a 503 that it is not.
  const pending =
    response.status === 503 &&
    /^(\{"reason":"schema-pending"|$)/.test(response.body) &&
    /readyz/i.test(pathOf(sent.target) ?? '')
  if (response.status >= 500 && !pending) return 'it is a server error'
  if (Object.values(TOKENS).some((token) => response.raw.includes(token))) return 'a token is told'
  const told = { ...response, text: response.body }
  const wrong = undescribed(sent.method, sent.target, told)
  const plain = /^\/[\w/.-]*(\?|$)/.test(sent.target) && !sent.target.includes('//') && !sent.broken
  // What is not plain may be taken for something else than it looks like, and refused as that.
  return wrong === null || plain || !REFUSALS.includes(response.status) ? wrong : noProblem(sent.method, told)
}

/** Every run in the record was asked for by somebody who may, and every answer that tells of one is in the record. */
function compareHistory(server: Server, exchanges: Exchanges): void {
  const runs = query(server.database, 'SELECT id, request_id AS request, status FROM migration_runs') as {
    id: string
    request: string
    status: string
  }[]
  console.log(`${runs.length} runs, answers: ${summary(exchanges)}`)
  expect(runs.length).toBeGreaterThan(5)
  for (const { request } of runs) {
    const { sent } = exchanges.get(request) ?? expect.fail(`nobody sent ${request}`)
    expect(mayRun(sent, TOKENS), shortened(sent)).toBe(true)
  }
  const done = `SELECT r.request_id AS request, count(l.id) AS steps FROM migration_runs r
    LEFT JOIN migration_log l ON l.run_id = r.id AND l.outcome IN ('done', 'recorded') GROUP BY r.id`
  const recorded = new Map(
    (query(server.database, done) as { request: string; steps: number }[]).map(({ request, steps }) => [
      request,
      steps,
    ]),
  )
  for (const [id, { sent, response }] of exchanges) {
    const told = response && sent.method === 'POST' ? stepsTold(sent, response) : null
    if (told !== null) expect(recorded.get(id) ?? 0, shortened(sent)).toBe(told)
  }
}

/** How many steps an answer says have happened; `null` where it does not speak of a run. */
function stepsTold({ target }: Sent, { status, headers, body }: Response): number | null {
  if (status === 200 && headers.get('content-type')?.startsWith('text/plain')) {
    return /(dryRun|rehearse)=true/.test(decodeURIComponent(target)) ? 0 : body.split('\n').length - 1
  }
  // What comes of it is told later.
  if (status === 202) return null
  const answer = JSON.parse(body)
  const run = status === 200 ? answer : answer.run
  if (run?.steps === undefined) return null
  const happened = run.steps.filter((step: { status: string }) => ['done', 'recorded'].includes(step.status))
  return run.rehearsal ? 0 : happened.length
}

function bytesOf({ method, target, headers, body }: Sent, id: string): Buffer {
  const own = headers.map(([name]) => name.toLowerCase())
  const lines = [
    `${method} ${target} HTTP/1.1`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    `X-Request-Id: ${id}`,
  ]
  if (!own.includes('host')) lines.push('Host: localhost')
  if (body !== null && !own.includes('content-length') && !own.includes('transfer-encoding'))
    lines.push(`Content-Length: ${body.length}`)
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`, 'latin1')
}

function shortened(sent: Sent): string {
  return JSON.stringify(sent, (_, value) =>
    typeof value === 'string' && value.length > 200 ? `${value.slice(0, 200)}…` : value,
  )
}

function summary(exchanges: Exchanges): string {
  const counts: Record<string, number> = {}
  for (const { response } of exchanges.values()) {
    const status = String(response?.status ?? 'no answer')
    counts[status] = (counts[status] ?? 0) + 1
  }
  return JSON.stringify(counts)
}

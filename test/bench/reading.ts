// Rows of what a server costs that is asked again and again.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inRounds, type Samples } from './measure.ts'
import { autocannon, script } from './peers.ts'
import { newPlace } from './places.ts'
import { putApplied, smallOf } from './prepared.ts'
import { processorMs } from './proc.ts'
import { run, type Server, startServer } from './processes.ts'
import type { Row } from './rows.ts'
import type { Scale } from './scale.ts'
import { startService } from './service.ts'
import { atLeast, type Bounds, type Line, linesOf } from './table.ts'
import { SCHEMAD } from './tools.ts'
import { same } from './verify.ts'

/** Requests a second over ten connections, against a Fastify that has the same bytes ready. */
export const reading: Row = {
  name: 'GET /migrations',
  lines: async (scale) =>
    await besideBare(scale.small, async (service, bare) => {
      const work = `\`GET /migrations\`, ${scale.small.toLocaleString('en')} entries`
      const ours = { server: service, words: [`${service.url}/migrations`], status: 200 }
      const theirs = { server: bare, words: [`${bare.url}/bytes`], status: 200 }
      return await compared(work, scale, ours, theirs, 'bare Fastify, the same bytes ready', atLeast(0.85, 0.95))
    }),
}

/** The same with `If-None-Match`, against a Fastify that says hello. */
export const unchanged: Row = {
  name: '304',
  lines: async (scale) =>
    await besideBare(scale.small, async (service, bare) => {
      const etag = (await fetch(`${service.url}/migrations`)).headers.get('etag')
      const words = ['-H', `If-None-Match: ${etag}`, `${service.url}/migrations`]
      const ours = { server: service, words, status: 304 }
      const theirs = { server: bare, words: [`${bare.url}/hello`], status: 200 }
      return await compared(
        '`GET /migrations` with `If-None-Match`: 304',
        scale,
        ours,
        theirs,
        'bare Fastify, hello world',
        atLeast(0.65, 0.8),
      )
    }),
}

/** Who is asked, and how. */
export interface Target {
  readonly server: Server
  readonly words: readonly string[]
  readonly status: number
}

/** Starts the service and a bare Fastify that has its answer ready, for as long as `act` takes. */
export async function besideBare<T>(count: number, act: (service: Server, bare: Server) => Promise<T>): Promise<T> {
  using place = newPlace()
  await putApplied(place, SCHEMAD, count)
  await using service = await startService({ migrations: smallOf('pairs', count), database: place.database })
  const file = join(place.folder, 'answer.json')
  writeFileSync(file, await (await fetch(`${service.url}/migrations`)).text())
  await using bare = await startServer(...script('fastify-bytes', file), {})
  return await act(service, bare)
}

const CONNECTIONS = 10
const WARM_S = 1

async function compared(
  work: string,
  { rounds, seconds }: Scale,
  ours: Target,
  theirs: Target,
  bare: string,
  bounds: Bounds,
): Promise<Line[]> {
  const took: Record<string, number[]> = { schemad: [], bare: [] }
  const side = (name: string, target: Target) => async () => {
    const { rate, processor } = await load(target, CONNECTIONS, seconds)
    took[name]?.push(processor)
    return rate
  }
  for (const target of [ours, theirs]) await load(target, CONNECTIONS, WARM_S)
  const rates = await inRounds(rounds.few, { schemad: side('schemad', ours), bare: side('bare', theirs) })
  return [
    ...linesOf(work, rates, { bare }, bounds, '/s'),
    // The load generator may be what is slowest, and then a rate tells of it.
    ...linesOf(`${work}: the server's processor time`, took as Record<string, Samples>, { bare }, null, 'µs'),
  ]
}

interface Loaded {
  readonly requests: { readonly total: number }
  readonly duration: number
  readonly errors: number
  readonly statusCodeStats: Readonly<Record<string, { readonly count: number }>>
}

/** Requests a second, and microseconds of the server's for each. Throws when one is answered with another status. */
export async function load({ server, words, status }: Target, connections: number, seconds: number) {
  const before = processorMs(server.pid)
  const options = ['-c', String(connections), '-d', String(seconds), '--json', '--no-progress']
  const { stdout } = await run(...autocannon(...options, ...words))
  const busyMs = processorMs(server.pid) - before
  const { requests, duration, errors, statusCodeStats } = JSON.parse(stdout) as Loaded
  same('the load', 'errors and statuses', [errors, Object.keys(statusCodeStats)], [0, [String(status)]])
  return { rate: requests.total / duration, processor: (busyMs * 1000) / requests.total }
}

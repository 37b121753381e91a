// Rows of what a server costs while nothing changes.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { inRounds } from './measure.ts'
import { autocannon, script } from './peers.ts'
import { newPlace } from './places.ts'
import { putApplied, smallOf } from './prepared.ts'
import { run, type Server, startServer } from './processes.ts'
import type { Row } from './rows.ts'
import { type Service, startService } from './service.ts'
import { atLeast, atMost, linesOf } from './table.ts'
import { SCHEMAD } from './tools.ts'
import { same } from './verify.ts'

/** Requests a second over ten connections, against a Fastify that has the same bytes ready. */
export const reading: Row = {
  name: 'GET /migrations',
  lines: async ({ small: count, seconds, rounds }) => {
    using place = newPlace()
    await putApplied(place, SCHEMAD, count)
    await using service = await startService({ migrations: smallOf('pairs', count), database: place.database })
    await using bare = await startBytes(service, place.folder)
    const samples = await loaded(rounds.few, seconds, [`${service.url}/migrations`], [`${bare.url}/bytes`])
    const work = `\`GET /migrations\`, ${count.toLocaleString('en')} entries`
    return linesOf(work, samples, { bare: 'bare Fastify, the same bytes ready' }, atLeast(0.85, 0.95), '/s')
  },
}

/** The same with `If-None-Match`, against a Fastify that says hello. */
export const unchanged: Row = {
  name: '304',
  lines: async ({ small: count, seconds, rounds }) => {
    using place = newPlace()
    await putApplied(place, SCHEMAD, count)
    await using service = await startService({ migrations: smallOf('pairs', count), database: place.database })
    await using bare = await startBytes(service, place.folder)
    const etag = (await fetch(`${service.url}/migrations`)).headers.get('etag')
    const words = ['-H', `If-None-Match: ${etag}`, `${service.url}/migrations`]
    const samples = await loaded(rounds.few, seconds, words, [`${bare.url}/hello`], 304)
    return linesOf(
      'the same with `If-None-Match`: 304',
      samples,
      { bare: 'bare Fastify, hello world' },
      atLeast(0.65, 0.8),
      '/s',
    )
  },
}

/** From before the process is made until the first answer has been read. */
export const starting: Row = {
  name: 'start',
  lines: async ({ small: count, rounds }) => {
    using place = newPlace()
    await putApplied(place, SCHEMAD, count)
    const options = { migrations: smallOf('pairs', count), database: place.database }
    const samples = await inRounds(rounds.many, {
      schemad: () => firstAnswer(() => startService(options), '/migrations'),
      bare: () => firstAnswer(() => startServer(...script('fastify-count', place.database), {}), '/count'),
    })
    return linesOf('start, to the first answer', samples, { bare: BARE_SERVER }, atMost(1.4, 1.2))
  },
}

/** Of all processes, each page divided by those who share it, when they have been at rest for a while. */
export const memory: Row = {
  name: 'memory',
  lines: async ({ small: count, rounds }) => {
    using place = newPlace()
    await putApplied(place, SCHEMAD, count)
    const options = { migrations: smallOf('pairs', count), database: place.database }
    const samples = await inRounds(rounds.few, {
      schemad: async () => {
        await using service = await startService(options)
        await service.idle()
        return await atRest(service, '/migrations', () => service.processes())
      },
      bare: async () => {
        await using server = await startServer(...script('fastify-count', place.database), {})
        return await atRest(server, '/count', () => [server.pid])
      },
    })
    return linesOf('memory at rest', samples, { bare: BARE_SERVER }, atMost(1.5, 1.2), 'MB')
  },
}

const BARE_SERVER = 'bare Fastify with better-sqlite3'

/** A bare Fastify that has the service's answer ready. */
async function startBytes({ url }: Service, folder: string): Promise<Server> {
  const file = join(folder, 'answer.json')
  writeFileSync(file, await (await fetch(`${url}/migrations`)).text())
  return await startServer(...script('fastify-bytes', file), {})
}

async function loaded(
  rounds: number,
  seconds: number,
  ours: readonly string[],
  theirs: readonly string[],
  status = 200,
) {
  // Once for the compiler of each, unmeasured.
  for (const words of [ours, theirs]) await load(words, 1, words === ours ? status : 200)
  return await inRounds(rounds, {
    schemad: () => load(ours, seconds, status),
    bare: () => load(theirs, seconds, 200),
  })
}

interface Loaded {
  readonly requests: { readonly total: number }
  readonly duration: number
  readonly errors: number
  readonly statusCodeStats: Readonly<Record<string, { readonly count: number }>>
}

/** Requests a second over ten connections. Throws when one is answered with another status. */
async function load(words: readonly string[], seconds: number, status: number): Promise<number> {
  const { stdout } = await run(...autocannon('-c', '10', '-d', String(seconds), '--json', '--no-progress', ...words))
  const { requests, duration, errors, statusCodeStats } = JSON.parse(stdout) as Loaded
  same('the load', 'errors and statuses', [errors, Object.keys(statusCodeStats)], [0, [String(status)]])
  return requests.total / duration
}

async function firstAnswer(start: () => Promise<Server>, path: string): Promise<number> {
  const began = performance.now()
  await using server = await start()
  await answered(server, path)
  return performance.now() - began
}

async function answered({ url }: Server, path: string): Promise<void> {
  const response = await fetch(`${url}${path}`, { headers: { connection: 'close' } })
  await response.arrayBuffer()
  same('the answer', 'its status', response.status, 200)
}

const REST_MS = 3_000

async function atRest(server: Server, path: string, processes: () => number[]): Promise<number> {
  await answered(server, path)
  await wait(REST_MS)
  return processes().reduce((sum, pid) => sum + megabytesOf(pid), 0)
}

function megabytesOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]) / 1024
}

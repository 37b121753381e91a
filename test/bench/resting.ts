// Rows of a server that has nothing to do.
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { inRounds } from './measure.ts'
import { script } from './peers.ts'
import { newPlace } from './places.ts'
import { putApplied, smallOf } from './prepared.ts'
import { megabytesOf } from './proc.ts'
import { type Server, startServer } from './processes.ts'
import type { Row } from './rows.ts'
import { startService } from './service.ts'
import { atMost, linesOf } from './table.ts'
import { SCHEMAD } from './tools.ts'
import { same } from './verify.ts'

/** From before the process is made until the first answer has been read. */
export const starting: Row = {
  name: 'start',
  lines: async ({ small: count, rounds }) => {
    using place = newPlace()
    await putApplied(place, SCHEMAD, count)
    const options = { migrations: smallOf('pairs', count), database: place.database }
    const sides = {
      schemad: () => firstAnswer(() => startService(options), '/migrations'),
      bare: () => firstAnswer(() => startServer(...script('fastify-count', place.database), {}), '/count'),
    }
    // The first reads its files from the disk, and our client has to be loaded.
    for (const side of Object.values(sides)) await side()
    const samples = await inRounds(rounds.many, sides)
    return linesOf('start, to the first answer', samples, { bare: BARE_SERVER }, atMost(1.4, 1.2))
  },
}

/** Of all processes, each page divided by those who share it, when they have been at rest for a while. */
export const memory: Row = {
  name: 'memory',
  lines: async ({ small: count, rounds }) => {
    using place = newPlace()
    await putApplied(place, SCHEMAD, count)
    // A program of their own: else they would share its pages with the processes of the benchmark.
    const node = join(place.folder, 'node')
    copyFileSync(process.execPath, node)
    const options = { migrations: smallOf('pairs', count), database: place.database, node }
    const samples = await inRounds(rounds.few, {
      schemad: async () => {
        await using service = await startService(options)
        await service.idle()
        return await atRest(service, '/migrations', () => service.processes())
      },
      bare: async () => {
        const [, words] = script('fastify-count', place.database)
        await using server = await startServer(node, words, {})
        return await atRest(server, '/count', () => [server.pid])
      },
    })
    return linesOf('memory at rest', samples, { bare: BARE_SERVER }, atMost(1.5, 1.2), 'MB')
  },
}

const BARE_SERVER = 'bare Fastify with better-sqlite3'

/** Starts it, asks, and gives how long all of that took. */
export async function firstAnswer(start: () => Promise<Server>, path: string): Promise<number> {
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

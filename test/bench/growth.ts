// How cost grows: with migrations, with the size of the database, with connections.
import { join } from 'node:path'
import { startGrowing } from './growing.ts'
import { inRounds, median, ratioOf } from './measure.ts'
import { newPlace, type Place } from './places.ts'
import { putApplied, smallOf } from './prepared.ts'
import { besideBare, load } from './reading.ts'
import { firstAnswer } from './resting.ts'
import type { Scale } from './scale.ts'
import { runIn, startService } from './service.ts'
import { applySmall } from './sides.ts'
import { markdown, number } from './table.ts'
import { BARE, SCHEMAD } from './tools.ts'
import { same } from './verify.ts'
import { fill } from './work.ts'

const ROUNDS = 3

/** Prints three tables in Markdown, of medians. */
export async function growth({ growth: sizes, small, seconds }: Scale): Promise<void> {
  const migrations = await rowsOf(sizes.migrations, withMigrations)
  console.log(`${markdown(['migrations', 'again', '`GET`', 'all pending', 'bare loop', 'ratio'], migrations)}\n`)
  const databases = await rowsOf(sizes.megabytes, withDatabase)
  console.log(`${markdown(['database', 'one small migration', 'start, to the first answer'], databases)}\n`)
  const connections = await withConnections(sizes.connections, small, seconds)
  console.log(markdown(['connections', '`GET /migrations`', 'bare Fastify, the same bytes', 'ratio'], connections))
}

async function rowsOf(sizes: readonly number[], cells: (size: number) => Promise<string[]>): Promise<string[][]> {
  const rows: string[][] = []
  for (const size of sizes) {
    const began = performance.now()
    rows.push(await cells(size))
    console.error(`${size}: ${((performance.now() - began) / 1000).toFixed(1)} s`)
  }
  return rows
}

/** Each by one curl; the bare loop by its own time. */
async function withMigrations(count: number): Promise<string[]> {
  const { again, get } = await whenApplied(count)
  const { schemad, bare } = await inRounds(ROUNDS, {
    schemad: applySmall(SCHEMAD, count),
    bare: applySmall(BARE, count),
  })
  const cells = [again, get, schemad, bare].map((samples) => `${number(median(samples))} ms`)
  return [count.toLocaleString('en'), ...cells, `${ratioOf(schemad, bare).toFixed(2)}×`]
}

async function whenApplied(count: number) {
  using place = newPlace()
  await putApplied(place, SCHEMAD, count)
  await using service = await startService({ migrations: smallOf('pairs', count), database: place.database })
  return await inRounds(ROUNDS, {
    again: async () => {
      await service.idle()
      const answer = await service.post('/migrate')
      same('the answer', 'its steps', runIn(answer).steps, [])
      return answer.ms
    },
    get: async () => {
      const answer = await service.get('/migrations')
      same('the answer', 'how many are applied', JSON.parse(answer.stdout).current, count - 1)
      return answer.ms
    },
  })
}

async function withDatabase(megabytes: number): Promise<string[]> {
  using place = newPlace()
  fill(place.database, megabytes)
  const one = await oneMore(place)
  const options = { migrations: join(place.folder, 'migrations'), database: place.database }
  const { start } = await inRounds(ROUNDS, { start: () => firstAnswer(() => startService(options), '/migrations') })
  return [`${megabytes.toLocaleString('en')} MB`, `${number(median(one))} ms`, `${number(median(start))} ms`]
}

async function oneMore(place: Place): Promise<number[]> {
  await using growing = await startGrowing(place, 1)
  return (await inRounds(ROUNDS, { one: async () => (await growing.one()).ms })).one
}

/** With so many entries in the answer. */
async function withConnections(connections: readonly number[], entries: number, seconds: number) {
  return await besideBare(entries, async (service, bare) => {
    const ours = { server: service, words: [`${service.url}/migrations`], status: 200 }
    const theirs = { server: bare, words: [`${bare.url}/bytes`], status: 200 }
    return await rowsOf(connections, async (count) => {
      const rates = await inRounds(ROUNDS, {
        schemad: async () => (await load(ours, count, seconds)).rate,
        bare: async () => (await load(theirs, count, seconds)).rate,
      })
      const cells = [rates.schemad, rates.bare].map((samples) => `${number(median(samples))} /s`)
      return [String(count), ...cells, `${ratioOf(rates.schemad, rates.bare).toFixed(2)}×`]
    })
  })
}

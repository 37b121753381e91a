// Rows of what readers feel of a change.
import { Agent, get } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { quantile } from './measure.ts'
import { newPlace } from './places.ts'
import { largeOf } from './prepared.ts'
import type { Row } from './rows.ts'
import { startService } from './service.ts'
import { atMost, type Bounds, type Line } from './table.ts'
import { SCHEMAD } from './tools.ts'
import { same, verifyLarge } from './verify.ts'

/** How long `GET /migrations` takes while the large migration runs. */
export const meanwhile: Row = {
  name: 'reads while a change runs',
  lines: async ({ rows, rounds }) => {
    const runs: number[][] = []
    for (let round = 0; round < rounds.few; round += 1) runs.push(await readDuring(rows))
    return PARTS.map(({ name, part, bounds }): Line => {
      const ours = runs.map((latencies) => quantile(latencies, part))
      const work = `\`GET /migrations\` while ${rows.toLocaleString('en')} rows change, ${name}`
      return { work, unit: 'ms', ours, against: 'itself', theirs: null, bounds }
    })
  },
}

const PARTS: readonly { readonly name: string; readonly part: number; readonly bounds: Bounds | null }[] = [
  { name: 'p50', part: 0.5, bounds: null },
  { name: 'p99', part: 0.99, bounds: atMost(10, 5) },
  { name: 'max', part: 1, bounds: atMost(100, 50) },
]

/** The latencies of one run, in milliseconds. */
async function readDuring(rows: number): Promise<number[]> {
  using place = newPlace()
  await using service = await startService({ migrations: largeOf(rows), database: place.database })
  await service.idle()
  const changed = new AbortController()
  const posted = service.post('/migrate').finally(() => changed.abort())
  const [latencies] = await Promise.all([readPaced(`${service.url}/migrations`, changed.signal), posted])
  verifyLarge(place.database, SCHEMAD.ledger, rows)
  return latencies
}

const PACE_MS = 5

/**
 * Asks at fixed moments until `end`, and counts from the moment at which it was to be asked: who only asks again when he has
 * been answered would see one slow answer where there were many.
 */
async function readPaced(url: string, end: AbortSignal): Promise<number[]> {
  const agent = new Agent({ keepAlive: true })
  const answers: Promise<number>[] = []
  const began = performance.now()
  while (!end.aborted) {
    const due = began + answers.length * PACE_MS
    const early = due - performance.now()
    if (early > 0) await wait(early)
    answers.push(read(url, agent).then(() => performance.now() - due))
  }
  const latencies = await Promise.all(answers)
  agent.destroy()
  return latencies
}

function read(url: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent }, (response) => {
      same('the answer', 'its status', response.statusCode, 200)
      response.once('end', resolve).once('error', reject).resume()
    })
    request.once('error', reject)
  })
}

// Rows of what readers feel of a change.
import { setTimeout as wait } from 'node:timers/promises'
import { quantile } from './measure.ts'
import { newPlace } from './places.ts'
import { largeOf } from './prepared.ts'
import { run } from './processes.ts'
import type { Row } from './rows.ts'
import { startService } from './service.ts'
import { atMost, type Bounds, type Line } from './table.ts'
import { SCHEMAD } from './tools.ts'
import { verifyLarge } from './verify.ts'

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

const READER = new URL('reader.ts', import.meta.url).pathname
/** A thousand requests: after some five hundred V8 compiles what they need anew, which has nothing to do with the change. */
const WARM_MS = 5_000

/** The latencies of the requests that were due during one run, in milliseconds. */
async function readDuring(rows: number): Promise<number[]> {
  using place = newPlace()
  await using service = await startService({ migrations: largeOf(rows), database: place.database })
  const end = new AbortController()
  const reading = run(process.execPath, [READER, `${service.url}/migrations`], { until: end.signal })
  await wait(WARM_MS)
  const [begun, posted] = [Date.now(), await service.post('/migrate').finally(() => end.abort())]
  verifyLarge(place.database, SCHEMAD.ledger, rows)
  const asked = JSON.parse((await reading).stdout) as [due: number, ms: number][]
  return asked.filter(([due]) => due >= begun && due <= begun + posted.ms).map(([, ms]) => ms)
}

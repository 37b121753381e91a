import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Side } from './measure.ts'
import { script } from './peers.ts'
import type { Place } from './places.ts'
import { startServer } from './processes.ts'
import { curl } from './service.ts'
import { same } from './verify.ts'

/** What is said of it in the table. */
export const NOTHING = 'limit: one `curl` of a bare Fastify that says hello'

/** One curl of a server that has nothing to do for it: less no answer can take. */
export async function startNothing(place: Place): Promise<AsyncDisposable & { readonly asked: Side }> {
  const file = join(place.folder, 'bytes')
  writeFileSync(file, '')
  const server = await startServer(...script('fastify-bytes', file), {})
  return {
    asked: async () => {
      const { ms, stdout } = await curl(`${server.url}/hello`)
      same('the answer', 'all of it', stdout, '{"hello":"world"}')
      return ms
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

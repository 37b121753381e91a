import { Server } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'

/** In how many turns of the event loop nobody must have come, since each accepts one; and how many are waited for that. */
const [QUIET_TURNS, MOST_TURNS] = [5, 2_000]

/** How long who keeps a connection has to ask once more, and to be told that it is the last time, in milliseconds. */
const LAST_MS = 300

/** How long connections have which are not idle: half a request, an answer that nobody reads, or nothing sent yet. */
const LINGER_MS = 1_000

/**
 * Closes `app` without cutting anybody off: stops listening, answers those who are connected, with `Connection: close`, and
 * only then closes what is idle. To close that at once, as `close` does, would meet clients in the act of asking again.
 */
export async function closeApp(app: FastifyInstance): Promise<void> {
  const { server } = app
  for (const stream of app.streams) stream.end()
  await quiet(server)
  const closed = new Promise<void>((resolve) => Server.prototype.close.call(server, () => resolve()))
  const idle = setTimeout(() => server.closeIdleConnections(), LAST_MS)
  const cut = setTimeout(() => server.closeAllConnections(), LINGER_MS)
  await closed
  clearTimeout(idle)
  clearTimeout(cut)
  await app.close()
}

/**
 * Resolves right after a look at the listening socket that found nobody. Who is connected by the kernel, and not yet accepted,
 * when that socket is closed, is reset instead of answered.
 */
async function quiet(server: FastifyInstance['server']): Promise<void> {
  let still = 0
  const stir = () => {
    still = 0
  }
  server.on('connection', stir)
  for (let turn = 0; turn < MOST_TURNS && still < QUIET_TURNS; turn += 1) {
    still += 1
    await nextTurn()
  }
  server.off('connection', stir)
}

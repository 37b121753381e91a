import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EventStream } from '../../src/http/event-stream.ts'
import { listen } from '../support/events.ts'
import { CATS, ENDLESS } from '../support/folder.ts'
import { ask, startServer, until } from '../support/server.ts'

/** More than any kernel keeps for a connection whose other end does not read. */
const MOST_EVENTS = 20_000
const TEXT = 'x'.repeat(10_000)

/** A client of each stream over a socket of its own, `hear` called for what it reads. */
async function clientsOf(streams: readonly EventStream[], hear: (at: number, socket: Socket) => void): Promise<void> {
  const server = createServer(({ url }, response) => void streams[Number(url?.slice(1))]?.pipe(response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const sockets = streams.map((_, at) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`GET /${at} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    hear(at, socket)
    return socket
  })
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    for (const stream of streams) stream.destroy()
    server.close()
  })
}

describe('a listener', () => {
  it('that does not read is dropped, and the other hears all', async () => {
    const [deaf, heard] = [new EventStream(), new EventStream()]
    let text = 0
    let last = ''
    await clientsOf([deaf, heard], (at, socket) => {
      if (at === 0) return void socket.pause()
      socket.on('data', (data) => {
        text += data.length
        last = `${last}${data.toString('latin1')}`.slice(-200)
      })
    })
    let told = 0
    while (!deaf.destroyed && told < MOST_EVENTS) {
      told += 1
      for (const stream of [deaf, heard]) stream.tell('step', { told, TEXT })
      // Who reads is given the time to.
      while (heard.readableLength > 0) await nextTurn()
    }
    console.log(`dropped after ${told} events of ${TEXT.length} characters`)
    expect(deaf.destroyed).toBe(true)
    expect(told).toBeLessThan(MOST_EVENTS)
    heard.tell('end', { told }, 'end')
    await until(() => last.includes(`event: end\nid: end\ndata: {"told":${told}}`))
    expect(text).toBeGreaterThan(told * TEXT.length)
    expect(heard.destroyed).toBe(false)
  })

  it('is sent something where nothing happens, at least every fifteen seconds', async () => {
    const server = await startServer({
      files: { '0000_init_db.up.sql': CATS['0000_init_db.up.sql'] ?? '', '0001_never.up.sql': ENDLESS },
    })
    const { id } = (await server.post('/migrate', { headers: { prefer: 'respond-async' } })).body
    const listener = await listen(server, `/runs/${id}/events`)
    await listener.heard(({ event, data }) => event === 'statement' && data.id === 1)
    const heard = listener.events.length
    for (let times = 1; times <= 3; times += 1) {
      const clock = performance.now()
      await until(() => listener.comments.length >= times)
      console.log(`a comment after ${((performance.now() - clock) / 1000).toFixed(1)} s of silence`)
    }
    expect(listener.events).toHaveLength(heard)
    await ask(`${server.url}/runs/${id}`, { method: 'DELETE' })
    expect((await listener.heard(({ event }) => event === 'end')).data).toMatchObject({ status: 'cancelled' })
  })
})

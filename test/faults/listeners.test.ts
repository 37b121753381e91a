import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { listen } from '../support/events.ts'
import { CATS, ENDLESS } from '../support/folder.ts'
import { ask, type Server, startServer, until } from '../support/server.ts'

/** Begins a run and gives its id. */
async function begin(server: Server, path = '/migrate'): Promise<string> {
  const { body } = await server.post(path, { headers: { prefer: 'respond-async' } })
  return String(body.id)
}

describe('a listener', () => {
  it('that does not read is dropped, and the others hear all', async () => {
    const steps = Array.from({ length: 6_000 }, (_, id) => [`${id}_${'m'.repeat(200)}.up.sql`, 'SELECT 1;'])
    const server = await startServer({ files: { ...Object.fromEntries(steps) } })
    const hold = await begin(server, '/migrate?target=0')
    await (await listen(server, `/runs/${hold}/events`)).ended
    const id = await begin(server)
    const deaf = connect(Number(new URL(server.url).port))
    deaf.on('error', () => {})
    deaf.pause()
    deaf.write(`GET /runs/${id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    const listener = await listen(server, `/runs/${id}/events`)
    await server.logged(({ url, left }) => String(url).endsWith(`${id}/events`) && left === true)
    expect(await listener.ended).toBe('whole')
    expect(listener.events.at(-1)).toMatchObject({ event: 'end', data: { status: 'succeeded', to: 5_999 } })
    expect(listener.events.filter(({ data }) => data.status === 'done')).toHaveLength(5_999)
    deaf.destroy()
  })

  it('is sent something where nothing happens, at least every fifteen seconds', async () => {
    const server = await startServer({
      files: { '0000_init_db.up.sql': CATS['0000_init_db.up.sql'] ?? '', '0001_never.up.sql': ENDLESS },
    })
    const id = await begin(server)
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

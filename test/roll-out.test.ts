import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { listen } from './support/events.ts'
import { busy, CATS, ENDLESS, folderWith, write } from './support/folder.ts'
import { type Came, type Load, startLoad } from './support/load.ts'
import { isAlive, query, startServer, until } from './support/server.ts'

const FIRST = { '0000_init_db.up.sql': CATS['0000_init_db.up.sql'] ?? '' }

/** What came beside `statuses` and refusals. */
function neither({ came }: Load, ...statuses: readonly number[]) {
  const clean: readonly Came[] = [...statuses, 'refused', 'refused in the queue']
  return [...came.keys()].filter((one) => !clean.includes(one))
}

describe('a roll-out', () => {
  it('under load answers or refuses every request, tells the running change to its end, and ends in time', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_busy.up.sql': busy(20) } })
    const pollers = startLoad(4, () => ({ url: `${server.url}/migrations` }))
    const posters = startLoad(2, () => ({ url: `${server.url}/migrate?wait=60`, method: 'POST' }))
    await server.logged(({ msg }) => msg === '1 busy')
    const { id } = (await server.get('/migrations')).body.running as { id: string }
    const listeners = [await listen(server, `/runs/${id}/events`), await listen(server, `/runs/${id}/events`)]
    await until(() => pollers.answered > 20)

    const clock = performance.now()
    const ended = server.stop()
    // What takes its place begins to wait while the old one still works.
    const next = await startServer({ database: server.database, migrations: server.migrations })
    const migrated = next.post('/migrate?wait=60')
    expect(await ended).toBe(0)
    console.log(
      `SIGTERM with a run of two seconds under way: exit 0 after ${(performance.now() - clock).toFixed(0)} ms`,
    )
    await Promise.all([pollers.stop(), posters.stop()])
    console.log(`polls: ${JSON.stringify([...pollers.came])}; posts: ${JSON.stringify([...posters.came])}`)
    expect(neither(pollers, 200)).toEqual([])
    expect(neither(posters, 200, 503)).toEqual([])
    expect(posters.came.get(503)).toBeGreaterThan(0)
    for (const listener of listeners) {
      expect(await listener.ended).toBe('whole')
      expect(listener.events.at(-1)).toMatchObject({ event: 'end', data: { id, status: 'succeeded' } })
    }
    expect((await migrated).body).toMatchObject({ status: 'succeeded', steps: [], to: 1 })
    expect(query(server.database, 'SELECT migration_id AS id FROM migration_log')).toEqual([{ id: 0 }, { id: 1 }])
  })

  it('answers once more who keeps a connection, and says that it is the last time', async () => {
    const server = await startServer({ files: CATS })
    const socket = connect(Number(new URL(server.url).port))
    onTestFinished(() => void socket.destroy())
    let text = ''
    socket.on('data', (data) => {
      text += data
    })
    const ask = () => socket.write('GET /migrations HTTP/1.1\r\nHost: localhost\r\n\r\n')
    ask()
    await until(() => text.endsWith('}\n'))
    expect(text).toMatch(/^HTTP\/1\.1 200 .*\r\nconnection: keep-alive/is)
    text = ''
    const ended = server.stop()
    await server.logged(({ msg }) => String(msg).endsWith('received, ending'))
    // So long after it, what is closed at once has been.
    await new Promise((resolve) => setTimeout(resolve, 50))
    ask()
    await once(socket, 'close')
    expect(text).toMatch(/^HTTP\/1\.1 200 .*\r\nconnection: close.*\}\n$/is)
    expect(await ended).toBe(0)
  })

  it('that cannot wait kills: a second signal ends the server at once, its run is undone, and the next one says so', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_never.up.sql': ENDLESS } })
    const { id } = (await server.post('/migrate', { headers: { prefer: 'respond-async' } })).body
    await server.logged(({ msg }) => msg === '1 never')
    const runners = server.children()
    const closed = once(server.process, 'close')
    server.process.kill('SIGTERM')
    await server.logged(({ msg }) => String(msg).endsWith('received, ending'))
    expect((await server.get('/livez')).status).toBe(200)
    server.process.kill('SIGTERM')
    expect((await closed)[0]).toBe(1)
    await until(() => !runners.some(isAlive))
    const next = await startServer({ database: server.database, migrations: server.migrations })
    await until(async () => (await next.get(`/runs/${id}`)).body.status === 'interrupted')
    expect((await next.get('/migrations')).body).toMatchObject({ current: 0, running: null })
  })
})

describe('tokens', () => {
  it('are rotated under load without a failed request: both in the file, then the new one alone', async () => {
    const [old, young] = ['ci:the-old-token-of-the-ci', 'ci:the-new-token-of-the-ci']
    const folder = folderWith({ migrate: `${old}\n` })
    const server = await startServer({ files: CATS, env: { MIGRATE_TOKEN_FILE: join(folder, 'migrate') } })
    let token = old
    const load = startLoad(6, () => ({
      url: `${server.url}/migrate`,
      method: 'POST',
      headers: { authorization: `Bearer ${token.replace('ci:', '')}` },
    }))
    const go = async (more: number) => {
      const goal = load.answered + more
      await until(() => load.answered >= goal)
    }
    await go(30)
    write(folder, { migrate: `${old}\n${young}\n` })
    // At once, though the service has not looked at the file since.
    token = young
    await go(30)
    write(folder, { migrate: `${young}\n` })
    await go(100)
    const refused = async () =>
      (await server.post('/migrate', { headers: { authorization: `Bearer ${old.replace('ci:', '')}` } })).status === 401
    await until(refused)
    await go(30)
    await load.stop()
    console.log(`posts while tokens were rotated: ${JSON.stringify([...load.came])}`)
    expect([...load.came.keys()]).toEqual([200])
    const actors = new Set(
      server.log.filter(({ url, status }) => url === '/migrate' && status === 200).map(({ actor }) => actor),
    )
    expect([...actors]).toEqual(['ci'])
  })
})

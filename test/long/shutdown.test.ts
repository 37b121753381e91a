import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { busy, CATS, ENDLESS } from '../support/folder.ts'
import { isAlive, query, startServer, until } from '../support/server.ts'

const FIRST = { '0000_init_db.up.sql': CATS['0000_init_db.up.sql'] ?? '' }

describe('fault 25: a server that is told to end', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'by %s finishes the running change, refuses others, and ends with 0',
    async (signal) => {
      const server = await startServer({ files: { ...FIRST, '0001_busy.up.sql': busy(16) } })
      const running = server.post('/migrate')
      await server.logged(({ msg }) => msg === '1 busy')
      const queued = server.post('/migrate?wait=60')
      await until(async () => (await server.get('/readyz')).status === 200)
      const all = server.children()
      const ended = server.stop(signal)
      await server.logged(({ msg }) => String(msg).endsWith('received, ending'))
      const readiness = await server.get('/readyz')
      expect(readiness.status).toBe(503)
      expect(readiness.body).toMatchObject({ reason: 'shutting-down' })
      expect(readiness.headers.get('connection')).toBe('close')
      expect((await server.get('/livez')).status).toBe(200)
      expect((await server.post('/migrate')).body).toMatchObject({ status: 503, code: 'shutting-down' })
      expect((await queued).body).toMatchObject({ code: 'shutting-down' })
      expect((await running).body).toMatchObject({ status: 'succeeded', to: 1 })
      expect(await ended).toBe(0)
      await until(() => !all.some(isAlive))
    },
  )

  it('kills what does not end in SHUTDOWN_TIMEOUT, and says so', async () => {
    const server = await startServer({
      files: { ...FIRST, '0001_busy.up.sql': ENDLESS },
      env: { SHUTDOWN_TIMEOUT: '1' },
    })
    const running = server.post('/migrate')
    await server.logged(({ msg }) => msg === '1 busy')
    const ended = server.stop()
    expect((await running).body).toMatchObject({
      status: 503,
      code: 'shutting-down',
      run: { status: 'interrupted', to: 0 },
    })
    expect(await ended).toBe(0)
    expect(query(server.database, 'SELECT status FROM migration_runs')).toEqual([{ status: 'interrupted' }])
  })

  it('does not wait for a rehearsal, of which nothing is lost', async () => {
    const server = await startServer({ files: { ...FIRST, '0001_busy.up.sql': ENDLESS } })
    const rehearsal = server.post('/migrate?rehearse=true')
    await server.logged(({ msg }) => msg === '1 busy')
    const ended = server.stop()
    expect((await rehearsal).body).toMatchObject({ status: 503, code: 'shutting-down', run: { rehearsal: true } })
    expect(await ended).toBe(0)
    expect(readdirSync(dirname(server.database)).filter((name) => /rehearsal(-|$)/.test(name))).toEqual([])
  })

  it('ends at once when nothing runs, a keep-alive client or not, and leaves no process behind', async () => {
    const server = await startServer({ files: CATS })
    await server.post('/migrate')
    await until(() => server.children().length === 1)
    const [spare = 0] = server.children()
    expect(await server.stop()).toBe(0)
    await until(() => !isAlive(spare))
  })

  it('ends with 0 though connections have sent nothing, or half a request', async () => {
    const server = await startServer({ files: FIRST })
    const { hostname, port } = new URL(server.url)
    const texts = ['', 'GET /livez HT', 'POST /migrate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{']
    for (const text of texts) {
      const socket = connect(Number(port), hostname)
      await once(socket, 'connect')
      socket.on('error', () => {})
      if (text !== '') socket.write(text)
    }
    expect(await server.stop()).toBe(0)
    await server.logged(({ msg }) => msg === 'ended')
  })

  it('ends with 0 though nobody reads its log any more', async () => {
    const server = await startServer({ files: FIRST })
    // A connection that is kept gives it something to wait for, and us the time to go away before its last line.
    await server.get('/livez')
    const ended = server.stop()
    await server.logged(({ msg }) => String(msg).endsWith('received, ending'))
    server.process.stdout?.destroy()
    expect(await ended).toBe(0)
  })

  it.each([0, 5, 20, 100])(
    'in the moment when a post arrives (%i ms later) either runs it to its end or refuses it, and ends with 0',
    async (later) => {
      const server = await startServer({
        files: { ...FIRST, '0001_busy.up.sql': ENDLESS },
        env: { SHUTDOWN_TIMEOUT: '0.5' },
      })
      const posted = server.post('/migrate')
      await new Promise((resolve) => setTimeout(resolve, later))
      const ended = server.stop('SIGTERM')
      const { status, body } = await posted
      expect(status).toBe(503)
      expect(body.code).toBe('shutting-down')
      if (body.run !== undefined) expect(body.run.status).toBe('interrupted')
      expect(await ended).toBe(0)
    },
  )

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'by a %s to all its processes finishes the running change all the same',
    async (signal) => {
      const server = await startServer({ files: { ...FIRST, '0001_busy.up.sql': busy(16) } })
      const posted = server.post('/migrate')
      await server.logged(({ msg }) => msg === '1 busy')
      const ended = once(server.process, 'close')
      for (const pid of [...server.children(), server.process.pid ?? 0]) process.kill(pid, signal)
      expect((await posted).body).toMatchObject({ status: 'succeeded', to: 1 })
      expect((await ended)[0]).toBe(0)
    },
  )
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import Sqlite from 'better-sqlite3'
import { describe, expect, it, onTestFinished } from 'vitest'
import { listen } from '../support/events.ts'
import { busy, CATS, ENDLESS } from '../support/folder.ts'
import { ask, type Server, startServer, tied, until } from '../support/server.ts'

const FIRST = { '0000_init_db.up.sql': CATS['0000_init_db.up.sql'] ?? '' }
const NEVER = { ...FIRST, '0001_never.up.sql': ENDLESS }

/** Begins a run and gives its id. */
async function begin(server: Server, path = '/migrate'): Promise<string> {
  const { body } = await server.post(path, { headers: { prefer: 'respond-async' } })
  return String(body.id)
}

function cancel(server: Server, id: string) {
  return ask(`${server.url}/runs/${id}`, { method: 'DELETE' })
}

describe('GET /runs/{id}/events', () => {
  it('tells the run, its steps and statements, and its end, as server-sent events', async () => {
    const server = await startServer({ files: { ...CATS, '0003_busy.up.sql': busy(3) } })
    // Whoever holds this has the run wait, so that all of it is heard.
    const lock = new Sqlite(`${server.database}.lock`)
    lock.exec('BEGIN EXCLUSIVE')
    const id = await begin(server, '/migrate?wait=600')
    const listener = await listen(server, `/runs/${id}/events`)
    lock.close()
    expect(listener.status).toBe(200)
    expect(listener.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(listener.headers.get('cache-control')).toBe('no-store')
    expect(await listener.ended).toBe('whole')
    const { events } = listener
    expect(events[0]).toMatchObject({ event: 'run', data: { id, kind: 'migrate' } })
    expect(events.at(-1)).toMatchObject({ event: 'end', data: { id, status: 'succeeded', to: 3 } })
    expect(events.at(-1)?.data).toEqual((await server.get(`/runs/${id}`)).body)
    const steps = events.filter(({ event }) => event === 'step')
    expect(steps).toHaveLength(8)
    expect(steps.at(-2)?.data).toEqual({ id: 3, name: 'busy', direction: 'up', status: 'running', durationMs: null })
    expect(steps.at(-1)?.data).toMatchObject({ id: 3, status: 'done', durationMs: expect.any(Number) })
    const statement = events.find(({ event, data }) => event === 'statement' && data.id === 3)
    expect(statement?.data).toEqual({ id: 3, n: 1, line: 1, text: expect.any(String), elapsedMs: expect.any(Number) })
    expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)
    expect(new Set(events.map(({ event }) => event))).toEqual(new Set(['run', 'step', 'statement', 'end']))
  })

  it('tells a statement while it is executed, with its line, to who comes later too', async () => {
    const script = `CREATE TABLE a (x);\n\n${ENDLESS}`
    const server = await startServer({ files: { ...FIRST, '0001_never.up.sql': script } })
    const id = await begin(server)
    const first = await listen(server, `/runs/${id}/events`)
    const heard = await first.heard(({ event, data }) => event === 'statement' && data.n === 2)
    expect(heard.data).toMatchObject({ id: 1, line: 3, text: expect.stringMatching(/^CREATE TABLE/) })
    const later = await listen(server, `/runs/${id}/events`)
    expect((await later.heard(({ event }) => event === 'statement')).data).toEqual(heard.data)
    expect(later.events.map(({ event }) => event)).toEqual(['run', 'statement'])
    expect((await server.get(`/runs/${id}`)).body.status).toBe('running')
    await cancel(server, id)
    for (const listener of [first, later]) {
      expect(await listener.ended).toBe('whole')
      expect(listener.events.at(-1)).toMatchObject({ event: 'end', data: { status: 'cancelled' } })
    }
  })

  it('tells the statement that stays, of many that went by too fast to be told', async () => {
    const fast = Array.from({ length: 2_000 }, (_, n) => `INSERT INTO a VALUES (${n});\n`).join('')
    const files = { '0000_never.up.sql': `CREATE TABLE a (x);\n${fast}${ENDLESS}` }
    const server = await startServer({ files, env: { RUN_TIMEOUT: '4' } })
    await tied(server)
    const id = await begin(server)
    const listener = await listen(server, `/runs/${id}/events`)
    await listener.heard(({ event, data }) => event === 'statement' && data.n === 2_002 && data.line === 2_002)
    const end = await listener.heard(({ event }) => event === 'end')
    expect(end.data).toMatchObject({ status: 'timed-out', error: { code: 'timed-out', line: 2_002 } })
    expect(listener.events.filter(({ event }) => event === 'statement').length).toBeLessThan(20)
  })

  it('tells the step that stays, of many that went by too fast to be told one by one, and each of them once', async () => {
    const fast = Array.from({ length: 200 }, (_, n) => [`${n}_fast.up.sql`, `CREATE TABLE t${n} (x);`])
    const server = await startServer({ files: { ...Object.fromEntries(fast), '200_never.up.sql': ENDLESS } })
    await tied(server)
    const lock = new Sqlite(`${server.database}.lock`)
    lock.exec('BEGIN EXCLUSIVE')
    const id = await begin(server, '/migrate?wait=600')
    const listener = await listen(server, `/runs/${id}/events`)
    lock.close()
    await listener.heard(({ event, data }) => event === 'step' && data.id === 200)
    const steps = listener.events.filter(({ event }) => event === 'step').map(({ data }) => `${data.id} ${data.status}`)
    expect(steps).toEqual([...fast.flatMap((_, n) => [`${n} running`, `${n} done`]), '200 running'])
    await listener.heard(({ event, data }) => event === 'statement' && data.id === 200)
    await cancel(server, id)
    expect(await listener.ended).toBe('whole')
    const all = listener.events.filter(({ event }) => event === 'step').map(({ data }) => `${data.id} ${data.status}`)
    expect(all).toEqual([...steps, '200 failed'])
  })

  it('tells a step that fails, and cuts no character in two', async () => {
    const script = `INSERT INTO nowhere VALUES ('${'x'.repeat(199 - 29)}${'😀'.repeat(9)}');`
    const server = await startServer({ files: { ...FIRST, '0001_bad.up.sql': script } })
    const lock = new Sqlite(`${server.database}.lock`)
    lock.exec('BEGIN EXCLUSIVE')
    const id = await begin(server, '/migrate?wait=600')
    const listener = await listen(server, `/runs/${id}/events`)
    lock.close()
    expect(await listener.ended).toBe('whole')
    const steps = listener.events.filter(({ event, data }) => event === 'step' && data.id === 1)
    expect(steps.map(({ data }) => data.status)).toEqual(['running', 'failed'])
    const { body } = await server.get(`/runs/${id}`)
    const { statement } = body.error as { statement: string }
    // With one more unit, half an emoji would be the last.
    expect(statement).toBe(script.slice(0, 199))
    expect(statement.isWellFormed()).toBe(true)
  })

  it('tells a statement whatever is in it', async () => {
    const fast = 'INSERT INTO a VALUES (1);\n'.repeat(20)
    const slow = ENDLESS.replace('CREATE TABLE', '/* \u2028 \u2029 \n */ CREATE TABLE').replace(
      'max(i)',
      "max(i || '\u2028')",
    )
    const server = await startServer({ files: { '0000_never.up.sql': `CREATE TABLE a (x);\n${fast}${slow}` } })
    const id = await begin(server)
    const listener = await listen(server, `/runs/${id}/events`)
    const { data } = await listener.heard(({ event, data }) => event === 'statement' && data.n === 22)
    expect(data.text).toMatch(/^CREATE TABLE .*\u2028/)
    await cancel(server, id)
  })

  it('tells a run that waits for its turn, and that it was refused', async () => {
    const server = await startServer({ files: NEVER })
    const first = await begin(server)
    await server.logged(({ msg }) => msg === '1 never')
    const [queued, dropped] = [await begin(server, '/migrate?wait=600&from=5'), await begin(server, '/rollback?wait=1')]
    const listeners = [await listen(server, `/runs/${queued}/events`), await listen(server, `/runs/${dropped}/events`)]
    await listeners[1]?.ended
    await cancel(server, first)
    await listeners[0]?.ended
    const told = listeners.map(({ events }) => events.map(({ event, data }) => [event, data.status, data.error]))
    expect(told).toMatchObject([
      [
        ['run', 'queued', null],
        ['end', 'failed', { code: 'precondition-failed' }],
      ],
      [
        ['run', 'queued', null],
        ['end', 'failed', { code: 'change-in-progress' }],
      ],
    ])
  })

  it('of an ended run tells the run and the end, after a restart too; a browser that has seen it stays away', async () => {
    const server = await startServer({ files: CATS })
    const { id } = (await server.post('/migrate')).body
    const judge = async (asked: Server) => {
      const { ended, events } = await listen(asked, `/runs/${id}/events`)
      expect(await ended).toBe('whole')
      expect(events.map(({ event, data }) => [event, data.id, data.status])).toEqual([
        ['run', id, 'succeeded'],
        ['end', id, 'succeeded'],
      ])
      const again = await asked.get(`/runs/${id}/events`, { 'last-event-id': events.at(-1)?.id ?? '' })
      expect(again).toMatchObject({ status: 204, text: '' })
      const back = await listen(asked, `/runs/${id}/events`, { 'last-event-id': events[0]?.id ?? '' })
      expect(await back.ended).toBe('whole')
      expect(back.events).toEqual(events)
    }
    await judge(server)
    await server.stop()
    await judge(await startServer({ database: server.database, migrations: server.migrations }))
  })

  it('follows a run of another server by its steps, to its end', async () => {
    const files = { ...FIRST, '0001_busy.up.sql': busy(8), '0002_busy.up.sql': busy(8).replaceAll('busy', 'more') }
    const one = await startServer({ files })
    const other = await startServer({ database: one.database, migrations: one.migrations })
    const id = await begin(one)
    await one.logged(({ msg }) => msg === '1 busy')
    const listener = await listen(other, `/runs/${id}/events`)
    expect(await listener.ended).toBe('whole')
    expect(listener.events[0]).toMatchObject({ event: 'run', data: { id, status: 'running' } })
    expect(listener.events.map(({ event, data }) => `${event} ${data.id} ${data.status}`)).toContain('step 1 done')
    expect(listener.events.at(-1)).toMatchObject({ event: 'end', data: { id, status: 'succeeded', to: 2 } })
  })

  it.each([
    ['that nobody knows', '/runs/nobody/events', {}, 404, 'not-found'],
    ['with a parameter', '/runs/nobody/events?x=1', {}, 400, 'invalid-request'],
  ])('is refused for a run %s, with a problem', async (_, path, headers, status, code) => {
    const server = await startServer({ files: CATS })
    expect(await server.get(path, headers)).toMatchObject({ status, body: { status, code } })
  })

  it('takes a token like every GET', async () => {
    const server = await startServer({ files: CATS, env: { READ_TOKEN: 'a-read-token-of-length' } })
    expect((await server.get('/runs/nobody/events')).status).toBe(401)
  })

  it('comes to curl as it happens', async () => {
    const server = await startServer({ files: NEVER })
    const id = await begin(server)
    await server.logged(({ msg }) => msg === '1 never')
    const curl = spawn('curl', ['-sS', '-N', `${server.url}/runs/${id}/events`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(() => void curl.kill())
    let text = ''
    curl.stdout.on('data', (data: Buffer) => {
      text += data
    })
    await until(() => text.includes('event: statement'))
    await cancel(server, id)
    expect((await once(curl, 'close'))[0]).toBe(0)
    expect(text).toMatch(/^event: run\nid: 1\ndata: \{.*\}\n\n/)
    expect(text).toMatch(/\n\nevent: end\nid: end\ndata: \{.*"status":"cancelled".*\}\n\n$/)
  })

  it('answers HEAD with the headers alone', async () => {
    const server = await startServer({ files: CATS })
    const { id } = (await server.post('/migrate')).body
    const head = await ask(`${server.url}/runs/${id}/events`, { method: 'HEAD' })
    expect(head).toMatchObject({ status: 200, text: '' })
    expect((await ask(`${server.url}/runs/nobody/events`, { method: 'HEAD' })).status).toBe(404)
  })
})

describe('a listener', () => {
  it('that leaves hinders nobody, and the run goes on', async () => {
    const server = await startServer({ files: NEVER })
    const id = await begin(server)
    const [gone, stays] = [await listen(server, `/runs/${id}/events`), await listen(server, `/runs/${id}/events`)]
    await stays.heard(({ event, data }) => event === 'statement' && data.id === 1)
    gone.leave()
    await gone.ended
    await server.logged(({ url, left }) => String(url).endsWith('/events') && left === true)
    expect((await server.get(`/runs/${id}`)).body.status).toBe('running')
    await cancel(server, id)
    expect((await stays.heard(({ event }) => event === 'end')).data).toMatchObject({ status: 'cancelled' })
  })

  it('that does not read does not hold up the end of the server', async () => {
    const server = await startServer({ files: NEVER, env: { SHUTDOWN_TIMEOUT: '0.5' } })
    const id = await begin(server)
    await server.logged(({ msg }) => msg === '1 never')
    const deaf = connect(Number(new URL(server.url).port))
    onTestFinished(() => void deaf.destroy())
    deaf.on('error', () => {})
    deaf.pause()
    deaf.write(`GET /runs/${id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    const listener = await listen(server, `/runs/${id}/events`)
    expect(await server.stop()).toBe(0)
    expect(await listener.ended).toBe('whole')
    expect(listener.events.at(-1)).toMatchObject({ event: 'end', data: { status: 'interrupted' } })
  })
})

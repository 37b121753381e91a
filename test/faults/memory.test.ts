import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { CATS, write } from '../support/folder.ts'
import { contentOf, query, startServer, until } from '../support/server.ts'

it.each([
  [
    'SIGABRT',
    'a module that takes memory without end',
    `const taken = []; for (;;) taken.push(new Array(100_000).fill({}))`,
  ],
  ['SIGKILL', 'the kernel', `process.kill(process.pid, 'SIGKILL'); for (;;);`],
])(
  'fault 22: %s, by which %s ends a runner, is named; its step is undone, and the next post goes on',
  async (signal, _, act) => {
    const server = await startServer({
      files: { ...CATS, '0003_hungry.mjs': `export function up(db) { db.exec('CREATE TABLE hungry (x)'); ${act} }\n` },
      env: { NODE_OPTIONS: '--max-old-space-size=64' },
    })
    expect((await server.post('/migrate?target=2')).status).toBe(200)
    const before = contentOf(server.database)
    const { status, body } = await server.post('/migrate')
    expect([status, body.code, body.retryable]).toEqual([500, 'runner-crashed', true])
    expect(body.detail).toContain(signal)
    expect(body.run).toMatchObject({ status: 'failed', from: 2, to: 2, steps: [{ id: 3, status: 'failed' }] })
    expect(body.run?.error).toMatchObject({ code: 'runner-crashed', id: 3, file: '0003_hungry.mjs' })
    expect(contentOf(server.database)).toEqual(before)
    expect(before.integrity).toBe('ok')
    expect((await server.get('/migrations')).body).toMatchObject({ current: 2, pending: 1, running: null })
    await until(() => server.children().length <= 1)
    rmSync(join(server.migrations, '0003_hungry.mjs'))
    write(server.migrations, { '0003_modest.up.sql': 'CREATE TABLE modest (x);' })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', from: 2, to: 3 })
    expect(query(server.database, 'SELECT status FROM migration_runs ORDER BY id')).toEqual([
      { status: 'succeeded' },
      { status: 'failed' },
      { status: 'succeeded' },
    ])
  },
)

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { CATS, folderWith, temporaryFolder } from './support/folder.ts'
import { until } from './support/server.ts'

const LOG = new URL('../src/log.ts', import.meta.url).href
const MAIN = new URL('../src/main.ts', import.meta.url).pathname

/** A process that writes `lines` lines to the log of `level` when it is told to, ends the log, and exits with 7. */
function logger(lines: number, level = 'info') {
  const script = `
import { once } from 'node:events'
import { openLog } from '${LOG}'
await once(process.stdin, 'data')
const { log, end } = openLog('${level}')
for (let line = 0; line < ${lines}; line += 1) log.info({ line, text: 'x'.repeat(100) }, 'a line')
await end()
process.exit(7)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

it('writes all lines before the process exits', async () => {
  const child = logger(5_000)
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (data: string) => {
    text += data
  })
  child.stdin.write('go\n')
  expect(await once(child, 'close')).toEqual([7, null])
  const lines = text.trimEnd().split('\n')
  expect(lines.map((line) => (JSON.parse(line) as { line: number }).line)).toEqual([...lines.keys()])
  expect(lines.length).toBe(5_000)
})

it.each([1, 3, 5_000])('lets the process exit though the reader of %d lines has gone away', async (lines) => {
  const child = logger(lines)
  child.stdout.destroy()
  await once(child.stdout, 'close')
  child.stdin.write('go\n')
  expect(await once(child, 'exit')).toEqual([7, null])
})

it('lets the process exit where nothing is logged', async () => {
  const child = logger(3, 'silent')
  child.stdin.write('go\n')
  expect(await once(child, 'exit')).toEqual([7, null])
})

it.each([1, 5_000])('lets the process exit though %d lines are left that cannot be written', async (lines) => {
  for (const end of ['await end()\n', '']) {
    const script = `
import { openLog } from '${LOG}'
const { log, end } = openLog('info')
for (let line = 0; line < ${lines}; line += 1) log.info({ line, text: 'x'.repeat(100) }, 'a line')
await new Promise((resolve) => setTimeout(resolve, 50))
${end}process.exit(7)`
    const full = openSync('/dev/full', 'w')
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', full, 'pipe'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    closeSync(full)
    let said = ''
    child.stderr?.setEncoding('utf8').on('data', (data: string) => {
      said += data
    })
    expect(await once(child, 'close')).toEqual([7, null])
    expect(said).toMatch(/^schemad: the log cannot be written, and lines of it may be lost: ENOSPC.*\n$/)
  }
})

it('is written when it can be again, though nothing is added to it', async () => {
  // The first write fails, and none after it.
  const script = `
import fs from 'node:fs'
const { write } = fs
let failed = 0
fs.write = (fd, text, ...rest) => {
  if (fd !== 1 || failed > 0) return write(fd, text, ...rest)
  failed += 1
  process.nextTick(rest.at(-1), Object.assign(new Error('full'), { code: 'ENOSPC' }))
}
const { openLog } = await import('${LOG}')
openLog('info').log.info('the only one')
setInterval(() => {}, 1_000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  expect(JSON.parse(line.toString())).toMatchObject({ msg: 'the only one' })
})

it('that cannot be written stops no service: it migrates, and ends when it is told to', async () => {
  const folder = folderWith(CATS)
  const database = join(temporaryFolder(), 'app.db')
  const port = await freePort()
  const full = openSync('/dev/full', 'w')
  const env = { DATABASE_URL: database, MIGRATIONS_DIR: folder, PORT: String(port), PATH: process.env.PATH ?? '' }
  const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', full, 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  closeSync(full)
  const url = `http://127.0.0.1:${port}`
  await until(async () => (await fetch(`${url}/livez`).catch(() => null))?.status === 200)
  const answer = await fetch(`${url}/migrate`, { method: 'POST' })
  expect(await answer.json()).toMatchObject({ status: 'succeeded', to: 2 })
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect((await fetch(`${url}/livez`)).status).toBe(200)
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

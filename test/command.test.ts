import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, it, onTestFinished } from 'vitest'
import { CATS, folderWith, temporaryFolder, write } from './support/folder.ts'
import { ask, COMPILED } from './support/server.ts'

const BIN = new URL('../src/bin.cts', import.meta.url).pathname
/** A user that may not do everything; only root may become another, and only where the other can read this. */
const USER = process.getuid?.() === 0 ? { uid: 1000, gid: 1000 } : {}
const mayRun = spawnSync(process.execPath, ['--check', BIN], USER).status === 0

/** What the command says in `folder`, and how it ends. */
function schemad(
  folder: string,
  env: Record<string, string> = {},
  words: string[] = [],
  as: object = {},
  node: string[] = [],
) {
  const options = {
    cwd: folder,
    encoding: 'utf8',
    env: { ...COMPILED, PORT: '0', ...env },
    timeout: 30_000,
    ...as,
  } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, [...node, BIN, ...words], options)
  return { status, stdout, stderr }
}

it('serves the migrations of the folder in which it is started', async () => {
  const folder = temporaryFolder()
  write(join(folder, 'migrations'), CATS)
  const child = spawn(process.execPath, [BIN], {
    cwd: folder,
    env: { ...COMPILED, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const line = await new Promise<string>((resolve) => createInterface(child.stdout).once('line', resolve))
  const url = (JSON.parse(line) as { msg: string }).msg.replace('listening on ', '')
  expect((await ask(`${url}/migrate`, { method: 'POST' })).body).toMatchObject({ status: 'succeeded', to: 2 })
  child.kill('SIGTERM')
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0)
})

it('says what it takes, and its version', () => {
  const folder = temporaryFolder()
  const help = schemad(folder, {}, ['--help'])
  expect(help).toMatchObject({ status: 0, stderr: '' })
  for (const word of ['Usage: schemad', 'DATABASE_URL', 'MIGRATIONS_DIR', 'ADMIN_TOKEN'])
    expect(help.stdout).toMatch(word)
  expect(schemad(folder, {}, ['--version'])).toEqual({ status: 0, stdout: '0.1.0\n', stderr: '' })
})

it.each([
  { what: 'an argument', words: ['up'], says: /^schemad: up is not understood; .*--help tells how\n$/ },
  { what: 'an option', words: ['--port=1'], says: /^schemad: --port is not understood; .*\n$/ },
  { what: 'a word too many', words: ['--help', 'me'], says: /^schemad: me is not understood; .*\n$/ },
  {
    what: 'no migrations directory',
    words: [],
    says: /^schemad: MIGRATIONS_DIR=migrations: \/.*\/migrations is no folder; make it, or .*\n$/,
  },
  { what: 'a variable', words: [], env: { PORT: 'x' }, says: /^schemad: PORT=x: allowed is .*\n$/ },
])('refuses $what in one line', ({ words, env = {}, says }) => {
  const { status, stdout, stderr } = schemad(temporaryFolder(), env, words)
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toMatch(says)
})

it('refuses a file in the place of the directory in one line', () => {
  const folder = folderWith({ migrations: '' })
  expect(schemad(folder).stderr).toMatch(/^schemad: MIGRATIONS_DIR=migrations: .* is no folder; .*\n$/)
})

it('refuses a data folder below a file in one line', () => {
  const folder = folderWith({ data: '' })
  write(join(folder, 'migrations'), CATS)
  const { status, stderr } = schemad(folder)
  expect(status).toBe(1)
  expect(stderr).toMatch(/^schemad: DATABASE_URL: \/.*\/data is no folder that can be read and written; mend .*\n$/)
})

it.skipIf(!mayRun)('refuses a migrations directory that cannot be read in one line', () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'migrations'))
  chmodSync(join(folder, 'migrations'), 0o311)
  chmodSync(folder, 0o755)
  const { status, stderr } = schemad(folder, {}, [], USER)
  expect(status).toBe(1)
  expect(stderr).toMatch(/^schemad: MIGRATIONS_DIR=migrations: \/.*\/migrations cannot be read; mend .*\n$/)
})

it.skipIf(!mayRun)('refuses a data folder that cannot be written in one line', () => {
  const folder = temporaryFolder()
  write(join(folder, 'migrations'), CATS)
  mkdirSync(join(folder, 'data'))
  chmodSync(join(folder, 'data'), 0o555)
  chmodSync(folder, 0o755)
  const { status, stdout, stderr } = schemad(folder, {}, [], USER)
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toMatch(/^schemad: DATABASE_URL: \/.*\/data is no folder that can be read and written; mend .*\n$/)
})

it('refuses a port that is in use in one line', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void taken.close())
  const folder = temporaryFolder()
  write(join(folder, 'migrations'), CATS)
  const port = String((taken.address() as { port: number }).port)
  const { status, stdout, stderr } = schemad(folder, { PORT: port })
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toMatch(
    new RegExp(`^schemad: PORT=${port}: another program listens there on 127.0.0.1; allowed is .*\n$`),
  )
})

it.each(['20.20.2', '22.17.1', '18.0.0'])('refuses Node %s in one line, before anything is loaded', (version) => {
  const folder = folderWith({
    'older.cjs': `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })
process.dlopen = (_, file) => { throw new Error('loads ' + file) }`,
  })
  write(join(folder, 'migrations'), CATS)
  const { status, stdout, stderr } = schemad(folder, {}, [], {}, ['--require', join(folder, 'older.cjs')])
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toBe(`schemad: this is Node ${version}, and it takes 22.18 or newer; install one, or run the image\n`)
})

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, it, onTestFinished } from 'vitest'
import { temporaryFolder } from './support/folder.ts'
import { ask } from './support/server.ts'

const ROOT = new URL('..', import.meta.url).pathname
/** The user of the image; only root may become another. */
const USER = process.getuid?.() === 0 ? { uid: 1000, gid: 1000 } : {}

/** The instructions of the Dockerfile, continued lines joined. */
function instructions(): [verb: string, rest: string][] {
  const text = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, ' ')
  return [...text.matchAll(/^(\w+) +(.*)$/gm)].map((match) => [match[1] ?? '', match[2] ?? ''])
}

/** Does the steps of the Dockerfile below `image` instead of below `/`; `ENV`, `HEALTHCHECK` and `CMD` are given. */
function build(image: string) {
  const stages = new Map<string, string>()
  let stage = ''
  let folder = ''
  let env: Record<string, string> = {}
  const last = new Map<string, string>()
  for (const [verb, rest] of instructions()) {
    last.set(verb, rest)
    if (verb === 'FROM') {
      stage = join(image, String(stages.size))
      stages.set(/ AS (\w+)/.exec(rest)?.[1] ?? 'last', stage)
      env = {}
    } else if (verb === 'WORKDIR') {
      folder = join(stage, rest)
      mkdirSync(folder, { recursive: true })
    } else if (verb === 'COPY') {
      const from = /^--from=(\w+) /.exec(rest)?.[1]
      const paths = rest.replace(/^--from=\w+ /, '').split(' ')
      const to = paths.pop() ?? ''
      for (const path of paths) {
        const found = join(from === undefined ? ROOT : (stages.get(from) ?? ''), path)
        cpSync(found, to.endsWith('/') ? join(folder, to, path) : join(folder, to), { recursive: true })
      }
    } else if (verb === 'ENV') {
      env = { ...env, ...Object.fromEntries(rest.split(/ +/).map((one) => one.split('=') as [string, string])) }
    } else if (verb === 'RUN' && rest.startsWith('npm ')) {
      execFileSync('sh', ['-c', rest], { cwd: folder, stdio: 'ignore' })
    } else if (verb === 'RUN') {
      const data = join(stage, rest.split(' ').at(-1) ?? '')
      mkdirSync(data)
      if (USER.uid) chownSync(data, USER.uid, USER.gid)
    }
  }
  const command = (text = '') => JSON.parse(text.slice(text.indexOf('['))) as [string, ...string[]]
  return {
    stage,
    folder,
    env,
    check: command(last.get('HEALTHCHECK')?.split('CMD ')[1]),
    start: command(last.get('CMD')),
  }
}

it('the steps of the Dockerfile, done in an empty folder, give a service that runs as another user and asks for a token', async () => {
  const image = temporaryFolder()
  for (let path = realpathSync(image); path !== dirname(path); path = dirname(path)) {
    if (path.includes('schemad-')) chmodSync(path, 0o755)
  }
  const { stage, folder, env, check, start } = build(image)
  expect(env).toMatchObject({ HOST: '0.0.0.0', DATABASE_URL: 'sqlite:/data/app.db', MIGRATIONS_DIR: '/migrations' })
  expect(existsSync(join(folder, 'node_modules/better-sqlite3'))).toBe(true)
  expect(existsSync(join(folder, 'node_modules/vitest'))).toBe(false)

  cpSync(join(ROOT, 'migrations'), join(stage, 'migrations'), { recursive: true })
  const paths = { DATABASE_URL: `sqlite:${stage}/data/app.db`, MIGRATIONS_DIR: join(stage, 'migrations') }
  // This Node stands for the image's; it is run from where that user can reach it.
  const node = join(image, 'node')
  cpSync(process.execPath, node)
  const options = (more: Record<string, string>) => ({ cwd: folder, env: { ...env, ...paths, ...more }, ...USER })

  const open = spawnSync(node, start.slice(1), { ...options({}), encoding: 'utf8' })
  expect(open.status).toBe(1)
  expect(open.stderr).toMatch(/^schemad: HOST=0\.0\.0\.0: .*ADMIN_TOKEN.*\n$/)

  const token = 'a-token-of-some-length'
  // Port 0 would not be known to the health check.
  const PORT = String(20_000 + (process.pid % 10_000))
  const server = spawn(node, start.slice(1), {
    ...options({ PORT, ADMIN_TOKEN: token, HOST: '127.0.0.1' }),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void server.kill('SIGKILL'))
  await new Promise<void>((resolve) => createInterface(server.stdout).once('line', () => resolve()))
  const headers = { authorization: `Bearer ${token}` }
  const url = `http://127.0.0.1:${PORT}`
  expect((await ask(`${url}/migrate`, { method: 'POST' })).status).toBe(401)
  expect((await ask(`${url}/migrate`, { method: 'POST', headers })).body).toMatchObject({ status: 'succeeded', to: 7 })
  expect((await ask(`${url}/migrations`, { headers })).body).toMatchObject({ state: 'up-to-date' })
  const health = () => spawnSync(node, check.slice(1), options({ PORT })).status
  expect(health()).toBe(0)
  server.kill('SIGTERM')
  await new Promise((resolve) => server.once('close', resolve))
  expect(server.exitCode).toBe(0)
  expect(health()).toBe(1)
})

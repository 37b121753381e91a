import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { gzipSync } from 'node:zlib'
import { validate } from 'dockerfile-utils'
import { expect, it, onTestFinished } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { ask, freePort } from '../support/server.ts'

const ROOT = new URL('../..', import.meta.url).pathname
const DOCKERFILE = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')

/** The instructions of the Dockerfile, continued lines joined. */
function instructions(): [verb: string, rest: string][] {
  const text = DOCKERFILE.replace(/^#.*\n/gm, '').replace(/\\\n\s*/g, ' ')
  return [...text.matchAll(/^(\w+) +(.*)$/gm)].map((match) => [match[1] ?? '', match[2] ?? ''])
}

/** What the build is given: everything is ignored but this. */
function context(): string[] {
  const lines = readFileSync(join(ROOT, '.dockerignore'), 'utf8').trim().split('\n')
  expect(lines[0]).toBe('*')
  return lines.slice(1).map((line) => line.replace(/^!/, ''))
}

/** The ids of the users that the base image has beside root. */
const IDS: Readonly<Record<string, number>> = { node: 1000 }

/** Does the steps of the Dockerfile below `image`, a folder for each stage, instead of below `/`. */
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
      copy(rest, stages, folder)
    } else if (verb === 'ENV') {
      env = { ...env, ...Object.fromEntries(rest.split(/ +/).map((one) => one.split('=') as [string, string])) }
    } else if (verb === 'RUN') {
      const user = last.get('USER')
      const command = rest.replace('-o node -g node /', `-o ${IDS.node} -g ${IDS.node} ${stage}/`)
      const inside = user && ['unshare', '-m', 'sh', '-c', ROOTED, 'sh', stage, folder.slice(stage.length), IDS[user]]
      const words = inside
        ? [...inside.map(String), ...rest.replace(/^node /, '/node ').split(' ')]
        : ['sh', '-c', command]
      // This Node stands for the image's.
      if (inside) cpSync(process.execPath, join(stage, 'node'))
      const [program = '', ...more] = words
      execFileSync(program, more, {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'inherit'],
        env: inside ? { PATH: process.env.PATH, ...env } : process.env,
      })
    }
  }
  const command = (text = '') => JSON.parse(text.slice(text.indexOf('['))) as [string, ...string[]]
  const check = command(last.get('HEALTHCHECK')?.split('CMD ')[1])
  const word = (verb: string) => last.get(verb) ?? ''
  return {
    stage,
    env,
    folder: word('WORKDIR'),
    user: word('USER'),
    data: word('VOLUME'),
    port: word('EXPOSE'),
    check,
    start: command(last.get('CMD')),
  }
}

function copy(rest: string, stages: ReadonlyMap<string, string>, folder: string): void {
  const from = /^--from=(\w+) /.exec(rest)?.[1]
  const paths = rest.replace(/^--from=\w+ /, '').split(' ')
  const to = paths.pop() ?? ''
  for (const path of paths) {
    if (from === undefined) expect(context()).toContain(path)
    const found = join(from === undefined ? ROOT : (stages.get(from) ?? ''), path)
    cpSync(found, to.endsWith('/') ? join(folder, to, path) : join(folder, to), { recursive: true })
  }
}

/** Bytes of all files below `folder`. */
function sizeOf(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return files.reduce((bytes, { parentPath, name }) => bytes + statSync(join(parentPath, name)).size, 0)
}

/** Makes `$1` the root of what follows. This machine's `/usr` stands for the base image's. */
const ROOT_OF_BASE = `set -e
root=$1 folder=$2 user=$3; shift 3
mkdir -p "$root/usr" "$root/proc" "$root/dev" "$root/migrations"
mkdir -p -m 1777 "$root/tmp"
for link in bin lib lib64; do if [ -L /$link ]; then ln -sfn usr/$link "$root/$link"; fi; done
mount --bind "$root" "$root"
for folder_of_base in usr proc dev; do mount --bind /$folder_of_base "$root/$folder_of_base"; done`
const RUN_THERE = `exec chroot --userspec=$user:$user "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$folder" "$@"`

/** Runs the rest in the root `$1`, in the folder `$2` as the user `$3`: what a builder of images does. */
const ROOTED = `${ROOT_OF_BASE}\n${RUN_THERE}`

/** The same with the root read-only, but for its folder `$4`: what a container runtime does. */
const CONTAINER = `${ROOT_OF_BASE}
data=$1; shift
mount -o remount,bind,ro "$root"
mount --bind "$root$data" "$root$data" && mount -o remount,bind,rw "$root$data"
${RUN_THERE}`

it('the Dockerfile has nothing that a linter finds', () => {
  expect(validate(DOCKERFILE)).toEqual([])
  // It does find something where there is something.
  expect(validate(`${DOCKERFILE}\nRUM true\n`).length).toBeGreaterThan(0)
})

it.skipIf(process.getuid?.() !== 0)(
  'the steps of the Dockerfile, done in an empty folder, give a root for another user, read-only but for its data, that asks for a token',
  async () => {
    const { stage, env, folder, user, data, port, check, start } = build(temporaryFolder())
    rmSync(join(stage, 'node'))
    // Anybody else would be root, or nobody that the base image has.
    const id = IDS[user]
    expect({ user, id, data, port }).toEqual({ user: 'node', id: 1000, data: '/data', port: env.PORT })
    expect(env).toMatchObject({ HOST: '0.0.0.0', DATABASE_URL: 'sqlite:/data/app.db', MIGRATIONS_DIR: '/migrations' })
    for (const [path, there] of [
      ['dist/main.js', true],
      ['node_modules/better-sqlite3', true],
      ['src', false],
      ['node_modules/vitest', false],
      ['node_modules/typescript', false],
    ] as const) {
      expect({ path, there: existsSync(join(stage, folder, path)) }).toEqual({ path, there })
    }
    // What it adds to the base image, as the README tells it.
    expect(sizeOf(stage)).toBeLessThan(38_000_000)
    expect(gzipSync(execFileSync('tar', ['c', '.'], { cwd: stage, maxBuffer: 1 << 27 })).length).toBeLessThan(9_500_000)

    cpSync(join(ROOT, 'migrations'), join(stage, 'migrations'), { recursive: true })
    cpSync(process.execPath, join(stage, 'node'))
    const inside = (words: readonly string[]) =>
      [
        'unshare',
        ['-m', 'sh', '-c', CONTAINER, 'sh', stage, folder, String(id), data, '/node', ...words.slice(1)],
      ] as const
    const path = { PATH: process.env.PATH ?? '' }

    const open = spawnSync(...inside(start), { env: { ...path, ...env }, encoding: 'utf8' })
    expect(open).toMatchObject({ status: 1, stdout: '' })
    expect(open.stderr).toMatch(/^schemad: HOST=0\.0\.0\.0: .*ADMIN_TOKEN.*\n$/)

    const token = 'a-token-of-some-length'
    // Port 0 would not be known to the health check.
    const PORT = String(await freePort())
    const server = spawn(...inside(start), {
      env: { ...path, ...env, PORT, ADMIN_TOKEN: token, HOST: '127.0.0.1', NODE_DEBUG_NATIVE: 'COMPILE_CACHE' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let told = ''
    server.stderr.on('data', (data) => {
      told += data
    })
    onTestFinished(() => void server.kill('SIGKILL'))
    await new Promise<void>((resolve, reject) => {
      createInterface(server.stdout).once('line', () => resolve())
      server.once('close', () => reject(new Error('the server has ended')))
    })
    expect(told).toMatch(/code cache for ESM file:\/\/\/app\/dist\/main\.js was accepted/)
    const headers = { authorization: `Bearer ${token}` }
    const url = `http://127.0.0.1:${PORT}`
    expect((await ask(`${url}/migrate`, { method: 'POST' })).status).toBe(401)
    expect((await ask(`${url}/migrate`, { method: 'POST', headers })).body).toMatchObject({
      status: 'succeeded',
      to: 7,
    })
    expect((await ask(`${url}/migrations`, { headers })).body).toMatchObject({ state: 'up-to-date' })
    expect((await ask(`${url}/rollback`, { method: 'POST', headers })).body).toMatchObject({
      backup: expect.any(String),
    })
    const written = readdirSync(join(stage, 'data')).map((name) => [name, statSync(join(stage, 'data', name)).uid])
    expect(Object.fromEntries(written)).toMatchObject({ 'app.db': 1000, backups: 1000 })
    const health = () => spawnSync(...inside(check), { env: { ...path, ...env, PORT } }).status
    expect(health()).toBe(0)
    server.kill('SIGTERM')
    await new Promise((resolve) => server.once('close', resolve))
    expect(server.exitCode).toBe(0)
    expect(health()).toBe(1)
  },
  300_000,
)

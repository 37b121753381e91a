import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { CATS, temporaryFolder, write } from '../support/folder.ts'
import { ask } from '../support/server.ts'

const ROOT = new URL('../..', import.meta.url).pathname
const BIN = join(ROOT, 'node_modules/.bin')
/** The types that index.d.ts leads to. */
const TYPES = [
  'index',
  'core/errors',
  'core/migration',
  'sqlite/attempt',
  'sqlite/database',
  'sqlite/guard',
  'sqlite/ledger',
  'sqlite/migrator',
  'sqlite/statement',
  'sqlite/steps',
  'sqlite/transaction',
  'sqlite/watched',
]

let tarball = ''
/** An empty folder into which the tarball was installed. */
let folder = ''

/** Runs it with the Node of this project first, and gives what it says. */
function run(command: string, words: string[], cwd: string, path = `${BIN}:${process.env.PATH}`): string {
  const { status, stdout, stderr } = spawnSync(command, words, {
    cwd,
    encoding: 'utf8',
    // Who is behind a proxy of his own reaches the registry with a certificate of its own.
    env: {
      PATH: path,
      HOME: process.env.HOME ?? '',
      NO_COLOR: '1',
      NODE_EXTRA_CA_CERTS: process.env.NODE_EXTRA_CA_CERTS,
    },
  })
  expect({ command, words, status, told: status === 0 ? '' : stdout + stderr }).toMatchObject({ status: 0, told: '' })
  return stdout
}

beforeAll(() => {
  const ends: (() => void)[] = []
  const source = temporaryFolder((end) => ends.push(end))
  for (const name of [
    'package.json',
    '.rolldown.mjs',
    'tsconfig.json',
    'README.md',
    'src',
    'migrations',
    'openapi',
    'Dockerfile',
  ]) {
    cpSync(join(ROOT, name), join(source, name), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(source, 'node_modules'))
  // The build tells what it has made, and npm the name last.
  tarball = join(source, run('npm', ['pack', '--silent'], source).trim().split('\n').at(-1) ?? '')
  folder = temporaryFolder((end) => ends.push(end))
  write(folder, { 'package.json': '{ "private": true, "type": "module" }\n' })
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--fetch-timeout=30000', tarball], folder)
  return () => {
    for (const end of ends) end()
  }
}, 300_000)

describe('the tarball', () => {
  it('holds what was built, the types of the library, the README, and nothing else', () => {
    const listed = execFileSync('tar', ['tzf', tarball], { encoding: 'utf8' }).trim().split('\n')
    const files = listed.map((path) => path.replace(/^package\//, ''))
    const parts = files.filter((file) => /^dist\/part-[\w-]+\.js$/.test(file))
    const entries = ['index.js', 'main.js', 'command.js', 'runner.js', 'bin.cjs', 'licenses.txt']
    const types = TYPES.map((name) => `${name}.d.ts`)
    const expected = [...entries, ...types].map((name) => `dist/${name}`)
    expect(files.sort()).toEqual([...expected, ...parts, 'README.md', 'package.json'].sort())
  })

  it('has the license of each package that was taken in', () => {
    const read = (file: string) => execFileSync('tar', ['xzOf', tarball, `package/dist/${file}`], { encoding: 'utf8' })
    for (const name of ['ajv', 'fast-deep-equal', 'fast-uri', 'fastify', 'pino', 'prom-client', 'typebox'])
      expect(read('licenses.txt')).toMatch(
        new RegExp(`^${name}\n\n[^]{0,400}?(MIT License|MIT\\)|Apache License|Redistribution and use in source)`, 'ms'),
      )
    // Nothing else is: what it imports is installed beside it.
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { dependencies: object }
    const imported = ['index.js', 'main.js', 'command.js', 'runner.js'].flatMap((file) =>
      [...read(file).matchAll(/^import .*?["']([^."'][^"']*)["'];$/gm)].map((match) => match[1] ?? ''),
    )
    const packages = imported.filter((name) => !name.startsWith('node:'))
    expect(packages).toEqual(expect.arrayContaining(['better-sqlite3']))
    expect(Object.keys(dependencies)).toEqual(expect.arrayContaining(packages))
  })

  it('is small', () => {
    expect(statSync(tarball).size).toBeLessThan(450_000)
  })

  it('has nothing that publint and are-the-types-wrong find', () => {
    expect(run('publint', ['run', tarball, '--strict'], folder)).toMatch(/All good!/)
    run('attw', [tarball, '--profile', 'esm-only'], folder)
  })
})

describe('installed in an empty folder', () => {
  it('the library runs from plain JavaScript', () => {
    write(folder, {
      'cats.js': `import { database, MigrationError, Migrator } from 'schemad'
const db = database('cats.db')
db.addMigration(0, function initDb(db) {
  db.exec('CREATE TABLE cats (name PRIMARY KEY)')
})
db.migrate()
console.log(db.lastAppliedMigration().name)
try {
  new Migrator(db).addMigration(0, () => {})
} catch (error) {
  console.log(error instanceof MigrationError, error.code)
}
`,
    })
    expect(run('node', ['cats.js'], folder)).toBe('0 initDb\ninitDb\ntrue invalid-request\n')
  })

  it('the library runs from CommonJS', () => {
    write(folder, { 'cats.cjs': `console.log(typeof require('schemad').Migrator)\n` })
    expect(run('node', ['cats.cjs'], folder)).toBe('function\n')
  })

  it.each(['nodenext', 'bundler'])(
    'the library has types, with moduleResolution %s and every declaration checked',
    (resolution) => {
      write(folder, {
        'cats.ts': `import { type AppliedMigration, database, type DatabaseOptions, type ErrorCode, type MigratingDatabase, MigrationError, type MigrationFunction, Migrator } from 'schemad'
const options: DatabaseOptions = { wal: false, log: (line: string) => console.log(line) }
const db: MigratingDatabase = database(':memory:', options)
const initDb: MigrationFunction = function initDb(db) {
  db.exec('CREATE TABLE cats (name PRIMARY KEY)')
}
db.addMigration(0, initDb)
export const applied: AppliedMigration[] = db.appliedMigrations()
export const name: string | undefined = new Migrator(db).lastAppliedMigration()?.name
export const code = (error: unknown): ErrorCode | null => (error instanceof MigrationError ? error.code : null)
// @ts-expect-error: an id is a number
db.addRollback('0', initDb)
// @ts-expect-error: there is no such option
database(':memory:', { wall: true })
`,
      })
      const module = resolution === 'bundler' ? 'esnext' : 'nodenext'
      const words = ['--strict', '--skipLibCheck', 'false', '--exactOptionalPropertyTypes', '--module', module]
      run('tsc', ['--noEmit', '--moduleResolution', resolution, '--target', 'es2024', ...words, 'cats.ts'], folder)
    },
  )

  it('npx schemad serves', async () => {
    write(join(folder, 'migrations'), {
      ...CATS,
      '0003_seed.ts': 'export const up = (db: { exec(sql: string): void }) => db.exec("DELETE FROM cats")\n',
    })
    const npx = spawn('npx', ['schemad'], {
      cwd: folder,
      env: { PATH: `${BIN}:${process.env.PATH}`, HOME: process.env.HOME ?? '', PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    })
    const closed = new Promise((resolve) => npx.once('close', resolve))
    onTestFinished(async () => {
      process.kill(-(npx.pid ?? 0), 'SIGTERM')
      await closed
    })
    const line = await new Promise<string>((resolve) => createInterface(npx.stdout).once('line', resolve))
    const url = (JSON.parse(line) as { msg: string }).msg.replace('listening on ', '')
    expect((await ask(`${url}/migrate`, { method: 'POST' })).body).toMatchObject({ status: 'succeeded', to: 3 })
    expect((await ask(`${url}/migrations`)).body).toMatchObject({ state: 'up-to-date', current: 3 })
    const docs = await ask(`${url}/docs`, { headers: { accept: 'text/html' } })
    expect({ status: docs.status, shows: docs.text.includes('swagger-ui') }).toEqual({ status: 200, shows: true })
  })

  it('the compiled command refuses a Node that is too old in one line', () => {
    const others = (process.env.PATH ?? '').split(':').filter((path) => !path.includes('node_modules'))
    const older = others.map((path) => join(path, 'node')).find((node) => isOlder(node))
    const fake = join(folder, 'older.cjs')
    write(folder, {
      'older.cjs': `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })\n`,
    })
    const bin = join(folder, 'node_modules/.bin/schemad')
    const words = older === undefined ? ['--require', fake, bin] : [bin]
    const { status, stdout, stderr } = spawnSync(older ?? process.execPath, words, { cwd: folder, encoding: 'utf8' })
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(/^schemad: this is Node \d+\.\d+\.\d+, and it takes 22\.18 or newer; .*\n$/)
  })
})

function isOlder(node: string): boolean {
  const { stdout } = spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' })
  const [major = 0, minor = 0] = (stdout ?? '').split('.').map(Number)
  return major > 0 && (major < 22 || (major === 22 && minor < 18))
}

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig } from '../src/config.ts'
import { folderWith, write } from './support/folder.ts'
import { startServer, until } from './support/server.ts'

const MAIN = new URL('../src/main.ts', import.meta.url).pathname
const TOKEN = 'a-token-of-some-length'

function refusal(environment: Record<string, string>): string {
  try {
    readConfig(environment)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'accepted'
}

describe('the environment', () => {
  it('has defaults for everything, and an empty variable is an unset one', () => {
    const expected = {
      database: 'data/app.db',
      migrationsDir: 'migrations',
      host: '127.0.0.1',
      port: 8080,
      logLevel: 'info',
    }
    expect(readConfig({})).toMatchObject({
      ...expected,
      runTimeoutMs: 3_600_000,
      lockTimeoutMs: 5_000,
      shutdownTimeoutMs: 25_000,
    })
    expect(readConfig({ PORT: '', DATABASE_URL: '', HOST: '', AUTH: '', ADMIN_TOKEN: '' })).toMatchObject(expected)
  })

  it.each([
    ['sqlite:data/x.db', 'data/x.db'],
    ['sqlite:/abs/x.db', '/abs/x.db'],
    ['sqlite:///abs/x.db', '///abs/x.db'],
    ['x.db', 'x.db'],
    ['./a/x.db', './a/x.db'],
  ])('DATABASE_URL=%s is the file %s', (url, database) => {
    expect(readConfig({ DATABASE_URL: url }).database).toBe(database)
  })

  it.each<[Record<string, string>, RegExp]>([
    [{ DATABASE_URL: ':memory:' }, /^DATABASE_URL=:memory:.*sqlite:PATH/],
    [{ DATABASE_URL: 'sqlite::memory:' }, /^DATABASE_URL=/],
    [{ DATABASE_URL: 'file:x.db' }, /^DATABASE_URL=file:x.db.*sqlite:PATH/],
    [{ DATABASE_URL: 'postgres://localhost/x' }, /^DATABASE_URL=postgres/],
    [{ DATABASE_URL: 'postgres://me:secret@host/x' }, /^DATABASE_URL=postgres:\/\/…@host\/x: /],
    [{ DATABASE_URL: 'sqlite:' }, /names no file/],
    [{ DATABASE_URL: 'sqlite://host/x.db' }, /host/],
    [{ PORT: '65536' }, /^PORT=65536.*65535/],
    [{ PORT: '80a' }, /^PORT=80a/],
    [{ PORT: '-1' }, /^PORT=-1/],
    [{ LOG_LEVEL: 'loud' }, /^LOG_LEVEL=loud.*info/],
    [{ AUTH: 'none' }, /^AUTH=none.*off/],
    [{ RUN_TIMEOUT: '0' }, /^RUN_TIMEOUT=0/],
    [{ BACKUP_KEEP: '-1' }, /^BACKUP_KEEP=-1/],
    [{ BACKUP_KEEP: 'all' }, /^BACKUP_KEEP=all/],
    [{ LOCK_TIMEOUT: '1s' }, /^LOCK_TIMEOUT=1s/],
    [{ SHUTDOWN_TIMEOUT: '1e3' }, /^SHUTDOWN_TIMEOUT=1e3/],
    [{ HOST: '0.0.0.0' }, /^HOST=0\.0\.0\.0.*AUTH=off/],
    [{ HOST: '::' }, /^HOST=::/],
    [{ HOST: 'example.com' }, /^HOST=example.com/],
    [{ CORS_ORIGINS: 'example.com' }, /^CORS_ORIGINS=example.com/],
    [{ CORS_ORIGINS: '*' }, /^CORS_ORIGINS=\*/],
    [{ ALLOWED_HOSTS: 'db.internal:8080' }, /^ALLOWED_HOSTS=db.internal:8080.*without scheme and port/],
    [{ ALLOWED_HOSTS: 'a,*' }, /^ALLOWED_HOSTS=\*/],
    [{ DATABASE_URL: '/tmp' }, /^DATABASE_URL=\/tmp: it names a folder/],
    [{ ADMIN_TOKEN: TOKEN, ADMIN_TOKEN_FILE: '/x' }, /^ADMIN_TOKEN and ADMIN_TOKEN_FILE/],
    [{ ADMIN_TOKEN: TOKEN, AUTH: 'off' }, /^AUTH=off/],
  ])('with %j is refused with what is allowed', (environment, says) => {
    const message = refusal(environment)
    expect(message).toMatch(says)
    expect(message).not.toContain(TOKEN)
    expect(message).not.toContain('\n')
  })

  it.each([
    { HOST: '0.0.0.0', ADMIN_TOKEN: TOKEN },
    { HOST: '::', AUTH: 'off' },
    { HOST: '127.0.0.2' },
    { HOST: 'localhost' },
  ])('with %j is taken', (environment) => {
    expect(refusal(environment)).toBe('accepted')
  })

  it('has no tokens in it for the runners', () => {
    const { runnerEnvironment } = readConfig({ ADMIN_TOKEN: TOKEN, READ_TOKEN_FILE: '/x', PATH: '/bin' })
    expect(runnerEnvironment).toEqual({ PATH: '/bin' })
  })
})

describe('the process ends before it listens, with one line and not 0,', () => {
  it.each<[string, Record<string, string>, RegExp]>([
    ['for a bad value', { PORT: 'x' }, /^schemad: PORT=x: /],
    ['for a short token', { ADMIN_TOKEN: 'ci:sesame' }, /^schemad: ADMIN_TOKEN: .*16/],
    ['for one token of two roles', { ADMIN_TOKEN: TOKEN, READ_TOKEN: `x:${TOKEN}` }, /READ_TOKEN and ADMIN_TOKEN/],
    [
      'for an address of another machine',
      { HOST: '203.0.113.7', AUTH: 'off' },
      /^schemad: HOST=203.0.113.7: .*127\.0\.0\.1/,
    ],
    ['for a host that is none', { HOST: '0.0.0.0:80', AUTH: 'off' }, /^schemad: HOST=0.0.0.0:80: /],
    ['for a token that no header carries', { ADMIN_TOKEN: 'ä'.repeat(20) }, /^schemad: ADMIN_TOKEN: .*ASCII/],
    ['for a token file that is none', { ADMIN_TOKEN_FILE: '/dev/zero' }, /^schemad: ADMIN_TOKEN_FILE=\/dev\/zero: /],
    ['for a token file that is not there', { ADMIN_TOKEN_FILE: '/nowhere/token' }, /ADMIN_TOKEN_FILE=\/nowhere\/token/],
  ])('%s', (_, env, says) => {
    const { status, stderr, stdout } = spawnSync(process.execPath, [MAIN], { env, encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toMatch(says)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(stderr).not.toContain('sesame')
    expect(stderr).not.toContain(TOKEN)
    expect(stdout).toBe('')
  })

  it('for a port in use', async () => {
    const server = await startServer()
    const PORT = new URL(server.url).port
    const { status, stderr } = spawnSync(process.execPath, [MAIN], { env: { PORT }, encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toBe(
      `schemad: PORT=${PORT}: another program listens there on 127.0.0.1; allowed is a free port, or 0 for any\n`,
    )
  })
})

it('a token file is read again when it changes, and one that turns empty keeps the last good tokens', async () => {
  const folder = folderWith({ tokens: `alice:${TOKEN}-1\n` })
  const server = await startServer({ env: { ADMIN_TOKEN_FILE: join(folder, 'tokens') } })
  const status = async (token: string) => (await server.get('/migrations', { authorization: `Bearer ${token}` })).status
  expect([await status(`${TOKEN}-1`), await status(`${TOKEN}-2`)]).toEqual([200, 401])
  write(folder, { tokens: `alice:${TOKEN}-1\nbob:${TOKEN}-2\n` })
  while ((await status(`${TOKEN}-2`)) !== 200) await new Promise((resolve) => setTimeout(resolve, 50))
  expect(await status(`${TOKEN}-1`)).toBe(200)
  write(folder, { tokens: '\n' })
  await new Promise((resolve) => setTimeout(resolve, 600))
  expect([await status(`${TOKEN}-1`), await status(`${TOKEN}-2`), await status('x'.repeat(20))]).toEqual([
    200, 200, 401,
  ])
})

it('a token file that cannot be used does not keep a token alive that was taken out of another', async () => {
  const folder = folderWith({ read: `${TOKEN}-read\n`, admin: `${TOKEN}-old\n` })
  const env = { READ_TOKEN_FILE: join(folder, 'read'), ADMIN_TOKEN_FILE: join(folder, 'admin') }
  const server = await startServer({ env })
  const status = async (token: string) => (await server.get('/migrations', { authorization: `Bearer ${token}` })).status
  write(folder, { read: '', admin: `${TOKEN}-new\n` })
  await until(async () => (await status(`${TOKEN}-new`)) === 200)
  expect([await status(`${TOKEN}-old`), await status(`${TOKEN}-read`)]).toEqual([401, 200])
  await server.logged(({ msg }) => String(msg).startsWith('READ_TOKEN_FILE='))
})

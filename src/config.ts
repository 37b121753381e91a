import { existsSync, readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { ROLES, type Role } from './http/auth.ts'

/** The environment, checked. Times are in milliseconds. */
export interface Config {
  /** The path of the database file. */
  readonly database: string
  readonly migrationsDir: string
  readonly host: string
  readonly port: number
  readonly logLevel: string
  readonly tokens: readonly TokenSource[]
  readonly allowedHosts: readonly string[]
  readonly corsOrigins: readonly string[]
  /** Apply what is pending when the process starts. */
  readonly migrateOnStart: boolean
  readonly runTimeoutMs: number
  readonly lockTimeoutMs: number
  readonly shutdownTimeoutMs: number
  /** `null`: beside the database. */
  readonly backupDir: string | null
  /** How many backups are kept; 0 = none are made. */
  readonly backupKeep: number
  /** The environment of the runners: this process's own, without the tokens. */
  readonly runnerEnvironment: Readonly<Record<string, string>>
}

/** Where the tokens of a role stand: in the environment, or in a file that may change. */
export type TokenSource = { readonly role: Role; readonly variable: string } & (
  | { readonly text: string }
  | { readonly file: string }
)

/** A variable that cannot be used, in one line that names it, its value (never a token's) and what is allowed. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

type Environment = Readonly<Record<string, string | undefined>>

/** Reads the configuration. Throws `ConfigError`. */
export function readConfig(environment: Environment = process.env): Config {
  const of = (name: string) => environment[name] || undefined
  const tokens = ROLES.flatMap((role) => tokenSource(role, of))
  const host = of('HOST') ?? '127.0.0.1'
  refuseOpenHost(host, tokens, of('AUTH') ?? 'token')
  return {
    database: databasePath(of('DATABASE_URL') ?? 'sqlite:data/app.db'),
    migrationsDir: of('MIGRATIONS_DIR') ?? 'migrations',
    host,
    port: wholeNumber('PORT', of('PORT') ?? '8080', 65_535),
    logLevel: oneOf('LOG_LEVEL', of('LOG_LEVEL') ?? 'info', [
      'trace',
      'debug',
      'info',
      'warn',
      'error',
      'fatal',
      'silent',
    ]),
    tokens,
    allowedHosts: list(of('ALLOWED_HOSTS')).map(hostName),
    corsOrigins: list(of('CORS_ORIGINS')).map(origin),
    migrateOnStart: oneOf('MIGRATE_ON_START', of('MIGRATE_ON_START') ?? 'false', ['true', 'false']) === 'true',
    runTimeoutMs: seconds('RUN_TIMEOUT', of('RUN_TIMEOUT') ?? '3600', 1),
    lockTimeoutMs: seconds('LOCK_TIMEOUT', of('LOCK_TIMEOUT') ?? '5', 0),
    shutdownTimeoutMs: seconds('SHUTDOWN_TIMEOUT', of('SHUTDOWN_TIMEOUT') ?? '25', 0),
    backupDir: of('BACKUP_DIR') ?? null,
    backupKeep: wholeNumber('BACKUP_KEEP', of('BACKUP_KEEP') ?? '5', MOST_BACKUPS),
    runnerEnvironment: withoutTokens(environment),
  }
}

function databasePath(value: string): string {
  const refuse = (why: string) =>
    new ConfigError(`DATABASE_URL=${withoutPassword(value)}: ${why}; allowed are sqlite:PATH and a bare path`)
  const path = value.startsWith('sqlite:') ? value.slice('sqlite:'.length) : value
  if (path === '' || path.trim() !== path) throw refuse('it names no file')
  if (path.includes(':memory:')) throw refuse('a database in memory would be another one for each process')
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(path)) throw refuse('the scheme is not supported')
  if (/^\/\/[^/]/.test(path)) throw refuse('after // it names a host')
  if (path.endsWith('/') || (existsSync(path) && statSync(path).isDirectory())) throw refuse('it names a folder')
  return path
}

/** What a URL of another database has before its host is not repeated. */
function withoutPassword(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//…@')
}

function tokenSource(role: Role, of: (name: string) => string | undefined): TokenSource[] {
  const variable = `${role.toUpperCase()}_TOKEN`
  const [text, file] = [of(variable), of(`${variable}_FILE`)]
  if (text !== undefined && file !== undefined) {
    throw new ConfigError(`${variable} and ${variable}_FILE=${file} are both set; allowed is one of them`)
  }
  if (text !== undefined) return [{ role, variable, text }]
  return file === undefined ? [] : [{ role, variable: `${variable}_FILE`, file }]
}

function refuseOpenHost(host: string, tokens: readonly TokenSource[], auth: string): void {
  oneOf('AUTH', auth, ['token', 'off'])
  if (auth === 'off' && tokens.length > 0) {
    throw new ConfigError(`AUTH=off with ${tokens[0]?.variable} set: allowed are tokens, or off without any`)
  }
  const loopback = host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
  if (loopback || tokens.length > 0 || auth === 'off') return
  throw new ConfigError(
    `HOST=${host}: anybody who reaches it could change the schema; set ADMIN_TOKEN or ADMIN_TOKEN_FILE (or say AUTH=off), or listen on 127.0.0.1`,
  )
}

function wholeNumber(name: string, value: string, most: number): number {
  if (/^\d{1,9}$/.test(value) && Number(value) <= most) return Number(value)
  throw new ConfigError(`${name}=${value}: allowed is a whole number from 0 to ${most}`)
}

const MOST_BACKUPS = 10_000

/** setTimeout cannot wait longer than 2^31 ms. */
const MOST_SECONDS = 2_000_000

function seconds(name: string, value: string, least: number): number {
  const number = Number(value)
  if (/^\d{1,7}(\.\d{1,3})?$/.test(value) && number >= least && number <= MOST_SECONDS) return number * 1000
  throw new ConfigError(`${name}=${value}: allowed are seconds from ${least} to ${MOST_SECONDS}`)
}

function oneOf(name: string, value: string, allowed: readonly string[]): string {
  if (allowed.includes(value)) return value
  throw new ConfigError(`${name}=${value}: allowed are ${allowed.join(', ')}`)
}

function list(value: string | undefined): string[] {
  return (value ?? '').split(',').flatMap((part) => part.trim() || [])
}

function hostName(value: string): string {
  if (/^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$/.test(value)) return value.toLowerCase()
  throw new ConfigError(`ALLOWED_HOSTS=${value}: allowed are names without scheme and port, such as schemad.ops.svc`)
}

function origin(value: string): string {
  if (URL.canParse(value) && new URL(value).origin === value) return value
  throw new ConfigError(
    `CORS_ORIGINS=${value}: allowed are origins as a browser sends them, such as https://ops.example.com`,
  )
}

function withoutTokens(environment: Environment): Record<string, string> {
  const secret = /^(READ|MIGRATE|ADMIN)_TOKEN(_FILE)?$/
  const kept = Object.entries(environment).filter(([name, value]) => value !== undefined && !secret.test(name))
  return Object.fromEntries(kept as [string, string][])
}

/** Why `listen` failed, in the words of the configuration. */
export function listenError({ host, port }: Config, error: Error & { code?: string }): Error {
  if (error.code === 'EADDRINUSE') {
    return new ConfigError(
      `PORT=${port}: another program listens there on ${host}; allowed is a free port, or 0 for any`,
    )
  }
  if (error.code === 'EACCES')
    return new ConfigError(`PORT=${port}: it takes more rights; allowed is a port from 1024 on`)
  if (
    error.code === 'EADDRNOTAVAIL' ||
    error.code === 'ENOTFOUND' ||
    error.code === 'EAI_AGAIN' ||
    error.code === 'EINVAL'
  ) {
    return new ConfigError(
      `HOST=${host}: it is no address of this machine; allowed is one, such as 127.0.0.1 or 0.0.0.0`,
    )
  }
  return error
}

/** The version of this package, as its package.json says. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

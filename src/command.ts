// What a person starts, where there may be nothing yet. The service waits for a directory and tells of it; here it is said at once.
import { accessSync, constants, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type Config, ConfigError, packageVersion, readConfig } from './config.ts'
import { MigrationError } from './core/errors.ts'
import { realFile, refuseUnwritable } from './sqlite/files.ts'

const HELP = `schemad owns one SQLite file and the numbered migrations of a directory, and serves them over HTTP.

Usage: schemad [--help] [--version]

It is configured by the environment:
  DATABASE_URL    sqlite:PATH or a path (sqlite:data/app.db)
  MIGRATIONS_DIR  the folder of 0000_init_db.up.sql and what follows (migrations)
  HOST, PORT      where it listens (127.0.0.1, 8080)
  ADMIN_TOKEN     and MIGRATE_TOKEN, READ_TOKEN: who may; needed to listen on other addresses
  LOG_LEVEL       trace, debug, info, warn, error, fatal or silent (info)
All others, and the requests it answers, are in its README; GET /docs has the requests too.

Then: curl -X POST localhost:8080/migrate -H 'Accept: text/plain'
`

try {
  const { help, version } = options()
  if (help) process.stdout.write(HELP)
  else if (version) console.log(packageVersion())
  else await start(readConfig())
} catch (error) {
  if (!(error instanceof ConfigError)) throw error
  console.error(`schemad: ${error.message}`)
  process.exitCode = 1
}

function options(): { help?: boolean; version?: boolean } {
  try {
    return parseArgs({ options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'v' } } })
      .values
  } catch (error) {
    const [, culprit] = /'([^']+)'/.exec((error as Error).message) ?? []
    throw new ConfigError(`${culprit} is not understood; it is configured by the environment, and --help tells how`)
  }
}

async function start({ database, migrationsDir }: Config): Promise<void> {
  refuseUnreadable(migrationsDir)
  refuseUnusable(database)
  await import('./main.ts')
}

function refuseUnreadable(migrationsDir: string): void {
  const refuse = (what: string) => new ConfigError(`MIGRATIONS_DIR=${migrationsDir}: ${resolve(migrationsDir)} ${what}`)
  if (!statSync(migrationsDir, { throwIfNoEntry: false })?.isDirectory())
    throw refuse('is no folder; make it, or name the one of your migrations')
  try {
    accessSync(migrationsDir, constants.R_OK | constants.X_OK)
  } catch {
    throw refuse('cannot be read; mend its permissions')
  }
}

function refuseUnusable(database: string): void {
  try {
    refuseUnwritable(realFile(database), undefined)
  } catch (error) {
    throw error instanceof MigrationError ? new ConfigError(`DATABASE_URL: ${error.message}`) : error
  }
}

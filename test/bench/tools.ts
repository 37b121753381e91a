import { existsSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { dbmateProgram, script } from './peers.ts'
import { type Ran, run } from './processes.ts'
import { startService } from './service.ts'
import type { Form } from './work.ts'

/** What applies all migrations of a directory and rolls them back. Both give the milliseconds that it took. */
export interface Tool {
  readonly name: string
  readonly form: Form
  /** Gives the ids that it has applied, ascending. */
  readonly ledger: string
  up(migrations: string, database: string): Promise<number>
  /** Rolls all of them back. */
  down(migrations: string, database: string): Promise<number>
}

const LEDGER = 'SELECT id FROM migrations ORDER BY id'

/** A server that has waited until its spare runner is loaded; measured is one curl. */
export const SCHEMAD: Tool = {
  name: 'schemad',
  form: 'pairs',
  ledger: LEDGER,
  up: (migrations, database) => change(migrations, database, '/migrate'),
  down: (migrations, database) => change(migrations, database, '/rollback?target=-1'),
}

async function change(migrations: string, database: string, path: string): Promise<number> {
  await using service = await startService({ migrations, database })
  await service.idle()
  return (await service.post(path)).ms
}

/** As a process. It rolls back one migration each, so that rolling back many is not measured. */
export const DBMATE: Tool = {
  name: 'dbmate',
  form: 'dbmate',
  ledger: 'SELECT CAST(version AS INTEGER) FROM schema_migrations ORDER BY version',
  up: async (migrations, database) => (await dbmate('up', migrations, database)).ms,
  down: () => Promise.reject(new Error('dbmate rolls back one migration each')),
}

/**
 * One call of dbmate. It sets neither WAL nor `synchronous`: the one is made beforehand, and the other is said to its driver,
 * which has NORMAL in WAL if it is not (https://github.com/mattn/go-sqlite3#connection-string).
 */
export async function dbmate(word: 'up' | 'status', migrations: string, database: string): Promise<Ran> {
  if (!existsSync(database)) makeWal(database)
  const url = `sqlite:${database}?_synchronous=FULL`
  return await run(dbmateProgram(), ['--url', url, '--migrations-dir', migrations, '--no-dump-schema', word])
}

/** The limit, by what it says of itself: without the start of its process, with the reading of the files. */
export const BARE: Tool = {
  name: 'bare loop',
  form: 'pairs',
  ledger: LEDGER,
  up: async (...paths) => Number((await run(...script('bare', 'up', ...paths))).stdout),
  down: async (...paths) => Number((await run(...script('bare', 'down', ...paths))).stdout),
}

/** Libraries, each as a process with a script that calls it. */
export const UMZUG = library('umzug', 'pairs', 'SELECT CAST(name AS INTEGER) FROM umzug ORDER BY name')
export const KYSELY = library('kysely', 'pairs', 'SELECT CAST(name AS INTEGER) FROM kysely_migration ORDER BY name')
export const KNEX = library('knex', 'pairs', 'SELECT CAST(name AS INTEGER) FROM knex_migrations ORDER BY name')
export const DRIZZLE = library(
  'drizzle-orm',
  'drizzle',
  'SELECT created_at FROM __drizzle_migrations ORDER BY created_at',
)

function library(name: string, form: Form, ledger: string): Tool {
  return {
    name,
    form,
    ledger,
    up: async (...paths) => (await run(...script(name, 'up', ...paths))).ms,
    down: async (...paths) => (await run(...script(name, 'down', ...paths))).ms,
  }
}

function makeWal(database: string): void {
  const db = new Sqlite(database)
  db.pragma('journal_mode = WAL')
  db.close()
}

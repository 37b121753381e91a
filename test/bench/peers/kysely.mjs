// Kysely has no transaction of its own for SQLite: each script makes one, and its row is a commit of its own.
import { Kysely, SqliteDialect, sql } from 'kysely'
import { Migrator, NO_MIGRATIONS } from 'kysely/migration'
import { open, scripts, statements } from './database.mjs'

const [, , direction, folder, file] = process.argv
const db = new Kysely({ dialect: new SqliteDialect({ database: open(file) }) })
const downs = new Map(scripts(folder, 'down').map(({ id, sql: script }) => [id, script]))
const inTransaction = (script) => (connection) =>
  connection.transaction().execute(async (transaction) => {
    for (const statement of statements(script)) await sql.raw(statement).execute(transaction)
  })
const migrations = scripts(folder, 'up').map(({ id, name, sql: script }) => [
  name,
  { up: inTransaction(script), down: inTransaction(downs.get(id)) },
])
const migrator = new Migrator({ db, provider: { getMigrations: async () => Object.fromEntries(migrations) } })
const { error } = direction === 'up' ? await migrator.migrateToLatest() : await migrator.migrateTo(NO_MIGRATIONS)
if (error) throw error
await db.destroy()

import knex from 'knex'
import { durable, scripts, statements } from './database.mjs'

const [, , direction, folder, file] = process.argv
const downs = new Map(scripts(folder, 'down').map(({ id, sql }) => [id, sql]))
const each = (script) => async (transaction) => {
  for (const statement of statements(script)) await transaction.raw(statement)
}
const migrationSource = {
  getMigrations: async () => scripts(folder, 'up'),
  getMigrationName: ({ name }) => name,
  getMigration: async ({ id, sql }) => ({ up: each(sql), down: each(downs.get(id)) }),
}
const afterCreate = (connection, done) => {
  durable(connection)
  done(null, connection)
}
const db = knex({
  client: 'better-sqlite3',
  connection: { filename: file },
  useNullAsDefault: true,
  pool: { min: 1, max: 1, afterCreate },
})
if (direction === 'up') await db.migrate.latest({ migrationSource })
else await db.migrate.rollback({ migrationSource }, true)
await db.destroy()

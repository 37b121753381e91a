// Umzug commits the script, and its row by a storage of ours in a commit of its own: it has no transaction for both.
import { Umzug } from 'umzug'
import { open, scripts } from './database.mjs'

const [, , direction, folder, file] = process.argv
const db = open(file)
db.exec('CREATE TABLE IF NOT EXISTS umzug (name TEXT PRIMARY KEY)')
const [insert, remove, all] = [
  'INSERT INTO umzug VALUES (?)',
  'DELETE FROM umzug WHERE name = ?',
  'SELECT name FROM umzug ORDER BY name',
].map((sql) => db.prepare(sql))
const downs = new Map(scripts(folder, 'down').map(({ id, sql }) => [id, sql]))
const inTransaction = (sql) => db.transaction(() => db.exec(sql)).immediate()
const umzug = new Umzug({
  migrations: scripts(folder, 'up').map(({ id, name, sql }) => ({
    name,
    up: async () => inTransaction(sql),
    down: async () => inTransaction(downs.get(id)),
  })),
  storage: {
    logMigration: async ({ name }) => insert.run(name),
    unlogMigration: async ({ name }) => remove.run(name),
    executed: async () => all.pluck().all(),
  },
  logger: undefined,
})
if (direction === 'up') await umzug.up()
else await umzug.down({ to: 0 })
db.close()

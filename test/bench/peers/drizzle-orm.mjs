// Drizzle applies all that is pending in one transaction, and has no way back.
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { migrate } from 'drizzle-orm/better-sqlite3/migrator'
import { open } from './database.mjs'

const [, , , folder, file] = process.argv
const client = open(file)
migrate(drizzle({ client }), { migrationsFolder: folder })
client.close()

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'

/** A connection by which each commit is on the disk. Keys are off as for SQLite's recipe of a table rebuild. */
export function open(file) {
  const db = new Sqlite(file)
  durable(db)
  return db
}

/** WAL alone would sync at checkpoints only. */
export function durable(db) {
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.pragma('foreign_keys = OFF')
}

/** The scripts of a directory, in the order of their ids. */
export function scripts(folder, direction) {
  const files = readdirSync(folder).filter((file) => file.endsWith(`.${direction}.sql`))
  return files.sort().map((file) => ({
    id: Number.parseInt(file, 10),
    name: file.slice(0, -`.${direction}.sql`.length),
    sql: readFileSync(join(folder, file), 'utf8'),
  }))
}

/** Statements one at a time, for tools that cannot be given more; each ends at the end of a line. */
export function statements(sql) {
  return sql.split(/;\n/).filter((statement) => statement.trim() !== '')
}

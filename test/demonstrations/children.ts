// A table is rebuilt, by the same script twice: in a transaction of better-sqlite3, and by schemad. What becomes of the rows that refer to it?
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite, { type Database } from 'better-sqlite3'
import { Migrator } from '../../src/index.ts'

const SCHEMA = `
CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE kittens (id INTEGER PRIMARY KEY, cat_id INTEGER NOT NULL REFERENCES cats ON DELETE CASCADE);
INSERT INTO cats VALUES (1, 'Tom'), (2, 'Mia');
INSERT INTO kittens VALUES (1, 1), (2, 1), (3, 2);`

/** The steps of https://sqlite.org/lang_altertable.html#otheralter, as one finds them in migrations. */
const REBUILD = `
PRAGMA foreign_keys = OFF;
CREATE TABLE cats_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO cats_new SELECT id, name FROM cats;
DROP TABLE cats;
ALTER TABLE cats_new RENAME TO cats;
PRAGMA foreign_keys = ON;`

const folder = mkdtempSync(join(tmpdir(), 'schemad-'))
try {
  console.log('                                cats  kittens')
  demonstrate('before', () => {})
  demonstrate('a transaction, better-sqlite3', (db) => db.transaction(() => db.exec(REBUILD))())
  demonstrate('a migration, schemad', (db) => {
    const migrator = new Migrator(db, { log: () => {} })
    migrator.addMigration(0, function nameCats(db) {
      db.exec(REBUILD)
    })
    migrator.migrate()
  })
} finally {
  rmSync(folder, { recursive: true })
}

/** Does it to a new database, and prints how many rows are left. */
function demonstrate(what: string, change: (db: Database) => void): void {
  const db = new Sqlite(join(folder, `${what}.db`))
  db.exec(SCHEMA)
  change(db)
  const rows = (table: string) => String(db.prepare(`SELECT count(*) FROM ${table}`).pluck().get())
  console.log(`${what.padEnd(30)}${rows('cats').padStart(6)}${rows('kittens').padStart(9)}`)
  db.close()
}

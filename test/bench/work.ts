import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'

/** How a tool wants its directory: two files a migration, one with both parts, or one with a journal beside it. */
export type Form = 'pairs' | 'dbmate' | 'drizzle'

/** Writes the small migrations `from` … `to - 1`: each makes a table and a row. */
export function writeSmall(folder: string, form: Form, to: number, from = 0): void {
  mkdirSync(folder, { recursive: true })
  for (let id = from; id < to; id += 1) write[form](folder, id)
  if (form === 'drizzle') writeJournal(folder, to)
}

/** The table of the small migration `id`. */
export function tableOf(id: number): string {
  return `t_${padded(id)}`
}

/** Writes one migration that fills a table, indexes it, and rebuilds it as https://sqlite.org/lang_altertable.html#otheralter has it. */
export function writeLarge(folder: string, rows: number): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, '00000_large.up.sql'),
    `CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT, weight INTEGER);
INSERT INTO cats
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
  SELECT i, 'cat ' || i, i % 7000 FROM n;
CREATE INDEX cats_by_name ON cats (name);
CREATE TABLE cats_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, weight INTEGER NOT NULL);
INSERT INTO cats_new SELECT id, name, weight FROM cats;
DROP TABLE cats;
ALTER TABLE cats_new RENAME TO cats;
CREATE INDEX cats_by_name ON cats (name);
`,
  )
}

/** Makes a database larger by so many megabytes. */
export function fill(database: string, megabytes: number): void {
  const db = new Sqlite(database)
  db.exec('CREATE TABLE filling (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)')
  const insert = db.prepare('INSERT INTO filling (bytes) VALUES (randomblob(1000000))')
  db.transaction(() => {
    for (let times = 0; times < megabytes; times += 1) insert.run()
  })()
  db.pragma('wal_checkpoint(TRUNCATE)')
  db.close()
}

const write = {
  pairs: (folder: string, id: number) => {
    writeFileSync(join(folder, `${nameOf(id)}.up.sql`), up(id))
    writeFileSync(join(folder, `${nameOf(id)}.down.sql`), down(id))
  },
  dbmate: (folder: string, id: number) =>
    writeFileSync(join(folder, `${nameOf(id)}.sql`), `-- migrate:up\n${up(id)}-- migrate:down\n${down(id)}`),
  drizzle: (folder: string, id: number) =>
    writeFileSync(join(folder, `${nameOf(id)}.sql`), up(id).replace(';\n', ';\n--> statement-breakpoint\n')),
} satisfies Record<Form, (folder: string, id: number) => void>

/** Drizzle applies what is younger than the youngest that it has applied. */
function writeJournal(folder: string, to: number): void {
  const entries = Array.from({ length: to }, (_, id) => ({ idx: id, when: id, tag: nameOf(id), breakpoints: true }))
  mkdirSync(join(folder, 'meta'), { recursive: true })
  writeFileSync(join(folder, 'meta', '_journal.json'), JSON.stringify({ version: '7', dialect: 'sqlite', entries }))
}

function up(id: number): string {
  const table = tableOf(id)
  return `CREATE TABLE ${table} (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\nINSERT INTO ${table} (name) VALUES ('first');\n`
}

function down(id: number): string {
  return `DROP TABLE ${tableOf(id)};\n`
}

function nameOf(id: number): string {
  return `${padded(id)}_add`
}

function padded(id: number): string {
  return String(id).padStart(5, '0')
}

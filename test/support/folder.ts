import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** The files of a migrations directory by their names. */
export type Files = Readonly<Record<string, string | Buffer>>

/** A new folder, gone when the test has finished, or with what else ends it. */
export function temporaryFolder(endWith: (end: () => void) => void = onTestFinished): string {
  const folder = mkdtempSync(join(tmpdir(), 'schemad-'))
  // A process that was just killed may still make a file there.
  endWith(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 }))
  return folder
}

/** A new folder with `files` in it. */
export function folderWith(files: Files, endWith: (end: () => void) => void = onTestFinished): string {
  const folder = temporaryFolder(endWith)
  write(folder, files)
  return folder
}

export function write(folder: string, files: Files): void {
  mkdirSync(folder, { recursive: true })
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
}

/** Three migrations: a table, a column, a row; all but the first with a rollback. */
export const CATS: Files = {
  '0000_init_db.up.sql': 'CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n',
  '0001_add_age.up.sql': 'ALTER TABLE cats ADD COLUMN age INTEGER;\n',
  '0001_remove_age.down.sql': 'ALTER TABLE cats DROP COLUMN age;\n',
  '0002_add_tom.up.sql': "INSERT INTO cats (name, age) VALUES ('Tom', 3);\n",
  '0002_remove_tom.down.sql': "DELETE FROM cats WHERE name = 'Tom';\n",
}

/** A script that keeps SQLite busy for about `millions` hundred milliseconds, in one statement. */
export function busy(millions: number): string {
  return `CREATE TABLE busy AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${millions * 1_000_000}) SELECT max(i) AS most FROM n;\n`
}

/** A script that never ends. */
export const ENDLESS =
  'CREATE TABLE never AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS most FROM n;\n'

import { createHash } from 'node:crypto'
import { closeSync, linkSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Sqlite from 'better-sqlite3'

const PAGE = 4096

/** A file by another name, under which it can still be read when the first one means another file. */
export function ghostOf(file: string): { /** The checksum of its bytes. */ sum(): string } {
  const kept = join(dirname(file), 'ghost')
  linkSync(file, kept)
  return { sum: () => sumOf(kept) }
}

/** The checksum of a file's bytes. Not for a file that this process has open in SQLite: reading it would drop its locks. */
export function sumOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

/** A database that another program has made, in one file. */
export function makeDatabase(file: string, sql: string): void {
  const db = new Sqlite(file)
  db.exec(sql)
  db.close()
}

/** Has every committed page in the file itself, and none in its `-wal`. */
export function checkpoint(file: string): void {
  const db = new Sqlite(file)
  db.pragma('wal_checkpoint(TRUNCATE)')
  db.close()
}

/** The page that a table begins with, from 1. */
export function firstPageOf(file: string, table: string): number {
  const db = new Sqlite(file, { readonly: true })
  try {
    return db.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').pluck().get(table) as number
  } finally {
    db.close()
  }
}

/** Writes garbage over a page. */
export function damagePage(file: string, page: number): void {
  const fd = openSync(file, 'r+')
  try {
    writeSync(fd, Buffer.alloc(PAGE, 'damage '), 0, PAGE, (page - 1) * PAGE)
  } finally {
    closeSync(fd)
  }
}

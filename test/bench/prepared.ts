import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { newFolder, type Place } from './places.ts'
import type { Tool } from './tools.ts'
import { verifySmall } from './verify.ts'
import { type Form, writeLarge, writeSmall } from './work.ts'

/** A directory with so many small migrations, in the form of a tool; nobody changes it. */
export const smallOf = once((form: Form, count: number) => {
  const folder = newFolder()
  writeSmall(folder, form, count)
  return folder
})

/** A directory with the one large migration. */
export const largeOf = once((rows: number) => {
  const folder = newFolder()
  writeLarge(folder, rows)
  return folder
})

const templateOf = once(async (tool: Tool, count: number) => {
  const database = join(newFolder(), 'template.db')
  await tool.up(smallOf(tool.form, count), database)
  verifySmall(database, tool.ledger, count)
  const db = new Sqlite(database)
  // A copy is of one file.
  db.pragma('wal_checkpoint(TRUNCATE)')
  db.close()
  return database
})

/** Puts a database into `place` to which a tool has applied so many small migrations. */
export async function putApplied(place: Place, tool: Tool, count: number): Promise<void> {
  copyFileSync(await templateOf(tool, count), place.database)
}

/** `make`, which is called once for the same words. */
function once<Words extends readonly unknown[], T>(make: (...words: Words) => T): (...words: Words) => T {
  const made = new Map<string, T>()
  return (...words) => {
    const key = JSON.stringify(words)
    const found = made.get(key) ?? make(...words)
    made.set(key, found)
    return found
  }
}

import { createHash } from 'node:crypto'
import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { ask } from './ask.ts'
import { OURS } from './tables.ts'

const NAMES = OURS.map((table) => `'${table}'`).join(', ')

/**
 * Whether something outside of a script may write to our tables when the script runs: a trigger that names one of them.
 * A script that writes to them must name them itself, or fire such a trigger.
 */
export function hasForeignTriggers(db: Database): boolean {
  const sql = `SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger' AND sql LIKE '%migration%' LIMIT 1`
  return ask(db, sql).get() !== undefined
}

/** A fingerprint of our tables: their definitions, whatever hangs on them, and their rows. */
export function fingerprint(db: Database): string {
  const hash = createHash('sha256')
  const schema = `SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE lower(tbl_name) IN (${NAMES}) ORDER BY name`
  const found = ask(db, schema).all() as { type: string; name: string }[]
  hash.update(JSON.stringify(found))
  for (const { type, name } of found) {
    if (type !== 'table') continue
    const rows = db
      .prepare(`SELECT * FROM main."${name.replaceAll('"', '""')}" ORDER BY 1`)
      .raw()
      .safeIntegers(false)
    for (const row of rows.iterate()) hash.update(JSON.stringify(row))
  }
  return hash.digest('hex')
}

/** Throws where a trigger stands on one of our tables: it would fire at our own insert. */
export function refuseTriggers(db: Database): void {
  const [trigger] = triggersOnOurs(db)
  if (trigger === undefined) return
  throw new MigrationError(
    'forbidden-statement',
    `the trigger ${trigger.name} stands on a table that records the migrations; drop it`,
  )
}

/** The triggers on our tables, with what makes them. */
export function triggersOnOurs(db: Database): { name: string; sql: string }[] {
  const sql = `SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) IN (${NAMES})`
  return ask(db, sql).all() as { name: string; sql: string }[]
}

/** The names of everything TEMP on the connection. */
export function temporaries(db: Database): string {
  return ask(db, 'SELECT group_concat(name) FROM temp.sqlite_schema').pluck().get() as string
}

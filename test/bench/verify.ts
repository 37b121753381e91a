import Sqlite, { type Database } from 'better-sqlite3'
import { tableOf } from './work.ts'

/** Throws unless a database holds what the first `applied` small migrations make, and `ledger` gives their ids. */
export function verifySmall(file: string, ledger: string, applied: number): void {
  within(file, (db) => {
    const ids = Array.from({ length: applied }, (_, id) => id)
    const tables = db.prepare(`SELECT name FROM sqlite_schema WHERE name GLOB 't_[0-9]*' ORDER BY name`).pluck().all()
    same(file, 'its tables', tables, ids.map(tableOf))
    same(file, 'its ledger', db.prepare(ledger).pluck().all(), ids)
    const rows = ids.map((id) =>
      db
        .prepare(`SELECT count(*) FROM ${tableOf(id)}`)
        .pluck()
        .get(),
    )
    same(
      file,
      'the rows of its tables',
      rows,
      ids.map(() => 1),
    )
  })
}

/** Throws unless a database holds what the large migration makes of `rows` rows. */
export function verifyLarge(file: string, ledger: string, rows: number): void {
  within(file, (db) => {
    const ask = (sql: string) => db.prepare(sql).pluck().all()
    same(file, 'its ledger', ask(ledger), [0])
    same(file, 'its rows', ask('SELECT count(*) FROM cats'), [rows])
    same(file, 'its tables', ask(`SELECT name FROM sqlite_schema WHERE name GLOB 'cats*' ORDER BY name`), [
      'cats',
      'cats_by_name',
    ])
  })
}

function within(file: string, look: (db: Database) => void): void {
  const db = new Sqlite(file, { readonly: true })
  try {
    same(file, 'its journal', db.pragma('journal_mode', { simple: true }), 'wal')
    look(db)
    same(file, 'its integrity', db.pragma('integrity_check', { simple: true }), 'ok')
  } finally {
    db.close()
  }
}

/** Throws when something came out otherwise than it had to. */
export function same(where: string, what: string, is: unknown, expected: unknown): void {
  const [one, other] = [JSON.stringify(is), JSON.stringify(expected)]
  if (one === other) return
  throw new Error(`wrong outcome in ${where}: ${what} should be ${other?.slice(0, 300)} and is ${one?.slice(0, 300)}`)
}

import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lostBetween } from '../src/sqlite/loss.ts'
import { temporaryFolder } from './support/folder.ts'

type Value = number | string | Buffer | null
type Row = readonly [Value, Value]

/** Tables of all kinds, each of two columns. */
const TABLES = [
  'CREATE TABLE t (a, b)',
  'CREATE TABLE t (a TEXT COLLATE NOCASE, b REAL)',
  'CREATE TABLE t (a INTEGER PRIMARY KEY, b)',
  'CREATE TABLE t (rowid, b)',
  'CREATE TABLE t (_RowId_, oid)',
  'CREATE TABLE t (a COLLATE NOCASE PRIMARY KEY, b) WITHOUT ROWID',
  'CREATE TABLE t ("b", a, PRIMARY KEY (a, "b")) WITHOUT ROWID',
  'CREATE TABLE t (a TEXT, b, PRIMARY KEY (a COLLATE NOCASE)) WITHOUT ROWID',
  'CREATE TABLE t (a, b, c AS (a || b), _rowid_ AS (b))',
  'CREATE TABLE t ("true", "false")',
]
const VALUES = [null, 0, 1, 1.5, '', '1', 'a', 'A', 'a ', Buffer.from('a')]

const value = fc.constantFrom<Value>(...VALUES)
const rows = fc.array(fc.tuple(value, fc.constantFrom<Value>(null, 1)), { maxLength: 6 })

function filled(file: string, table: string, rows: readonly Row[]): void {
  const db = new Sqlite(file)
  db.exec(table)
  // What a key or a type does not take is left out.
  const insert = db.prepare('INSERT OR IGNORE INTO t VALUES (?, ?)')
  for (const row of rows) {
    try {
      insert.run(row)
    } catch {
      // It is no integer.
    }
  }
  db.close()
}

/** Each row as what SQLite calls equal with no collation, type and value. */
function told(file: string): string[] {
  const db = new Sqlite(file, { readonly: true })
  const all = db
    .prepare('SELECT * FROM t')
    .raw()
    .all()
    .map((row) => JSON.stringify((row as Value[]).slice(0, 2).map((one) => [typeof one, String(one?.valueOf())])))
  db.close()
  return all
}

/** Of `before`, what has no equal in `after` that stands for no other. */
function missing(before: readonly string[], after: readonly string[]): number {
  const left = [...after]
  return before.filter((one) => {
    const at = left.indexOf(one)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  }).length
}

describe('what a restore loses', () => {
  it('is each row that has no equal afterwards, in whatever place and kind of table', () => {
    const changed = fc.record({ kept: fc.integer({ min: 0, max: 8 }), more: rows })
    fc.assert(
      fc.property(fc.constantFrom(...TABLES), rows, changed, (table, now, { kept, more }) => {
        const folder = temporaryFolder()
        const [live, restored] = [join(folder, 'live.db'), join(folder, 'restored.db')]
        filled(live, table, now)
        // Some stay at their place, and some find themselves at another.
        filled(restored, table, [...now.slice(0, kept), ...more, ...now.slice(kept + 1)])
        const [before, after] = [told(live), told(restored)]
        const lost = missing(before, after)
        expect(lostBetween(live, restored)).toEqual([{ table: 't', before: before.length, after: after.length, lost }])
      }),
      { numRuns: 200 },
    )
  })

  it('is counted where a table has as many columns as SQLite takes', () => {
    const folder = temporaryFolder()
    const [live, restored] = [join(folder, 'live.db'), join(folder, 'restored.db')]
    const names = Array.from({ length: 1_999 }, (_, place) => `x${place}`)
    for (const [file, values] of [
      [live, [1, 2, 3]],
      [restored, [3, 1]],
    ] as const) {
      const db = new Sqlite(file)
      db.exec(`CREATE TABLE wide (${names})`)
      for (const one of values) db.prepare('INSERT INTO wide (x0, x1998) VALUES (?, ?)').run(one, one)
      db.close()
    }
    expect(lostBetween(live, restored)).toEqual([{ table: 'wide', before: 3, after: 2, lost: 1 }])
  })

  // Each of them took minutes in which each row was looked for among all.
  it.each([
    ['its key has another type now', 'a TEXT PRIMARY KEY, b', 'a INT PRIMARY KEY, b'],
    ['its key has a collation of its own', 'a TEXT, b, PRIMARY KEY (a COLLATE NOCASE)', null],
  ])('is counted in no time of a large table where %s', (_, now, then) => {
    const folder = temporaryFolder()
    const [live, restored] = [join(folder, 'live.db'), join(folder, 'restored.db')]
    for (const [file, columns] of [
      [live, now],
      [restored, then ?? now],
    ] as const) {
      const db = new Sqlite(file)
      db.exec(`CREATE TABLE t (${columns}) WITHOUT ROWID;
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO t SELECT i, i FROM n`)
      db.close()
    }
    const lost = then === null ? 0 : 100_000
    expect(lostBetween(live, restored)).toEqual([{ table: 't', before: 100_000, after: 100_000, lost }])
  })

  it('is counted in no time of many tables and a view', () => {
    const folder = temporaryFolder()
    const [live, restored] = [join(folder, 'live.db'), join(folder, 'restored.db')]
    for (const file of [live, restored]) {
      const db = new Sqlite(file)
      db.transaction(() => {
        for (let id = 0; id < 3_000; id += 1) db.exec(`CREATE TABLE t${id} (x)`)
        db.exec('CREATE VIEW all_of_them AS SELECT * FROM t1')
      })()
      db.close()
    }
    expect(lostBetween(live, restored)).toHaveLength(3_000)
  })

  it('is not what only has another rowid, and each of rows that are alike', () => {
    const folder = temporaryFolder()
    const [live, restored] = [join(folder, 'live.db'), join(folder, 'restored.db')]
    filled(live, 'CREATE TABLE t (a, b)', [
      ['x', 1],
      ['y', 2],
      ['z', 3],
      ['z', 3],
    ])
    filled(restored, 'CREATE TABLE t (a, b)', [
      ['y', 2],
      ['z', 3],
      ['x', 1],
    ])
    expect(lostBetween(live, restored)).toEqual([{ table: 't', before: 4, after: 3, lost: 1 }])
  })

  it.each([
    'CREATE TABLE t (a COLLATE NOCASE, b)',
    'CREATE TABLE t (a COLLATE NOCASE PRIMARY KEY, b) WITHOUT ROWID',
    'CREATE TABLE t (rowid COLLATE NOCASE, _rowid_, oid AS (_rowid_))',
  ])('is what only a collation calls the same: %s', (table) => {
    const folder = temporaryFolder()
    const [live, restored] = [join(folder, 'live.db'), join(folder, 'restored.db')]
    filled(live, table, [
      ['a', 1],
      ['b', 1],
    ])
    filled(restored, table, [
      ['A', 1],
      ['b', 1],
    ])
    expect(lostBetween(live, restored)).toEqual([{ table: 't', before: 2, after: 2, lost: 1 }])
  })

  it('is what has another type now, although a column of the other type would call it the same', () => {
    const folder = temporaryFolder()
    const [live, restored] = [join(folder, 'live.db'), join(folder, 'restored.db')]
    filled(live, 'CREATE TABLE t (a TEXT, b)', [
      ['1', null],
      ['x', null],
    ])
    filled(restored, 'CREATE TABLE t (a INTEGER, b)', [
      ['1', null],
      ['x', null],
    ])
    expect(lostBetween(live, restored)).toEqual([{ table: 't', before: 2, after: 2, lost: 1 }])
  })
})

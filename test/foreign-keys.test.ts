import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { MigrationError } from '../src/core/errors.ts'
import { type DatabaseOptions, database } from '../src/sqlite/database.ts'
import { temporaryFolder } from './support/folder.ts'

/** Does `before` behind the back of foreign keys, then migrates by `change`. Gives the violations, or `applied`. */
function migrated(before: string, change: string, options: DatabaseOptions = {}): unknown {
  const db = database(join(temporaryFolder(), 'app.db'), { log: () => {}, ...options })
  onTestFinished(() => void db.close())
  db.pragma('foreign_keys = OFF')
  db.exec(before)
  db.addMigration(0, function change_(db) {
    db.exec(change)
  })
  try {
    db.migrate()
    return 'applied'
  } catch (error) {
    expect(error).toBeInstanceOf(MigrationError)
    const { code, details } = error as MigrationError
    expect(code).toBe('foreign-key-violation')
    return details.violations
  }
}

const PARENT = 'CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);'

describe('fault 10: a new orphan is found', () => {
  it.each([
    [
      'by the rowid that it has, though that is larger than a number holds',
      `${PARENT} CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p);
       INSERT INTO c VALUES (9007199254740993, 77)`,
      'INSERT INTO c VALUES (9007199254740995, 77)',
      [{ table: 'c', rowid: '9007199254740995', parent: 'p' }],
    ],
    [
      'though a column hides the rowid',
      `${PARENT} CREATE TABLE c (rowid TEXT, p REFERENCES p); INSERT INTO c VALUES ('x', 77)`,
      `INSERT INTO c VALUES ('x', 78)`,
      [{ table: 'c', rowid: 2, parent: 'p' }],
    ],
    [
      'though another key of its table cannot be checked',
      `${PARENT} CREATE TABLE q (x); CREATE TABLE c (p REFERENCES p, q REFERENCES q (x))`,
      'INSERT INTO c VALUES (99, NULL)',
      [{ table: 'c', rowid: 1, parent: 'p' }],
    ],
    [
      'though its parent is a view',
      `${PARENT} CREATE VIEW v AS SELECT id FROM p; CREATE TABLE c (p REFERENCES v (id)); INSERT INTO c VALUES (1)`,
      'INSERT INTO c VALUES (2)',
      [{ table: 'c', rowid: 2, parent: 'v' }],
    ],
    [
      'in a table without rowids whose parent table is not there',
      'CREATE TABLE c (id PRIMARY KEY, p REFERENCES gone) WITHOUT ROWID; INSERT INTO c VALUES (1, 99)',
      'DELETE FROM c; INSERT INTO c VALUES (1, 55)',
      [{ table: 'c', rowid: null, parent: 'gone' }],
    ],
  ])('%s', (_, before, change, violations) => {
    expect(migrated(before, change)).toEqual(violations)
  })
})

describe('fault 10: no orphan, and no new one, is no hindrance:', () => {
  it.each([
    ['a key without a unique parent in an empty table', '', 'CREATE TABLE q (x); CREATE TABLE c (q REFERENCES q (x))'],
    [
      'a parent that is a view, with all its rows',
      PARENT,
      'CREATE VIEW v AS SELECT id FROM p; CREATE TABLE c (p REFERENCES v (id)); INSERT INTO c VALUES (1)',
    ],
    [
      'a rebuild that gives an old one another type',
      `${PARENT} CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p); INSERT INTO c VALUES (1, 77)`,
      `CREATE TABLE n (id TEXT PRIMARY KEY, p TEXT REFERENCES p); INSERT INTO n SELECT id + 10, p FROM c;
       DROP TABLE c; ALTER TABLE n RENAME TO c`,
    ],
    [
      'an old one with a rowid that is larger than a number holds',
      `${PARENT} CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p); INSERT INTO c VALUES (9007199254740993, 77)`,
      'INSERT INTO p VALUES (5)',
    ],
  ])('%s', (_, before, change) => {
    expect(migrated(before, change)).toBe('applied')
  })

  it('an old one in a database that its own connection locks', () => {
    const path = join(temporaryFolder(), 'app.db')
    const db = database(path, { log: () => {} })
    onTestFinished(() => void db.close())
    db.pragma('foreign_keys = OFF')
    db.exec(`${PARENT} CREATE TABLE c (p REFERENCES p); INSERT INTO c VALUES (77)`)
    db.pragma('locking_mode = EXCLUSIVE')
    db.addMigration(0, function more(db) {
      db.exec('INSERT INTO p VALUES (5)')
    })
    db.migrate()
    expect(db.appliedMigrations()).toHaveLength(1)
  })
})

it.each([
  [
    'in a table without rowids',
    `CREATE TABLE p (a, b); INSERT INTO p VALUES (1, 1);
     CREATE TABLE c (k TEXT PRIMARY KEY, x REFERENCES p (a)) WITHOUT ROWID; INSERT INTO c VALUES ('k', 1), ('l', 2)`,
  ],
  [
    'of a parent without such a key',
    'CREATE TABLE p (a, b); CREATE TABLE c (x REFERENCES p (a)); INSERT INTO c VALUES (1)',
  ],
  ['of a view', 'CREATE VIEW p AS SELECT 2 AS a; CREATE TABLE c (x REFERENCES p (a)); INSERT INTO c VALUES (1)'],
])('fault 10: old orphans %s are no hindrance to a migration that asks for BigInts', (_, before) => {
  const db = database(join(temporaryFolder(), 'app.db'), { log: () => {} })
  onTestFinished(() => void db.close())
  db.pragma('foreign_keys = OFF')
  db.exec(before)
  db.addMigration(0, function asks(db) {
    db.defaultSafeIntegers(true)
    db.exec('CREATE TABLE t (x)')
  })
  db.migrate()
  expect(db.appliedMigrations()).toHaveLength(1)
})

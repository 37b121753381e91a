import { join } from 'node:path'
import Sqlite, { type Database } from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { database, Migrator } from '../src/index.ts'
import { establish, OURS } from '../src/sqlite/tables.ts'
import { temporaryFolder } from './support/folder.ts'

function initDb(db: Database): void {
  db.exec('CREATE TABLE cats (name PRIMARY KEY)')
}

function dropCats(db: Database): void {
  db.exec('DROP TABLE cats')
}

function tables(db: Database): unknown[] {
  return db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`).pluck().all()
}

function memory(): { db: Database; printed: string[]; migrator: Migrator } {
  const db = new Sqlite(':memory:')
  const printed: string[] = []
  return {
    db,
    printed,
    migrator: new Migrator(db, { log: (line) => void printed.push(line) }),
  }
}

describe('a Migrator', () => {
  it('creates the table migrations and nothing else', () => {
    const { db } = memory()
    expect(tables(db)).toEqual(['migrations'])
    const columns = db.prepare(
      `SELECT name, type, "notnull" AS needed, dflt_value AS otherwise, pk FROM pragma_table_info('migrations')`,
    )
    expect(columns.all()).toEqual([
      { name: 'id', type: 'INTEGER', needed: 0, otherwise: null, pk: 1 },
      { name: 'name', type: 'TEXT', needed: 1, otherwise: null, pk: 0 },
      {
        name: 'inserted_at',
        type: 'TEXT',
        needed: 1,
        otherwise: 'CURRENT_TIMESTAMP',
        pk: 0,
      },
    ])
  })

  it('prints each migration, applies it and records it', () => {
    const { db, printed, migrator } = memory()
    migrator.addMigration(0, initDb)
    migrator.addMigration(1, function addTom(db) {
      db.prepare('INSERT INTO cats VALUES (?)').run('Tom')
    })
    migrator.migrate()
    expect(printed).toEqual(['0 initDb', '1 addTom'])
    expect(db.prepare('SELECT name FROM cats').pluck().all()).toEqual(['Tom'])
    const insertedAt = expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/)
    expect(migrator.appliedMigrations()).toEqual([
      { id: 0, name: 'initDb', insertedAt },
      { id: 1, name: 'addTom', insertedAt },
    ])
    expect(migrator.lastAppliedMigration()).toEqual({
      id: 1,
      name: 'addTom',
      insertedAt,
    })
  })

  it('prints a migration before its step runs', () => {
    const { printed, migrator } = memory()
    let before: string[] = []
    migrator.addMigration(0, function look() {
      before = [...printed]
    })
    migrator.migrate()
    expect(before).toEqual(['0 look'])
  })

  it('does nothing when it runs again', () => {
    const { printed, migrator } = memory()
    migrator.addMigration(0, initDb)
    migrator.migrate()
    migrator.migrate()
    expect(printed).toEqual(['0 initDb'])
  })

  it('has no last applied migration before the first', () => {
    const { migrator } = memory()
    expect(migrator.appliedMigrations()).toEqual([])
    expect(migrator.lastAppliedMigration()).toBeUndefined()
    migrator.rollback()
    expect(migrator.appliedMigrations()).toEqual([])
  })

  it('leaves one table and no row when the first migration fails', () => {
    const { db, migrator } = memory()
    migrator.addMigration(0, function failing(db) {
      db.exec('CREATE TABLE cats (name)')
      db.exec('INSERT INTO dogs VALUES (1)')
    })
    expect(() => migrator.migrate()).toThrow(/no such table: dogs/)
    expect(tables(db)).toEqual(['migrations'])
    expect(migrator.appliedMigrations()).toEqual([])
    expect(db.inTransaction).toBe(false)
  })

  it('keeps the migrations before the one that failed', () => {
    const { db, migrator } = memory()
    migrator.addMigration(0, initDb)
    migrator.addMigration(1, function failing() {
      throw new Error('boom')
    })
    expect(() => migrator.migrate()).toThrow(/boom/)
    expect(tables(db)).toEqual(['cats', 'migrations'])
    expect(migrator.lastAppliedMigration()?.id).toBe(0)
  })

  it('leaves cats when its rollback fails', () => {
    const { db, migrator } = memory()
    migrator.addMigration(0, initDb)
    migrator.addRollback(0, function failing(db) {
      db.exec('DROP TABLE cats')
      throw new Error('boom')
    })
    migrator.migrate()
    expect(() => migrator.rollback()).toThrow(/boom/)
    expect(tables(db)).toEqual(['cats', 'migrations'])
    expect(migrator.lastAppliedMigration()?.name).toBe('initDb')
  })

  it('undoes the last applied migration only', () => {
    const { db, printed, migrator } = memory()
    migrator.addMigration(0, initDb)
    migrator.addMigration(1, function addDogs(db) {
      db.exec('CREATE TABLE dogs (name)')
    })
    migrator.addRollback(0, dropCats)
    migrator.addRollback(1, function dropDogs(db) {
      db.exec('DROP TABLE dogs')
    })
    migrator.migrate()
    migrator.rollback()
    expect(tables(db)).toEqual(['cats', 'migrations'])
    migrator.rollback()
    expect(tables(db)).toEqual(['migrations'])
    expect(printed).toEqual(['0 initDb', '1 addDogs', '1 dropDogs', '0 dropCats'])
  })

  it('says so and changes nothing when the last migration has no rollback', () => {
    const { db, printed, migrator } = memory()
    migrator.addMigration(0, initDb)
    migrator.migrate()
    db.exec(`UPDATE migrations SET inserted_at = '2025-03-09 19:23:08'`)
    migrator.rollback()
    expect(printed.at(-1)).toBe(
      "No rollback for the latest applied migration found: Migrations(id=0, name='initDb', inserted_at='2025-03-09 19:23:08')",
    )
    expect(tables(db)).toEqual(['cats', 'migrations'])
    expect(migrator.appliedMigrations()).toHaveLength(1)
  })

  it.each([
    ['a gap', [0, 2]],
    ['a beginning other than 0', [1]],
  ])('refuses %s before anything runs', (_, ids) => {
    const { db, migrator } = memory()
    for (const id of ids) migrator.addMigration(id, initDb)
    expect(() => migrator.migrate()).toThrow(expect.objectContaining({ code: 'invalid-migrations' }))
    expect(tables(db)).toEqual(['migrations'])
  })

  it('takes migrations in any order and applies them by their ids', () => {
    const { printed, migrator } = memory()
    migrator.addMigration(1, function second() {})
    migrator.addMigration(0, function first() {})
    migrator.migrate()
    expect(printed).toEqual(['0 first', '1 second'])
  })

  it.each([-1, 0.5, Number.NaN, '0' as unknown as number])('refuses the id %s', (id) => {
    expect(() => memory().migrator.addMigration(id, initDb)).toThrow(/whole number/)
  })

  it('refuses a double id and a function without a name when they are added', () => {
    const { migrator } = memory()
    migrator.addMigration(0, initDb)
    migrator.addRollback(0, dropCats)
    expect(() => migrator.addMigration(0, dropCats)).toThrow(/is there already, as initDb/)
    expect(() => migrator.addRollback(0, initDb)).toThrow(/is there already, as dropCats/)
    expect(() => migrator.addMigration(1, (() => () => {})())).toThrow(/needs a function with a name/)
    expect(() => migrator.addRollback(1, (() => () => {})())).toThrow(/needs a function with a name/)
  })

  it('refuses both verbs inside an open transaction', () => {
    const { db, migrator } = memory()
    migrator.addMigration(0, initDb)
    db.exec('BEGIN')
    expect(() => migrator.migrate()).toThrow(/inside a transaction/)
    expect(() => migrator.rollback()).toThrow(/inside a transaction/)
    db.exec('ROLLBACK')
    migrator.migrate()
    expect(migrator.lastAppliedMigration()?.id).toBe(0)
  })

  it('refuses a migration that returns a promise, and undoes it', () => {
    const { db, migrator } = memory()
    const later = async (db: Database) => initDb(db)
    migrator.addMigration(0, later as unknown as (db: Database) => void)
    expect(() => migrator.migrate()).toThrow(/promise/)
    expect(tables(db)).toEqual(['migrations'])
  })

  it('finds a transaction that was ended over a database opened elsewhere', () => {
    const { migrator } = memory()
    migrator.addMigration(0, function escaping(db) {
      db.exec('CREATE TABLE cats (name); COMMIT; BEGIN')
    })
    expect(() => migrator.migrate()).toThrow(/ended the transaction/)
    expect(migrator.appliedMigrations()).toEqual([])
  })

  it('puts foreign keys and durability back to what they were', () => {
    const { db, migrator } = memory()
    const during: unknown[] = []
    migrator.addMigration(0, function look(db) {
      during.push(db.pragma('foreign_keys', { simple: true }), db.pragma('synchronous', { simple: true }))
    })
    db.pragma('synchronous = NORMAL')
    migrator.migrate()
    expect(during).toEqual([0, 2])
    expect(db.pragma('foreign_keys', { simple: true })).toBe(1)
    expect(db.pragma('synchronous', { simple: true })).toBe(1)
    db.pragma('foreign_keys = OFF')
    migrator.addMigration(1, function another() {})
    migrator.migrate()
    expect(db.pragma('foreign_keys', { simple: true })).toBe(0)
  })

  it('tells of a lock as of a lock, and writes to a log that was made later', () => {
    const path = join(temporaryFolder(), 'app.db')
    const db = new Sqlite(path, { timeout: 0 })
    const migrator = new Migrator(db, { log: () => {} })
    const other = new Sqlite(path)
    establish(other, OURS)
    migrator.addMigration(0, initDb)
    other.exec('BEGIN IMMEDIATE')
    expect(() => migrator.migrate()).toThrow(
      expect.objectContaining({ name: 'MigrationError', code: 'database-locked' }),
    )
    other.exec('ROLLBACK')
    migrator.migrate()
    expect(db.prepare('SELECT migration_id AS id, outcome FROM migration_log').all()).toEqual([
      { id: 0, outcome: 'done' },
    ])
    for (const one of [db, other]) one.close()
  })

  it('leaves a table of another tool alone', () => {
    const db = new Sqlite(':memory:')
    db.exec('CREATE TABLE migrations (version TEXT)')
    expect(() => new Migrator(db)).toThrow(expect.objectContaining({ code: 'foreign-table' }))
    expect(tables(db)).toEqual(['migrations'])
  })

  it("goes on with the ancestor's table, which has no default", () => {
    const db = new Sqlite(':memory:')
    db.exec(`CREATE TABLE migrations (id INTEGER PRIMARY KEY, name TEXT NOT NULL, inserted_at TEXT NOT NULL);
      INSERT INTO migrations VALUES (0, 'init_db', '2020-01-01 00:00:00')`)
    const migrator = new Migrator(db, { log: () => {} })
    migrator.addMigration(0, initDb)
    migrator.addMigration(1, function addDogs(db) {
      db.exec('CREATE TABLE dogs (name)')
    })
    migrator.migrate()
    expect(tables(db)).toEqual(['dogs', 'migrations'])
    expect(migrator.appliedMigrations().map(({ name }) => name)).toEqual(['init_db', 'addDogs'])
  })

  it('applies each migration once though two connections migrate', () => {
    const path = join(temporaryFolder(), 'app.db')
    const [one, other] = [new Sqlite(path), new Sqlite(path)].map((db) => new Migrator(db, { log: () => {} }))
    let calls = 0
    for (const migrator of [one, other]) {
      migrator?.addMigration(0, function outer() {
        calls += 1
      })
    }
    // Read as pending by both, applied by the other before this one's transaction begins.
    one?.run([
      {
        id: 0,
        name: 'outer',
        direction: 'up',
        file: null,
        checksum: null,
        keep: null,
        body: () => void calls++,
      },
    ])
    const again = other?.run([
      {
        id: 0,
        name: 'outer',
        direction: 'up',
        file: null,
        checksum: null,
        keep: null,
        body: () => void calls++,
      },
    ])
    expect(again?.steps[0]?.status).toBe('skipped')
    expect(calls).toBe(1)
  })
})

describe('a Migrator over a database that is used in other ways', () => {
  it('undoes a migration that leaves an iterator open, and lets go of everything', () => {
    const file = join(temporaryFolder(), 'app.db')
    const db = new Sqlite(file)
    const migrator = new Migrator(db, { log: () => {} })
    let open: IterableIterator<unknown> | undefined
    migrator.addMigration(0, function leave(db) {
      db.exec('CREATE TABLE t (x)')
      open = db.prepare('SELECT * FROM sqlite_schema').iterate()
      open.next()
    })
    expect(() => migrator.migrate()).toThrow(/iterator/)
    expect(db.inTransaction).toBe(false)
    open?.return?.()
    expect(db.pragma('foreign_keys', { simple: true })).toBe(1)
    expect(tables(db)).toEqual(['migrations'])
    const other = new Sqlite(file, { timeout: 0 })
    other.exec('CREATE TABLE free (x)')
    other.close()
    db.close()
  })

  it('leaves exec of another database, and a database that nobody may change, as they are', () => {
    const [db, other] = [new Sqlite(':memory:'), new Sqlite(':memory:')]
    const migrator = new Migrator(Object.freeze(db), { log: () => {} })
    migrator.addMigration(0, initDb)
    migrator.migrate()
    const free = database(':memory:', { log: () => {} })
    free.addMigration(0, function both(db) {
      db.exec.call(other, 'CREATE TABLE theirs (x)')
      db.exec(`CREATE TABLE ours (x); INSERT INTO ours VALUES ('?\ud800'); INSERT INTO ours VALUES (2)`)
    })
    free.migrate()
    expect([db, free, other].map(tables)).toEqual([['cats', 'migrations'], ['migrations', 'ours'], ['theirs']])
    expect(Object.hasOwn(free, 'exec')).toBe(false)
  })

  it('sees what its own connection was given to do between two migrations', () => {
    const db = new Sqlite(':memory:')
    const log = (line: string) => {
      if (line === '1 second') db.exec('DELETE FROM migrations WHERE id = 0')
    }
    const migrator = new Migrator(db, { log })
    migrator.addMigration(0, function first() {})
    migrator.addMigration(1, function second() {})
    expect(() => migrator.migrate()).toThrow(expect.objectContaining({ code: 'history-moved' }))
    expect(migrator.appliedMigrations()).toEqual([])
  })

  it('works where all integers are BigInts', () => {
    const db = new Sqlite(':memory:').defaultSafeIntegers(true)
    const migrator = new Migrator(db, { log: () => {} })
    migrator.addMigration(0, initDb)
    migrator.addMigration(1, function more(db) {
      db.exec('CREATE TABLE more (x REFERENCES cats)')
    })
    migrator.migrate()
    expect(migrator.appliedMigrations()).toMatchObject([{ id: 0 }, { id: 1 }])
    expect(migrator.lastAppliedMigration()).toMatchObject({ id: 1 })
  })

  it('takes the columns of migrations in any case', () => {
    const db = new Sqlite(':memory:')
    db.exec('CREATE TABLE Migrations (ID INTEGER PRIMARY KEY, Name TEXT NOT NULL, Inserted_At TEXT NOT NULL)')
    const migrator = new Migrator(db, { log: () => {} })
    migrator.addMigration(0, initDb)
    migrator.migrate()
    migrator.migrate()
    expect(migrator.appliedMigrations()).toMatchObject([{ id: 0, name: 'initDb' }])
  })

  it('puts legacy_alter_table back after a failure too', () => {
    const db = new Sqlite(':memory:')
    const migrator = new Migrator(db, { log: () => {} })
    migrator.addMigration(0, function legacy(db) {
      db.exec('PRAGMA legacy_alter_table = ON')
      throw new Error('boom')
    })
    expect(() => migrator.migrate()).toThrow('boom')
    expect(db.pragma('legacy_alter_table', { simple: true })).toBe(0)
  })

  it.each([
    ['async', async function later() {}],
    ['a generator', function* later() {}],
    ['an async generator', async function* later() {}],
  ])('refuses a function that is %s before any of it runs', (_, body) => {
    const { migrator, db } = memory()
    migrator.addMigration(0, body as () => void)
    expect(() => migrator.migrate()).toThrow(/synchronous/)
    expect(tables(db)).toEqual(['migrations'])
  })

  it('goes on where a key cannot be checked, as with a collation of the application', () => {
    const file = join(temporaryFolder(), 'app.db')
    const db = new Sqlite(file)
    db.exec('CREATE TABLE p (id TEXT PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id)); INSERT INTO p VALUES (1)')
    db.exec('INSERT INTO c VALUES (1)')
    db.unsafeMode(true)
    db.pragma('writable_schema = ON')
    db.exec(`UPDATE sqlite_schema SET sql = 'CREATE TABLE p (id TEXT COLLATE icu PRIMARY KEY)' WHERE name = 'p'`)
    db.close()
    const copy = new Sqlite(file)
    expect(() => copy.pragma('foreign_key_check')).toThrow(/icu/)
    const migrator = new Migrator(copy, { log: () => {} })
    migrator.addMigration(0, function unrelated(db) {
      db.exec('CREATE TABLE x (y)')
    })
    migrator.migrate()
    expect(migrator.appliedMigrations()).toHaveLength(1)
    copy.close()
  })
})

describe('database()', () => {
  it('gives a better-sqlite3 database in WAL mode, with the six methods on it', () => {
    const db = database(join(temporaryFolder(), 'app.db'), { log: () => {} })
    expect(db.pragma('journal_mode', { simple: true })).toBe('wal')
    db.addMigration(0, initDb)
    db.addRollback(0, dropCats)
    db.migrate()
    expect(db.appliedMigrations()).toHaveLength(1)
    expect(db.lastAppliedMigration()?.name).toBe('initDb')
    db.rollbackMigration()
    expect(tables(db)).toEqual(['migrations'])
    db.close()
  })

  it('leaves the journal mode alone when told so', () => {
    const db = database(join(temporaryFolder(), 'app.db'), { wal: false })
    expect(db.pragma('journal_mode', { simple: true })).toBe('delete')
    db.close()
  })

  it.each([
    'COMMIT',
    'END',
    'ROLLBACK',
    'COMMIT; BEGIN',
    'BEGIN',
    '/* x */ ; -- y\n cOmMiT',
    `ATTACH ':memory:' AS x`,
    'PRAGMA journal_mode = MEMORY',
  ])('stops %j before it runs', (statement) => {
    const db = database(join(temporaryFolder(), 'app.db'), { log: () => {} })
    db.addMigration(0, function forbidden(db) {
      db.exec('CREATE TABLE cats (name)')
      db.exec(statement)
    })
    expect(() => db.migrate()).toThrow(expect.objectContaining({ code: 'forbidden-statement' }))
    expect(tables(db)).toEqual(['migrations'])
    expect(db.inTransaction).toBe(false)
    db.close()
  })

  it('stops a statement that is hidden by a loop over another, though SQLite tells it as a comment', () => {
    const db = database(':memory:', { wal: false, log: () => {} })
    db.addMigration(0, function nested(db) {
      for (const _ of db.prepare('SELECT 1').iterate()) {
        for (const _ of db.prepare('SELECT 1').iterate()) db.prepare('PRAGMA locking_mode').get()
      }
    })
    expect(() => db.migrate()).toThrow(expect.objectContaining({ code: 'forbidden-statement' }))
    db.close()
  })

  it('uses a connection no more after a forbidden PRAGMA, which acts when it is compiled', () => {
    const db = database(':memory:', { wal: false, log: () => {} })
    db.addMigration(0, function pragma(db) {
      db.exec('PRAGMA ignore_check_constraints = ON')
    })
    expect(() => db.migrate()).toThrow(/is not allowed/)
    expect(() => db.migrate()).toThrow(/open the database anew/)
    db.close()
  })

  it('stops what comes after a rollback by a conflict, though the migration swallows the error', () => {
    const db = database(':memory:', { wal: false, log: () => {} })
    db.addMigration(0, function swallowing(db) {
      db.exec('CREATE TABLE cats (name UNIQUE)')
      try {
        db.exec("INSERT OR ROLLBACK INTO cats VALUES ('Tom'), ('Tom')")
      } catch {
        db.exec('CREATE TABLE dogs (name)')
      }
    })
    expect(() => db.migrate()).toThrow(/the transaction has ended/)
    expect(tables(db)).toEqual(['migrations'])
    db.close()
  })

  it('keeps the children of a parent that is rebuilt', () => {
    const db = database(':memory:', { wal: false, log: () => {} })
    db.exec(`CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2);
      CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE); INSERT INTO c VALUES (1, 1), (2, 2)`)
    db.addMigration(0, function rebuild(db) {
      db.exec(`CREATE TABLE p_new (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO p_new SELECT id, 'x' FROM p;
        DROP TABLE p; ALTER TABLE p_new RENAME TO p`)
    })
    db.migrate()
    expect(db.prepare('SELECT count(*) FROM c').pluck().get()).toBe(2)
    db.close()
  })

  it('refuses new orphans in memory too, and none that were there before', () => {
    const db = database(':memory:', { wal: false, log: () => {} })
    db.pragma('foreign_keys = OFF')
    db.exec('CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p); INSERT INTO c VALUES (9)')
    db.addMigration(0, function harmless(db) {
      db.exec('CREATE TABLE other (x); ALTER TABLE c RENAME TO kids')
    })
    db.migrate()
    db.addMigration(1, function orphans(db) {
      db.exec('INSERT INTO kids VALUES (10)')
    })
    expect(() => db.migrate()).toThrow(expect.objectContaining({ code: 'foreign-key-violation' }))
    expect(db.lastAppliedMigration()?.id).toBe(0)
    db.close()
  })
})

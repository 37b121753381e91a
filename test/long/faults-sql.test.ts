import { existsSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { write } from '../support/folder.ts'
import { BASE, refused, sharedBase, withBase } from '../support/refused.ts'
import { query, startServer } from '../support/server.ts'

describe('fault 1: an error in a statement', () => {
  const lead = `-- a comment; with a semicolon
CREATE TABLE a (x UNIQUE, y DEFAULT 'one; two');
CREATE TRIGGER t AFTER INSERT ON a BEGIN
  SELECT CASE WHEN new.x > 0 THEN 1 ELSE 2 END;
  SELECT ';';
END;

`
  it.each([
    [
      'does not compile',
      `${lead}CREATE TABEL b (x);\nSELECT 1;\n`,
      8,
      'CREATE TABEL b (x);\nSELECT 1;',
      'SQLITE_ERROR',
    ],
    [
      'needs a table that is not there',
      `${lead}/* c */\nINSERT INTO dogs VALUES (1);\n`,
      9,
      'INSERT INTO dogs VALUES (1);',
      'SQLITE_ERROR',
    ],
    [
      'fails when it runs',
      `${lead}INSERT INTO a (x) VALUES (1), (1);\nSELECT 1;\n`,
      8,
      'INSERT INTO a (x) VALUES (1), (1);',
      'SQLITE_CONSTRAINT_UNIQUE',
    ],
    ['is the first and does not compile', '\n\nSELEC 1', 3, 'SELEC 1', 'SQLITE_ERROR'],
    ['is cut off', `${lead}CREATE TABLE b (x`, 8, 'CREATE TABLE b (x', 'SQLITE_ERROR'],
  ])('that %s is told with its file, line and text', async (_, script, line, statement, sqlite) => {
    const answer = await refused(await withBase(), script)
    expect(answer.status).toBe(422)
    expect(answer.headers.get('content-type')).toMatch('application/problem+json')
    expect(answer.body).toMatchObject({
      code: 'migration-failed',
      retryable: false,
      type: '/problems/migration-failed',
    })
    expect(answer.body.run).toMatchObject({
      status: 'failed',
      from: 0,
      to: 0,
      steps: [{ id: 1, status: 'failed' }],
      error: {
        code: 'migration-failed',
        id: 1,
        name: 'bad',
        direction: 'up',
        file: '0001_bad.up.sql',
        line,
        statement,
        sqlite,
      },
    })
  })

  it('is kept in the log with its run', async () => {
    const server = await withBase()
    await refused(server, 'SELEC 1')
    expect(
      query(
        server.database,
        `SELECT migration_id, name, direction, outcome, error FROM migration_log WHERE outcome = 'failed'`,
      ),
    ).toEqual([
      {
        migration_id: 1,
        name: 'bad',
        direction: 'up',
        outcome: 'failed',
        error: expect.stringContaining('syntax error'),
      },
    ])
    expect(query(server.database, `SELECT status FROM migration_runs ORDER BY id LIMIT 2`)).toEqual([
      { status: 'succeeded' },
      { status: 'failed' },
    ])
  })

  it('has at most 200 characters of it told', async () => {
    const answer = await refused(await withBase(), `INSERT INTO nowhere VALUES ('${'x'.repeat(500)}');`)
    expect(String(answer.body.run?.error?.statement)).toHaveLength(200)
  })
})

it('fault 2: a constraint error after a million rows undoes them all', async () => {
  const answer = await refused(
    await withBase(),
    `CREATE TABLE many (x INTEGER PRIMARY KEY);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) INSERT INTO many SELECT i FROM n;
INSERT INTO many VALUES (1000000);`,
  )
  expect(answer.body.run?.error).toMatchObject({
    code: 'migration-failed',
    line: 3,
    sqlite: 'SQLITE_CONSTRAINT_PRIMARYKEY',
  })
})

describe('a forbidden statement is stopped before it runs', () => {
  const base = sharedBase()

  it.each([
    ['fault 3', 'COMMIT;', /COMMIT/],
    ['fault 3', 'end;', /END/],
    ['fault 3', 'ROLLBACK;', /ROLLBACK/],
    ['fault 3', 'BEGIN IMMEDIATE;', /BEGIN/],
    ['fault 3', '-- x\n/* y */ ; cOmMiT TRANSACTION;', /COMMIT/],
    ['fault 4', 'COMMIT; BEGIN;', /COMMIT/],
    ['fault 6', `ATTACH 'elsewhere.db' AS other;`, /ATTACH/],
    ['fault 6', 'DETACH main;', /DETACH/],
    ['fault 7', 'PRAGMA journal_mode = MEMORY;', /allowed are/],
    ['fault 7', 'PRAGMA main . "locking_mode" = EXCLUSIVE;', /allowed are/],
    ['fault 7', 'PRAGMA ignore_check_constraints = ON;', /allowed are/],
    ['fault 7', 'EXPLAIN PRAGMA ignore_check_constraints = ON;', /EXPLAIN/],
    ['fault 7', 'PRAGMA writable_schema = ON;', /allowed are/],
    ['fault 7', 'EXPLAIN QUERY PLAN SELECT 1;', /EXPLAIN/],
    ['fault 8', 'VACUUM;', /-- schemad:no-transaction/],
    ['fault 8', "VACUUM INTO 'elsewhere.db';", /^(?!.*no-transaction).*VACUUM INTO is not allowed/],
    ['fault 12', 'INSERT INTO cats VALUES (7, ?);', /bound parameter/],
    ['fault 12', 'INSERT INTO cats VALUES (7, ?);\nINSERT INTO cats VALUES (7, NULL);', /bound parameter/],
    ['fault 12', 'INSERT INTO cats VALUES (7, :name);', /bound parameter/],
    ['fault 13', `INSERT INTO migrations (id, name) VALUES (7, 'x');`, /record the migrations/],
    ['fault 13', `UPDATE "MIGRATION_LOG" SET name = 'x';`, /record the migrations/],
    ['fault 13', 'DELETE FROM migration_runs;', /record the migrations/],
    ['fault 13', 'CREATE TRIGGER t AFTER INSERT ON migrations BEGIN DELETE FROM cats; END;', /trigger t/],
    ['fault 13', 'CREATE INDEX i ON migration_log (name);', /record the migrations/],
    ['fault 13', 'CREATE TEMP TABLE x (y);', /TEMP/],
    ['fault 13', 'CREATE TEMP TRIGGER t AFTER INSERT ON main.migrations BEGIN DELETE FROM cats; END;', /TEMP/],
  ])('%s: %s', async (_, statement, says) => {
    const server = base()
    const answer = await refused(server, `CREATE TABLE first (x);\n${statement}\nCREATE TABLE last (x);`)
    expect(answer.status).toBe(422)
    expect(answer.body.run?.error).toMatchObject({
      code: 'forbidden-statement',
      file: '0001_bad.up.sql',
    })
    expect(answer.body.detail).toMatch(says)
    expect(existsSync(join(server.database, '..', 'elsewhere.db'))).toBe(false)
  })

  it('fault 12: the statement is told as it stands in the script, and not with what SQLite puts into it', async () => {
    const { body } = await refused(base(), `CREATE TABLE x (y);\n-- a value\nINSERT INTO x VALUES (:y);`)
    expect(body.run?.error).toMatchObject({ line: 3, statement: 'INSERT INTO x VALUES (:y);' })
  })

  it.each([
    ['fault 3', 'CREATE TABLE x (y);-- done\n\t\vCOMMIT;'],
    ['fault 6', "CREATE TABLE x (y);/**/ \vATTACH 'other.db' AS o;"],
    ['fault 7', 'CREATE TABLE x (y);/**/ \v\vPRAGMA ignore_check_constraints = ON;'],
  ])('%s: behind a vertical tab, which SQLite takes for white space too', async (_, script) => {
    const answer = await refused(base(), script)
    expect(answer.body).toMatchObject({ status: 422, code: 'forbidden-statement' })
    expect(answer.body.detail).toMatch(/(COMMIT|ATTACH|PRAGMA \w+) is not allowed/)
  })

  it('the first 200 characters of a statement do not end in half of one', async () => {
    const begin = `SELECT '${'x'.repeat(191)}`
    const answer = await refused(base(), `${begin}\u{1F600}' FROM nothing;`)
    expect(answer.body.run?.error).toMatchObject({ code: 'migration-failed', statement: begin })
  })

  it('fault 7: a PRAGMA that SQLite itself refuses has failed', async () => {
    const answer = await refused(base(), 'CREATE TABLE first (x);\nPRAGMA synchronous = OFF;')
    expect(answer.status).toBe(422)
    expect(answer.body.run?.error).toMatchObject({
      code: 'migration-failed',
      line: 2,
      message: expect.stringMatching(/allowed PRAGMAs are foreign_keys, /),
    })
  })

  it('fault 7: nothing of a refused PRAGMA is in force for the next run', async () => {
    const server = await withBase()
    await refused(server, 'PRAGMA ignore_check_constraints = ON;')
    const answer = await refused(server, `INSERT INTO cats VALUES (9, '');`)
    expect(answer.body.run?.error).toMatchObject({
      sqlite: 'SQLITE_CONSTRAINT_CHECK',
    })
  })

  it('fault 7: legacy_alter_table, which is allowed, does not outlive its step', async () => {
    const server = await startServer({
      files: {
        ...BASE,
        '0001_view.up.sql': 'CREATE VIEW v AS SELECT name FROM cats; PRAGMA legacy_alter_table = ON;',
        // Without the legacy behaviour, SQLite refuses to rename a table into a broken view.
        '0002_rename.up.sql': 'CREATE TABLE new_cats (name); DROP TABLE cats; ALTER TABLE new_cats RENAME TO cats;',
      },
    })
    const answer = await server.post('/migrate')
    expect(answer.body.run?.steps.map(({ status }) => status)).toEqual(['done', 'done', 'failed'])
    expect(answer.body.detail).toMatch(/error in view v/)
  })
})

it.each([
  ['INSERT OR ROLLBACK', `INSERT OR ROLLBACK INTO cats VALUES (1, 'Tom');`],
  [
    'RAISE(ROLLBACK)',
    `CREATE TRIGGER no BEFORE INSERT ON cats BEGIN SELECT RAISE(ROLLBACK, 'no'); END;\nINSERT INTO cats VALUES (9, 'x');`,
  ],
])('fault 5: nothing after %s runs', async (_, statement) => {
  const answer = await refused(await withBase(), `CREATE TABLE first (x);\n${statement}\nCREATE TABLE last (x);`)
  expect(answer.status).toBe(422)
  expect(answer.body.run?.error?.statement).toMatch(/^INSERT/)
})

it.each([
  'turns free pages into room on the disk\nVACUUM',
  'pages\nVACUUM /* not INTO a file */ main -- into nothing\n',
])('fault 8: VACUUM runs whatever its comments say: %j', async (words) => {
  const server = await startServer({
    files: {
      ...BASE,
      '0001_vacuum.up.sql': `-- schemad:no-transaction\n-- It ${words};`,
      '0002_copy.up.sql': `-- schemad:no-transaction\nVACUUM "main" /* */ INTO 'copy.db';`,
    },
  })
  const { status, body } = await server.post('/migrate')
  expect([status, body.code, body.run?.to]).toEqual([422, 'forbidden-statement', 1])
  expect(body.detail).toMatch(/^0002_copy\.up\.sql line 2: VACUUM INTO is not allowed/)
})

it('fault 8: VACUUM runs behind its directive, and not with others', async () => {
  const server = await withBase()
  write(server.migrations, {
    '0001_vacuum.up.sql': '-- schemad:no-transaction\nVACUUM;\nPRAGMA optimize;\nANALYZE;\n',
    '0001_nothing.down.sql': '-- there is nothing to undo\n',
  })
  expect((await server.post('/migrate?atomic=true')).body).toMatchObject({
    status: 400,
    code: 'invalid-request',
  })
  expect((await server.post('/migrate')).body).toMatchObject({
    status: 'succeeded',
    steps: [{ status: 'done', statements: 3 }],
  })
  expect((await server.post('/rollback')).status).toBe(200)
  for (const bad of ['DELETE FROM cats;', `VACUUM INTO 'copy.db';`, 'PRAGMA journal_mode = DELETE;']) {
    write(server.migrations, {
      '0001_vacuum.up.sql': `-- schemad:no-transaction\n${bad}\n`,
    })
    const answer = await server.post('/migrate')
    expect(answer.body).toMatchObject({
      status: 422,
      code: 'forbidden-statement',
    })
  }
  expect(query(server.database, 'SELECT count(*) AS n FROM cats')).toEqual([{ n: 2 }])
})

const REBUILD = `PRAGMA foreign_keys = OFF;
CREATE TABLE new_cats (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO new_cats SELECT id, name FROM cats;
DROP TABLE cats;
ALTER TABLE new_cats RENAME TO cats;
PRAGMA foreign_keys = ON;
`

it('fault 9: a rebuild of a parent with cascading children keeps every child', async () => {
  const server = await startServer({
    files: { ...BASE, '0001_rebuild.up.sql': REBUILD },
  })
  expect((await server.post('/migrate')).status).toBe(200)
  expect(query(server.database, 'SELECT * FROM kittens')).toHaveLength(3)
})

describe('fault 10: orphans', () => {
  it('that a migration leaves undo it, and twenty of them are told', async () => {
    const server = await withBase()
    const answer = await refused(
      server,
      `WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 149) INSERT INTO kittens SELECT i, i FROM n;`,
    )
    expect(answer.status).toBe(422)
    expect(answer.body.code).toBe('foreign-key-violation')
    const violations = answer.body.run?.error?.violations as unknown[]
    expect(violations).toHaveLength(20)
    expect(violations[0]).toEqual({
      table: 'kittens',
      rowid: 100,
      parent: 'cats',
    })
    expect(answer.body.detail).toMatch(/and 30 more/)
  })

  it('that a deleted parent leaves undo the migration', async () => {
    const answer = await refused(await withBase(), 'DELETE FROM cats WHERE id = 1;')
    expect(answer.body.run?.error?.violations).toEqual([
      { table: 'kittens', rowid: 1, parent: 'cats' },
      { table: 'kittens', rowid: 2, parent: 'cats' },
    ])
  })

  it.each([
    ['another change', 'CREATE TABLE other (x);'],
    [
      'a rebuild of their table that gives them other rowids',
      `CREATE TABLE k (id INTEGER PRIMARY KEY, cat_id INTEGER REFERENCES cats ON DELETE CASCADE);
INSERT INTO k (cat_id) SELECT cat_id FROM kittens; DROP TABLE kittens; ALTER TABLE k RENAME TO kittens;`,
    ],
    ['a new name of their table', 'ALTER TABLE kittens RENAME TO babies;'],
    ['a rebuild of their parent', REBUILD],
  ])('that were there before do not hinder %s', async (_, script) => {
    const server = await withBase()
    const db = new Sqlite(server.database)
    db.pragma('foreign_keys = OFF')
    db.exec('INSERT INTO kittens VALUES (50, 900), (60, 901)')
    db.close()
    write(server.migrations, { '0001_next.up.sql': script })
    expect((await server.post('/migrate')).body).toMatchObject({
      status: 'succeeded',
    })
  })

  it('that are new are found among old ones', async () => {
    const server = await withBase()
    const db = new Sqlite(server.database)
    db.pragma('foreign_keys = OFF')
    db.exec('INSERT INTO kittens VALUES (50, 900)')
    db.close()
    const answer = await refused(server, 'INSERT INTO kittens VALUES (51, 900);')
    expect(answer.body.run?.error?.violations).toEqual([{ table: 'kittens', rowid: 51, parent: 'cats' }])
  })
})

describe('fault 10: an orphan is a new one', () => {
  it.each([
    ['in the row of an old one', 'CREATE TABLE k (id INTEGER PRIMARY KEY, cat REFERENCES cats)'],
    ['in a table without rowids', 'CREATE TABLE k (id INTEGER PRIMARY KEY, cat REFERENCES cats) WITHOUT ROWID'],
  ])('%s', async (_, table) => {
    const server = await withBase()
    const db = new Sqlite(server.database)
    db.pragma('foreign_keys = OFF')
    db.exec(`${table}; INSERT INTO k VALUES (1, 99)`)
    db.close()
    const answer = await refused(server, 'DELETE FROM k; INSERT INTO k VALUES (1, 55);')
    expect(answer.body.code).toBe('foreign-key-violation')
  })

  it('that refers to a migration which is rolled back', async () => {
    const server = await withBase()
    write(server.migrations, {
      '0001_refer.up.sql': 'CREATE TABLE notes (about REFERENCES migrations (id));\nINSERT INTO notes VALUES (1);',
      '0001_keep.down.sql': 'SELECT 1;',
    })
    expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 1 })
    expect((await server.post('/rollback')).body).toMatchObject({ code: 'foreign-key-violation', run: { to: 1 } })
    expect(query(server.database, 'SELECT id FROM migrations')).toEqual([{ id: 0 }, { id: 1 }])
  })

  it('and a hundred thousand old ones are no hindrance', async () => {
    const server = await withBase()
    const db = new Sqlite(server.database)
    db.pragma('foreign_keys = OFF')
    db.exec(`WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 100100)
      INSERT INTO kittens SELECT i, i FROM n`)
    db.close()
    write(server.migrations, { '0001_next.up.sql': 'CREATE TABLE next (x);' })
    const { body } = await server.post('/migrate')
    expect(body).toMatchObject({ status: 'succeeded' })
    console.log(`a step beside 100,000 old orphans took ${body.durationMs} ms`)
  })
})

it('fault 13: a trigger of an earlier migration cannot write to our tables either', async () => {
  const server = await withBase()
  write(server.migrations, {
    '0001_trap.up.sql': `CREATE TRIGGER trap AFTER INSERT ON cats BEGIN DELETE FROM migrations; END;`,
    '0002_fire.up.sql': `INSERT INTO cats VALUES (9, 'x');`,
  })
  const answer = await server.post('/migrate')
  expect(answer.body.run?.steps.map(({ status }) => status)).toEqual(['done', 'failed'])
  expect(answer.body).toMatchObject({ code: 'forbidden-statement' })
  const again = await server.post('/migrate')
  expect(again.body).toMatchObject({ code: 'forbidden-statement' })
  expect(query(server.database, 'SELECT id FROM migrations')).toEqual([{ id: 0 }, { id: 1 }])
})

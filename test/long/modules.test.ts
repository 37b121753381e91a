import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CATS, write } from '../support/folder.ts'
import { refused, sharedBase, withBase } from '../support/refused.ts'
import { query, startServer } from '../support/server.ts'

const FILE = '0001_code.mjs'

it('what a module leaves on its connection is not found by the next step of the run', async () => {
  const server = await startServer({
    files: {
      ...CATS,
      '0003_leaves.mjs': `export function up(db) {
        db.defaultSafeIntegers()
        db.function('upper', () => 'LEAKED')
        db.function('own', () => 1)
        db.exec('CREATE TABLE owned AS SELECT own() AS x')
      }`,
      '0004_asks.up.sql': `CREATE TABLE names AS SELECT upper('tom') AS name;`,
      '0005_counts.mjs': `export function up(db) {
        db.prepare('INSERT INTO names VALUES (?)').run(typeof db.prepare('SELECT 1').pluck().get())
      }`,
      '0006_lacks.up.sql': 'CREATE TABLE lacks AS SELECT own() AS x;',
    },
  })
  const rehearsed = await server.post('/migrate?rehearse=true')
  const made = await server.post('/migrate')
  for (const { status, body } of [rehearsed, made]) {
    expect([status, body.code]).toEqual([422, 'migration-failed'])
    expect(body.detail).toContain('own')
    expect(body.run).toMatchObject({ from: null, to: 5 })
    expect(body.run?.steps.map((step) => step.status).join()).toBe('done,done,done,done,done,done,failed')
  }
  expect(query(server.database, 'SELECT name FROM names')).toEqual([{ name: 'TOM' }, { name: 'number' }])
  expect(query(server.database, 'SELECT x FROM owned')).toEqual([{ x: 1 }])
})

it('of what a module breaks in our own code nothing is told but to the log', async () => {
  const server = await startServer({
    files: {
      [FILE.replace('1', '0')]: `export function up(db) { globalThis.Date = class {}; db.exec('CREATE TABLE z (x)') }`,
    },
  })
  const { status, body, text } = await server.post('/migrate')
  expect([status, body.code]).toEqual([500, 'internal'])
  expect(text).toContain('an unexpected error; the log has it')
  expect(text).not.toMatch(/toISOString|function/)
  await server.logged(({ output }) => /toISOString is not a function/.test(String(output)))
  expect((await server.get('/migrations')).body).toMatchObject({ current: null })
})

it('migrations in code share one WAL, which is not made anew for each', async () => {
  const notes = (id: number) => [
    `000${id}_notes.mjs`,
    `import { statSync } from 'node:fs'
    export function up(db) {
      db.exec('CREATE TABLE IF NOT EXISTS notes (born)')
      db.prepare('INSERT INTO notes VALUES (?)').run(String(statSync(db.name + '-wal', { bigint: true }).birthtimeNs))
    }`,
  ]
  const server = await startServer({ files: Object.fromEntries([0, 1, 2, 3].map(notes)) })
  expect(await server.post('/migrate')).toMatchObject({ status: 200, body: { to: 3 } })
  expect(query(server.database, 'SELECT count(*) AS notes, count(DISTINCT born) AS files FROM notes')).toEqual([
    { notes: 4, files: 1 },
  ])
})

it.each([
  [
    'fails when it runs',
    `db.exec('CREATE TABLE x (y UNIQUE); INSERT INTO x VALUES (1); INSERT INTO x VALUES (1)')`,
    /^INSERT/,
  ],
  ['cannot be compiled', `db.prepare('SELECT 1').get(); db.exec('INSERT INTO typo VALUES (1)')`, null],
  [
    'fails in a transaction of the module',
    `db.exec('CREATE TABLE x (y UNIQUE)'); db.transaction(() => { for (;;) db.exec('INSERT INTO x VALUES (1)') })()`,
    null,
  ],
])('no other statement is named where one %s', async (_, body, statement) => {
  const server = await startServer({ files: { ...CATS, '0003_code.mjs': `export function up(db) { ${body} }` } })
  const { error } = (await server.post('/migrate')).body.run ?? {}
  expect(error).toMatchObject({ code: 'migration-failed', id: 3 })
  expect(error?.statement ?? null).toEqual(statement === null ? null : expect.stringMatching(statement))
})

describe('a module is undone, and its file is named, when', () => {
  const base = sharedBase()

  it.each([
    ['it throws', `throw new Error('boom')`, /^0001_code\.mjs: boom$/],
    ['it throws what is no error', `throw Object.create(null)`, /no error/],
    [
      'it throws what cannot be read',
      `throw Object.defineProperty(new Error('x'), 'message', { get() { throw 1 } })`,
      /no error/,
    ],
    ['it throws a proxy', `throw new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 } })`, /no error$/],
    [
      'it throws an error whose code cannot be read',
      `throw Object.defineProperty(new Error('odd'), 'code', { get() { throw new Error('no code') } })`,
      /odd$/,
    ],
    [
      'it throws what has a proxy as its prototype',
      `throw Object.create(new Proxy({}, { getPrototypeOf() { throw 1 } }))`,
      /no error$/,
    ],
    ['it gives an error of SQLite another code', `try { db.exec('SELEC') } catch (e) { e.code = 5; throw e }`, /SELEC/],
    ['it throws a code that is none', `throw Object.assign(new Error('odd'), { code: { toString: null } })`, /odd/],
    ['it throws what is too long to tell', `throw new Error('x'.repeat(1_000_000))`, /^.{500,600}…$/],
    ['it returns a promise', `return Promise.resolve()`, /promise/],
    ['it returns what acts like a promise', `return Object.assign(() => {}, { then() {} })`, /promise/],
    [
      'it leaves an iterator open',
      `globalThis.open = db.prepare('SELECT * FROM cats').iterate(); globalThis.open.next()`,
      /iterator/,
    ],
    [
      'it stands in its own way',
      `db.unsafeMode(); globalThis.open = db.prepare('SELECT * FROM cats').iterate(); globalThis.open.next(); db.exec('DROP TABLE x')`,
      /locked: by a query of its own$/,
    ],
    [
      'it throws with an iterator open',
      `globalThis.open = db.prepare('SELECT * FROM cats').iterate(); globalThis.open.next(); throw new Error('boom')`,
      /boom/,
    ],
  ])('%s', async (_, body, says) => {
    const answer = await refused(base(), `export function up(db) { db.exec('CREATE TABLE x (y)'); ${body} }`, FILE)
    expect(answer.body).toMatchObject({ status: 422, code: 'migration-failed', detail: expect.stringMatching(says) })
    expect(answer.body.run?.error).toMatchObject({ code: 'migration-failed', id: 1, file: FILE })
  })

  it.each([
    ['it is async', `export async function up(db) { db.exec('CREATE TABLE x (y)') }`],
    ['it is a generator', `export function* up(db) { db.exec('CREATE TABLE x (y)') }`],
    ['it is an async generator', `export async function* up(db) { db.exec('CREATE TABLE x (y)') }`],
    ['it awaits at its top level', `await 1\nexport function up(db) { db.exec('CREATE TABLE x (y)') }`],
    ['it wants what is not there', `import x from 'nowhere-at-all'\nexport function up(db) { x() }`],
    [
      'it requires what is not there',
      `import { createRequire } from 'node:module'\nexport function up(db) { createRequire(import.meta.url)('nowhere-at-all') }`,
    ],
    ['it throws at its top level', `throw new Error('boom')\nexport function up(db) {}`],
  ])('%s', async (_, text) => {
    const answer = await refused(base(), text, FILE)
    expect(answer.body).toMatchObject({ status: 422, code: 'migration-failed' })
    expect(answer.body.run?.error).toMatchObject({ id: 1, file: FILE })
    // Where Node has looked for it, and what could be set to look further, is not told.
    expect(answer.text).not.toMatch(/Require stack|sqlite\/module|--experimental/)
  })

  it.each([
    ['it says COMMIT', `db.exec('COMMIT')`],
    ['it says COMMIT and catches the refusal', `try { db.exec('COMMIT') } catch {}`],
    ['it closes the database', 'db.close()'],
    ['it sets a PRAGMA', `db.pragma('ignore_check_constraints = ON')`],
    ['it sets a PRAGMA and catches the refusal', `try { db.pragma('ignore_check_constraints = ON') } catch {}`],
    ['it compiles a PRAGMA, which is enough for it to act', `db.prepare('PRAGMA ignore_check_constraints = ON')`],
    ['it compiles one that cannot be asked', `db.prepare('PRAGMA case_sensitive_like = ON')`],
    [
      'it leaves a parameter of exec without a value',
      `db.exec("INSERT INTO x VALUES ('?'); INSERT INTO x VALUES (?)")`,
    ],
    [
      'it leaves a named one without a value in its own transaction and catches the refusal',
      `db.transaction(() => { try { db.exec('/* ? */ INSERT INTO x VALUES (:y)') } catch {} })()`,
    ],
  ])('%s', async (_, body) => {
    const answer = await refused(base(), `export function up(db) { db.exec('CREATE TABLE x (y)'); ${body} }`, FILE)
    expect(answer.body).toMatchObject({ status: 422, code: 'forbidden-statement', run: { error: { file: FILE } } })
  })

  it.each([
    ['it ends the process', `process.exit(0)`],
    [
      'it ends the process after it has sent word of success',
      `process.send?.({ type: 'result', result: {} }); process.exit(0)`,
    ],
  ])('%s', async (_, body) => {
    const answer = await refused(base(), `export function up(db) { db.exec('CREATE TABLE x (y)'); ${body} }`, FILE)
    expect(answer.body).toMatchObject({
      status: 500,
      code: 'runner-crashed',
      run: { status: 'failed', steps: [{ status: 'failed' }], error: { file: FILE } },
    })
  })
})

it('exec takes whatever has no parameter, also while others are asked', async () => {
  const statements = [
    `\ufeff;; -- who? :me\n/* $1 */ CREATE TABLE [a?b] (x)`,
    `INSERT INTO [a?b] VALUES ('?1 :x @y $z')`,
    ' INSERT INTO "a?b" VALUES (json_extract(\'{"a":[7]}\', \'$.a[0]\')) -- done?\n',
  ]
  const server = await startServer({
    files: {
      ...CATS,
      '0003_code.mjs': `export function up(db) {
        if (db.exec(${JSON.stringify(statements.join(';'))}) !== db) throw new Error('it gives the database')
        db.prepare('INSERT INTO "a?b" VALUES (?)').run('bound')
        db.unsafeMode()
        const numbers = db.prepare('SELECT column1 AS n FROM (VALUES (1), (2))')
        for (const one of numbers.iterate())
          for (const two of numbers.database.prepare(numbers.source).iterate())
            db.exec(\`INSERT INTO "a?b" VALUES (\${one.n}\${two.n}); SELECT '?'\`)
      }`,
    },
  })
  expect(await server.post('/migrate')).toMatchObject({ status: 200, body: { to: 3 } })
  expect(query(server.database, 'SELECT x FROM "a?b"')).toEqual(
    ['?1 :x @y $z', 7, 'bound', 11, 12, 21, 22].map((x) => ({ x })),
  )
})

it('what the top level of a module does belongs to its step: those before are applied', async () => {
  const server = await startServer({
    files: { ...CATS, '0003_code.mjs': 'process.exit(0)\nexport function up() {}\n' },
  })
  const { status, body } = await server.post('/migrate')
  expect(status).toBe(500)
  expect(body).toMatchObject({ code: 'runner-crashed', run: { to: 2, error: { id: 3, file: '0003_code.mjs' } } })
  expect(body.run?.steps.map((step) => step.status)).toEqual(['done', 'done', 'done', 'failed'])
})

it('a module may ask for BigInts, and its words cannot be taken for those of the runner', async () => {
  const server = await startServer({
    files: {
      ...CATS,
      '0003_code.mjs': `export function up(db) {
        db.defaultSafeIntegers(true)
        if (typeof db.prepare('SELECT 1').pluck().get() !== 'bigint') throw new Error('no BigInt')
        if (process.send !== undefined) throw new Error('it could send')
      }\n`,
      '0004_more.up.sql': 'CREATE TABLE more (x);',
    },
  })
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 4 })
})

it('what a module prints is told in lines that are cut, and never too many', async () => {
  const server = await startServer({
    files: {
      ...CATS,
      '0003_code.mjs': `import { writeSync } from 'node:fs'
export function up() {
  console.log('hello')
  console.error('trouble')
  const text = 'x'.repeat(1024 * 1024)
  for (let at = 0; at < 64 * 1024 * 1024; ) try { at += writeSync(1, text) } catch (error) { if (error.code !== 'EAGAIN') throw error }
  console.log()
  for (let line = 0; line < 100_000; line += 1) console.log('line ' + line)
}\n`,
    },
  })
  const posted = server.post('/migrate')
  let slowest = 0
  let ended = false
  void posted.then(() => {
    ended = true
  })
  while (!ended) {
    const before = performance.now()
    expect((await server.get('/livez')).status).toBe(200)
    slowest = Math.max(slowest, performance.now() - before)
  }
  expect((await posted).body).toMatchObject({ status: 'succeeded' })
  await server.logged(({ output }) => output === '… and more, which is left out')
  const lines = server.log.filter(({ msg }) => msg === 'output of a migration').map(({ output }) => String(output))
  expect(lines).toEqual(expect.arrayContaining(['hello', 'trouble', 'line 0', '… and more, which is left out']))
  expect(lines.length).toBeLessThan(1_100)
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(1_001)
  console.log(`while 64 MiB were printed the slowest answer took ${Math.round(slowest)} ms`)
})

it('what a module has printed last is told, though the runner ends', async () => {
  const server = await startServer({
    files: {
      '0000_code.mjs': `export function up() { for (let line = 0; line < 900; line += 1) console.log('line ' + line + 'x'.repeat(500)) }\n`,
      '0001_code.mjs': `export function up() { process.stdout.write('and no more') }\n`,
    },
  })
  expect((await server.post('/migrate')).status).toBe(200)
  await server.logged(({ output }) => String(output).startsWith('line 899x'))
  await server.logged(({ output }) => output === 'and no more')
})

it('a module of the old kind is told to be written in the new one, not to be given another ending', async () => {
  const files = { 'package.json': '{"type":"module"}', '0000_code.js': 'exports.up = () => {}\n' }
  const server = await startServer({ files })
  const { status, body } = await server.post('/migrate')
  expect([status, body.code]).toEqual([422, 'migration-failed'])
  expect(body.detail).toBe(
    '0000_code.js: exports is not defined in ES module scope; a package.json says so: use import and export',
  )
})

it('a module that is another than the one that was planned with is not run', async () => {
  const server = await startServer({ files: { ...CATS } })
  const swap = join(server.migrations, '0004_late.mjs')
  write(server.migrations, {
    // It is edited by the step before it, when the plan was made long ago.
    '0003_edit.mjs': `import { writeFileSync } from 'node:fs'
export function up() { writeFileSync(${JSON.stringify(swap)}, 'export function up(db) { db.exec("CREATE TABLE evil (x)") }') }\n`,
    '0004_late.mjs': 'export function up(db) { db.exec("CREATE TABLE good (x)") }\n',
  })
  const { status, body } = await server.post('/migrate')
  expect(status).toBe(422)
  expect(body).toMatchObject({
    code: 'migration-failed',
    detail: expect.stringContaining('has changed'),
    run: { to: 3 },
  })
  expect(query(server.database, `SELECT name FROM sqlite_schema WHERE name IN ('evil', 'good')`)).toEqual([])
  expect(existsSync(swap)).toBe(true)
  writeFileSync(swap, 'export function up(db) { db.exec("CREATE TABLE good (x)") }\n')
  expect((await server.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 4 })
})

it('a module that is edited runs as edited, and not as a server has seen it before', async () => {
  const server = await withBase()
  write(server.migrations, {
    '0001_code.mjs': `export function up(db) { db.exec('CREATE TABLE one (y)') }\nexport function down(db) { db.exec('DROP TABLE one') }`,
  })
  expect((await server.post('/migrate')).status).toBe(200)
  expect((await server.post('/rollback')).status).toBe(200)
  write(server.migrations, {
    '0001_code.mjs': `export function up(db) { db.exec('CREATE TABLE two (y)') }`,
  })
  expect((await server.post('/migrate')).body).toMatchObject({
    schemaChanges: { created: ['table two'] },
  })
})

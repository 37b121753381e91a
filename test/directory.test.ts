import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openDirectory } from '../src/directory/directory.ts'
import { exportsOf } from '../src/directory/exports.ts'
import { CATS, type Files, folderWith, temporaryFolder, write } from './support/folder.ts'

const UP = 'CREATE TABLE a (x);'

async function problemsOf(files: Files): Promise<{ code: string; file: string; message: string }[]> {
  return [...(await openDirectory(folderWith(files)).look()).problems]
}

describe('the directory gives', () => {
  it('migrations in the order of their ids, each with its rollback by the id alone', async () => {
    const { migrations, problems } = await openDirectory(
      folderWith({ ...CATS, 'README.md': 'x', '.hidden.sql': 'x' }),
    ).look()
    expect(problems).toEqual([])
    expect(migrations.map(({ id, name, kind, down }) => [id, name, kind, down?.name])).toEqual([
      [0, 'init_db', 'sql', undefined],
      [1, 'add_age', 'sql', 'remove_age'],
      [2, 'add_tom', 'sql', 'remove_tom'],
    ])
  })

  it('an id without regard to leading zeros', async () => {
    const { migrations } = await openDirectory(
      folderWith({
        '0_a.up.sql': UP,
        '01_b.up.sql': UP,
        '000002_c.up.sql': UP,
      }),
    ).look()
    expect(migrations.map(({ id }) => id)).toEqual([0, 1, 2])
  })

  it('the same checksum for CRLF and a byte-order mark, and another for another text', async () => {
    const texts = [
      'SELECT 1;\nSELECT 2;\n',
      'SELECT 1;\r\nSELECT 2;\r\n',
      '\ufeffSELECT 1;\nSELECT 2;\n',
      'SELECT 1;\nSELECT 3;\n',
    ]
    const checksums = await Promise.all(
      texts.map(
        async (text) => (await openDirectory(folderWith({ '0_a.up.sql': text })).look()).migrations[0]?.checksum,
      ),
    )
    expect(checksums[0]).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(new Set(checksums.slice(0, 3)).size).toBe(1)
    expect(checksums[3]).not.toBe(checksums[0])
  })

  it('a module with what it exports, and a rollback in SQL before its own', async () => {
    const { migrations, problems } = await openDirectory(
      folderWith({
        '0_a.ts': `import type { Database } from 'better-sqlite3'\nexport function up(db: Database): void {}\nexport const down = (db: Database): void => {}\n`,
        '1_b.mjs': 'export function up() {}',
        '2_c.js': 'exports.up = () => {}; exports.down = () => {}',
        '2_undo_c.down.sql': 'SELECT 1;',
        'helpers.d.ts': 'export declare const x: number',
      }),
    ).look()
    expect(problems).toEqual([])
    expect(migrations.map(({ kind, down }) => [kind, down?.kind, down?.name])).toEqual([
      ['code', 'code', 'a'],
      ['code', undefined, undefined],
      ['code', 'sql', 'undo_c'],
    ])
  })

  it('the same object for as long as nothing changes', async () => {
    const folder = folderWith(CATS)
    const directory = openDirectory(folder)
    const first = await directory.look()
    expect(await directory.look()).toBe(first)
    write(folder, { 'notes.txt': 'not ours' })
    expect(await directory.look()).toBe(first)
    write(folder, { '0003_more.up.sql': UP })
    expect(await directory.look()).not.toBe(first)
  })

  it('an edit in place of the same length at once, though the clock of the kernel may not tell', async () => {
    const folder = folderWith({ '0_a.up.sql': 'SELECT 1;' })
    const directory = openDirectory(folder)
    for (let round = 0; round < 50; round += 1) {
      write(folder, { '0_a.up.sql': `SELECT ${round % 10};` })
      expect((await directory.look()).migrations[0]?.up.text).toBe(`SELECT ${round % 10};`)
    }
  })

  it('ten thousand files without reading them again', async () => {
    const folder = temporaryFolder()
    for (let id = 0; id < 10_000; id += 1) writeFileSync(join(folder, `${id}_m.up.sql`), `CREATE TABLE t${id} (x);`)
    const directory = openDirectory(folder)
    const first = await directory.look()
    expect(first.migrations).toHaveLength(10_000)
    await new Promise((resolve) => setTimeout(resolve, 100))
    const settled = await directory.look()
    expect(settled).toBe(first)
    expect((await directory.look()).migrations[5000]?.up).toBe(first.migrations[5000]?.up)
  })
})

describe('fault 11: a text that SQLite would misread', () => {
  it.each<[string, Buffer | string, number]>([
    ['a NUL byte', 'SELECT 1;\0DROP TABLE a;', 9],
    ['invalid UTF-8', Buffer.from([...Buffer.from('SELECT 1; -- ü'), 0xff, 0x20]), 15],
    ['a cut character', Buffer.from([...Buffer.from('SELECT 1; --'), 0xc3]), 12],
    ['UTF-16', Buffer.from('\ufeffSELECT 1', 'utf16le'), 0],
    ['a surrogate', Buffer.from([...Buffer.from('SELECT 1; '), 0xed, 0xa0, 0x80]), 10],
    ['a bare carriage return', '-- c\rSELECT 1;\n', 4],
    ['a bare carriage return between statements', 'SELECT 1;\rSELECT 2;', 9],
    ['an unclosed comment', 'SELECT 1; /* ü', 10],
    ['an unclosed comment that looks closed', 'SELECT 1; /*/', 10],
    ['an unclosed string', "SELECT 'it''s", 7],
    ['an unclosed name', 'SELECT "a', 7],
    ['an unclosed bracket', 'SELECT [a', 7],
    ['an unclosed backtick', 'SELECT `a', 7],
    ['an unclosed comment behind a byte-order mark', '\ufeff/* x', 3],
  ])('by %s is a problem with its byte', async (_, text, offset) => {
    expect(await problemsOf({ '0_a.up.sql': text })).toEqual([
      {
        code: 'bad-text',
        file: '0_a.up.sql',
        message: expect.stringContaining(`at byte ${offset};`),
      },
    ])
    expect(await problemsOf({ '0_a.up.sql': UP, '0_b.down.sql': text })).toMatchObject([
      { code: 'bad-text', file: '0_b.down.sql' },
    ])
  })

  it.each([
    "SELECT 'a -- b', \"/*\", `[`, [a'b] -- it's\n",
    'SELECT 1 -- no line end',
    "SELECT 'a\rb';",
    '/* a * / ** */ SELECT 1;\r\n',
    "SELECT '';",
  ])('but %j is none', async (text) => {
    expect(await problemsOf({ '0_a.up.sql': text })).toEqual([])
  })
})

describe('fault 14: a directory that does not fit', () => {
  it.each<[string, Files, [string, string][]]>([
    ['a double id', { '0_a.up.sql': UP, '00_b.up.sql': UP }, [['duplicate-id', '0_a.up.sql']]],
    [
      'a script and a module of one id',
      { '0_a.ts': 'export function up() {}', '0_a.up.sql': UP },
      [['duplicate-id', '0_a.up.sql']],
    ],
    [
      'two rollbacks of one id',
      { '0_a.up.sql': UP, '0_b.down.sql': UP, '0_c.down.sql': UP },
      [['duplicate-id', '0_c.down.sql']],
    ],
    ['a gap', { '0_a.up.sql': UP, '2_c.up.sql': UP }, [['gap', '2_c.up.sql']]],
    ['a beginning other than 0', { '1_a.up.sql': UP }, [['gap', '1_a.up.sql']]],
    ['an orphan rollback', { '0_a.up.sql': UP, '1_b.down.sql': UP }, [['orphan-down', '1_b.down.sql']]],
    ['a name without a direction', { '0_a.up.sql': UP, '1_b.sql': UP }, [['bad-name', '1_b.sql']]],
    ['a name without an id', { '0_a.up.sql': UP, 'b.up.sql': UP }, [['bad-name', 'b.up.sql']]],
    ['a name with a space', { '0_a.up.sql': UP, '1_b c.up.sql': UP }, [['bad-name', '1_b c.up.sql']]],
    ['an ending in capitals', { '0_a.up.sql': UP, '1_b.up.SQL': UP }, [['bad-name', '1_b.up.SQL']]],
    [
      'a module with a direction',
      { '0_a.up.sql': UP, '1_b.up.ts': 'export function up() {}' },
      [['bad-name', '1_b.up.ts']],
    ],
    ['an empty up', { '0_a.up.sql': ' -- nothing\n;;/* */\n' }, [['empty', '0_a.up.sql']]],
    ['a module without up', { '0_a.ts': 'export type up = string\nexport function down() {}' }, [['empty', '0_a.ts']]],
    ['a module that does not parse', { '0_a.ts': 'export function up( {' }, [['bad-text', '0_a.ts']]],
  ])('by %s has a problem that names the file', async (_, files, expected) => {
    expect((await problemsOf(files)).map(({ code, file }) => [code, file])).toEqual(expected)
  })

  it('because it is empty', async () => {
    const folder = folderWith({ 'README.md': 'x' })
    expect((await openDirectory(folder).look()).problems).toMatchObject([{ code: 'no-migrations', file: folder }])
  })

  it('says that ids are no dates', async () => {
    expect((await problemsOf({ '0_a.up.sql': UP, '20240101120000_b.up.sql': UP }))[0]?.message).toMatch(/not dates/)
  })
})

describe('fault 19: a directory', () => {
  it('that is missing, or none, is a problem, and one that comes back is seen', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'm')
    const directory = openDirectory(path)
    expect((await directory.look()).problems).toMatchObject([{ code: 'no-directory', file: path }])
    writeFileSync(path, 'a file')
    expect((await directory.look()).problems).toMatchObject([{ code: 'no-directory' }])
    rmSync(path)
    write(path, CATS)
    expect((await directory.look()).migrations).toHaveLength(3)
  })

  it('that is swapped as a ConfigMap is, is seen as it was or as it is, and never in between', async () => {
    const folder = temporaryFolder()
    const files = ['0_a.up.sql', '1_b.up.sql', '2_c.up.sql']
    const version = (text: string) => {
      write(join(folder, `..${text}`), Object.fromEntries(files.map((file) => [file, `SELECT '${text}';`])))
      symlinkSync(`..${text}`, join(folder, '..data_new'))
      renameSync(join(folder, '..data_new'), join(folder, '..data'))
    }
    version('0')
    for (const file of files) symlinkSync(join('..data', file), join(folder, file))
    const directory = openDirectory(folder)
    for (let round = 1; round <= 60; round += 1) {
      const looking = directory.look()
      if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
      version(String(round))
      const texts = (await looking).migrations.map(({ up }) => up.text)
      expect(new Set(texts).size).toBe(1)
      expect(texts).toHaveLength(3)
    }
    expect((await directory.look()).migrations[0]?.up.text).toBe("SELECT '60';")
  })
})

it('a folder that nobody could take for a migration is left alone, whatever it ends in', async () => {
  const folder = folderWith({ '0_a.up.sql': UP })
  mkdirSync(join(folder, 'helpers.ts'))
  const { migrations, problems } = await openDirectory(folder).look()
  expect([migrations.length, problems]).toEqual([1, []])
})

it('an id beyond what a number can hold is a bad name', async () => {
  const folder = folderWith({ '0_a.up.sql': UP, '99999999999999999999_b.up.sql': UP })
  const { problems } = await openDirectory(folder).look()
  expect(problems).toMatchObject([{ code: 'bad-name', file: '99999999999999999999_b.up.sql' }])
})

describe('fault 20: what is no file', () => {
  it.each<[string, (path: string) => unknown, string]>([
    ['a FIFO', (path) => execFileSync('mkfifo', [path]), 'not-a-file'],
    ['a device', (path) => symlinkSync('/dev/zero', path), 'not-a-file'],
    ['a folder', (path) => mkdirSync(path), 'not-a-file'],
    ['a dangling link', (path) => symlinkSync('nowhere', path), 'unreadable'],
    [
      '200 MB',
      (path) => {
        writeFileSync(path, '')
        truncateSync(path, 200_000_000)
      },
      'too-large',
    ],
  ])('or too much of one: %s is a problem with its name', async (_, make, code) => {
    const folder = folderWith({ '0_a.up.sql': UP })
    make(join(folder, '1_b.up.sql'))
    expect((await openDirectory(folder).look()).problems).toMatchObject([{ code, file: '1_b.up.sql' }])
  })

  it('does not hinder where it is not named as a migration; links to files are followed', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'helpers'))
    write(join(folder, 'helpers'), { 'x.sql': 'not ours' })
    linkSync(join(folder, 'helpers', 'x.sql'), join(folder, 'x.txt'))
    write(folder, { 'a.text': UP })
    symlinkSync('a.text', join(folder, '0_a.up.sql'))
    const { migrations, problems } = await openDirectory(folder).look()
    expect(problems).toEqual([])
    expect(migrations).toHaveLength(1)
    utimesSync(join(folder, 'a.text'), 1, 1)
    expect((await openDirectory(folder).look()).migrations).toHaveLength(1)
  })
})

it.each<[string, string, string[] | null]>([
  ['a.ts', 'export async function up<T extends object>(db: T): Promise<void> {}', ['up']],
  ['a.ts', 'const up = (): void => {}; const x = <T,>(y: T) => y; export { up, x as down }', ['down', 'up']],
  ['a.ts', 'export interface up { a: string }\nexport type { down } from "./x.ts"', []],
  ['a.ts', 'export const text = `export function up() {}`', ['text']],
  ['a.mjs', '// export function up() {}\nexport default 1', ['default']],
  ['a.js', 'module.exports = { up, down }', ['down', 'up']],
  ['a.js', 'module.exports = { up(db) { db.exec(`x`) }, down(db) {} }', ['down', 'up']],
  ['a.js', 'module.exports = { up: (db) => {}, "down": function (db) {} }', ['down', 'up']],
  ['a.js', 'export const up = () => /[}]/.test("}")', ['up']],
  ['a.mjs', 'export function up() {', null],
])('finds what a module exports without running it: %s %j', (file, source, expected) => {
  const found = exportsOf(source, file)
  expect(found && [...found].sort()).toEqual(expected)
})

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, it } from 'vitest'
import { type Files, temporaryFolder, write } from '../support/folder.ts'
import { contentOf, startServer } from '../support/server.ts'

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** The loop of the README that begins with `# from NAME`. */
function loop(name: string): string {
  const found = [...README.matchAll(/^```sh\n(# from [^\n]*\n.*?)^```$/gms)].filter(([, text]) =>
    (text?.split(':')[0] ?? '').split(/ or |# from /).includes(name),
  )
  expect(found.length).toBe(1)
  return found[0]?.[1] ?? ''
}

const UP = 'CREATE TABLE cats (id INTEGER PRIMARY KEY);'
const TRIGGER = 'CREATE TRIGGER none AFTER INSERT ON cats BEGIN SELECT 1; END;'

/** What lies in `db/migrations` for the tool, and what is in a database that it has migrated. */
const TOOLS: Record<string, { files: Files; ledger: string }> = {
  dbmate: {
    files: {
      // It goes by the names of the files, whatever their numbers.
      '10_make_cats.sql': `-- a word before\n--migrate:up\n${UP}\n\n-- migrate:down\n-- migrate:upgraded rows are lost\nDROP TABLE cats;\n`,
      '9_add_age.sql': `-- migrate:up transaction:false\r\nALTER TABLE cats ADD age;\r\n-- a note\r\n\r\n-- migrate:down\r\n\r\n`,
      '9z_add_trigger.sql': `-- migrate:up\n\n${TRIGGER}\n`,
    },
    ledger: `CREATE TABLE schema_migrations (version varchar(128) primary key); INSERT INTO schema_migrations VALUES ('10'), ('9'), ('9z');`,
  },
  goose: {
    files: {
      '1_make_cats.sql': `-- +goose Up\n-- +goose StatementBegin\n${UP}\n-- +goose StatementEnd\n\n-- +goose Down\n-- +goose StatementBegin\nDROP TABLE cats;\n-- +goose StatementEnd\n`,
      '00009_add_age.sql': `-- +goose NO TRANSACTION\n-- +goose up\nALTER TABLE cats ADD age;\n-- a note\n-- +goose down\n-- SQL in this section is executed when it is rolled back.\n`,
      '00010_add_trigger.sql': `-- +goose Up\n${TRIGGER}\n`,
      'main.go': 'package main\n',
      '00009_add_age_test.go': 'package main\n',
    },
    ledger:
      'CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER, is_applied INTEGER, tstamp TIMESTAMP);',
  },
  'golang-migrate': {
    files: {
      '1_make_cats.up.sql': `${UP}\n`,
      '1_make_cats.down.sql': '-- away with it\nDROP TABLE cats;\n',
      '9_add_age.up.sql': 'ALTER TABLE cats ADD age;\n-- a note\n',
      '9_add_age.down.sql': '\n-- nothing\r\n',
      '10_add_trigger.up.sql': `${TRIGGER}\n`,
    },
    ledger:
      'CREATE TABLE schema_migrations (version uint64, dirty bool); INSERT INTO schema_migrations VALUES (10, 0);',
  },
}

/** Runs the loop where the files are. */
function converted(name: string, files: Files) {
  const folder = temporaryFolder()
  write(join(folder, 'db/migrations'), files)
  const { status, stdout, stderr } = spawnSync('sh', ['-euc', loop(name)], { cwd: folder, encoding: 'utf8' })
  expect({ status, stdout }).toEqual({ status: 0, stdout: '' })
  return { folder, migrations: join(folder, 'migrations'), stderr }
}

it('the loop for goose names a migration in Go, and what it leaves out stops everything', async () => {
  const { migrations, stderr } = converted('goose', {
    '1_make_cats.sql': `-- +goose Up\n${UP}\n`,
    '2_fill_in.go': 'package main\n',
    '3_add_age.sql': '-- +goose ENVSUB ON\n-- +goose Up\nALTER TABLE cats ADD age;\n',
  })
  expect(stderr).toBe(
    '2_fill_in.go has to be written as migrations/0001_fill_in.ts\ndb/migrations/3_add_age.sql: ENVSUB has no like here\n',
  )
  const server = await startServer({ migrations })
  expect((await server.post('/migrate')).body).toMatchObject({
    code: 'invalid-migrations',
    problems: [{ code: 'gap' }],
  })
})

it('the loop for dbmate keeps a file whose name has a space, and one that does nothing, for all to see', async () => {
  const { migrations, stderr } = converted('dbmate', {
    '1_make cats.sql': `-- migrate:up\n${UP}\n`,
    '2_nothing.sql': '-- migrate:up\n\n-- migrate:down\n',
  })
  expect(stderr).toBe('')
  expect(readdirSync(migrations).sort()).toEqual(['0000_make cats.up.sql', '0001_nothing.up.sql'])
  const server = await startServer({ migrations })
  const { problems } = (await server.post('/migrate')).body as { problems?: { code: string }[] }
  expect(problems?.map(({ code }) => code).sort()).toEqual(['bad-name', 'empty', 'gap'])
})

it.each(Object.entries(TOOLS))(
  'the loop for %s makes migrations that run, and that a database of it adopts',
  async (name, { files, ledger }) => {
    const { folder, migrations, stderr } = converted(name, files)
    expect(stderr).toBe('')
    expect(readdirSync(migrations).sort()).toEqual([
      '0000_make_cats.down.sql',
      '0000_make_cats.up.sql',
      '0001_add_age.up.sql',
      '0002_add_trigger.up.sql',
    ])
    const text = (file: string) => readFileSync(join(migrations, file), 'utf8').trim()
    expect(text('0000_make_cats.up.sql')).toBe(UP)
    expect(text('0000_make_cats.down.sql')).toMatch(/^(--.*\n)?DROP TABLE cats;$/)
    expect(text('0001_add_age.up.sql')).toBe('ALTER TABLE cats ADD age;\n-- a note')
    expect(text('0002_add_trigger.up.sql')).toBe(TRIGGER)
    expect(readdirSync(join(folder, 'db/migrations')).sort()).toEqual(Object.keys(files).sort())

    const fresh = await startServer({ migrations })
    expect((await fresh.post('/migrate?target=0')).body).toMatchObject({ status: 'succeeded', to: 0 })
    expect((await fresh.post('/rollback')).body).toMatchObject({ status: 'succeeded', to: null })
    expect((await fresh.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: 2 })

    const database = join(folder, 'app.db')
    const db = new Sqlite(database)
    db.exec(`${ledger}${UP}ALTER TABLE cats ADD age;${TRIGGER}INSERT INTO cats (age) VALUES (3);`)
    db.close()
    const adopted = await startServer({ migrations, database })
    expect((await adopted.post('/baseline?target=2')).body).toMatchObject({ status: 'succeeded', to: 2 })
    expect((await adopted.get('/migrations')).body).toMatchObject({ state: 'up-to-date', current: 2 })
    expect((await adopted.post('/migrate')).body).toMatchObject({ status: 'succeeded', steps: [] })
    expect(contentOf(database).rows).toMatchObject({ cats: [{ id: 1, age: 3 }] })
  },
)

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, it } from 'vitest'
import { type Files, temporaryFolder, write } from './support/folder.ts'
import { contentOf, startServer } from './support/server.ts'

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

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
      '9_make_cats.sql': `-- migrate:up\n${UP}\n\n-- migrate:down\nDROP TABLE cats;\n`,
      '10_add_age.sql': `-- migrate:up transaction:false\nALTER TABLE cats ADD age;\n-- a note\n\n-- migrate:down\n\n`,
      '20260102030405_add_trigger.sql': `-- migrate:up\n\n${TRIGGER}\n`,
    },
    ledger: `CREATE TABLE schema_migrations (version varchar(128) primary key); INSERT INTO schema_migrations VALUES ('9'), ('10'), ('20260102030405');`,
  },
  goose: {
    files: {
      '00001_make_cats.sql': `-- +goose Up\n-- +goose StatementBegin\n${UP}\n-- +goose StatementEnd\n\n-- +goose Down\n-- +goose StatementBegin\nDROP TABLE cats;\n-- +goose StatementEnd\n`,
      '00002_add_age.sql': `-- +goose NO TRANSACTION\n-- +goose up\nALTER TABLE cats ADD age;\n-- a note\n-- +goose down\n`,
      '00003_add_trigger.sql': `-- +goose Up\n${TRIGGER}\n`,
      'main.go': 'package main\n',
    },
    ledger:
      'CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER, is_applied INTEGER, tstamp TIMESTAMP);',
  },
  'golang-migrate': {
    files: {
      '1_make_cats.up.sql': `${UP}\n`,
      '1_make_cats.down.sql': 'DROP TABLE cats;\n',
      '9_add_age.up.sql': 'ALTER TABLE cats ADD age;\n-- a note\n',
      '9_add_age.down.sql': '',
      '10_add_trigger.up.sql': `${TRIGGER}\n`,
    },
    ledger:
      'CREATE TABLE schema_migrations (version uint64, dirty bool); INSERT INTO schema_migrations VALUES (10, 0);',
  },
}

it.each(Object.entries(TOOLS))(
  'the loop for %s makes migrations that run, and that a database of it adopts',
  async (name, { files, ledger }) => {
    const folder = temporaryFolder()
    const before = join(folder, 'db/migrations')
    const migrations = join(folder, 'migrations')
    write(before, files)
    const { status, stderr } = spawnSync('sh', ['-euc', loop(name)], { cwd: folder, encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(readdirSync(migrations).sort()).toEqual([
      '0000_make_cats.down.sql',
      '0000_make_cats.up.sql',
      '0001_add_age.up.sql',
      '0002_add_trigger.up.sql',
    ])
    const text = (file: string) => readFileSync(join(migrations, file), 'utf8').trim()
    expect(text('0000_make_cats.up.sql')).toBe(UP)
    expect(text('0000_make_cats.down.sql')).toBe('DROP TABLE cats;')
    expect(text('0001_add_age.up.sql')).toBe('ALTER TABLE cats ADD age;\n-- a note')
    expect(text('0002_add_trigger.up.sql')).toBe(TRIGGER)
    expect(readdirSync(before).sort()).toEqual(Object.keys(files).sort())

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

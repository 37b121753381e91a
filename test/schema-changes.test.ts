import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { changesBetween, objectsOf } from '../src/sqlite/schema-changes.ts'

/** What `script` changes in a database that `before` has made. */
function changesOf(before: string, script: string) {
  const db = new Sqlite(':memory:')
  db.exec(before)
  const was = objectsOf(db)
  db.exec(script)
  const changes = changesBetween(was, objectsOf(db))
  db.close()
  return changes
}

describe('what lies between two schemas', () => {
  it('is nothing, where nothing has changed', () => {
    const nothing = { created: [], dropped: [], altered: [] }
    expect(changesOf('', '')).toEqual(nothing)
    expect(changesOf('CREATE TABLE a (x)', 'INSERT INTO a VALUES (1)')).toEqual(nothing)
  })

  it('is told by kind and name, each list in its order', () => {
    const before =
      'CREATE TABLE b (x); CREATE TABLE a (x UNIQUE); CREATE TABLE c (x); CREATE VIEW v AS SELECT 1; CREATE INDEX i ON b (x)'
    const script = `DROP INDEX i; DROP TABLE a; ALTER TABLE c ADD COLUMN y; DROP VIEW v; CREATE VIEW v AS SELECT 2;
      CREATE TABLE e (x); CREATE TABLE d (x); CREATE TRIGGER t AFTER INSERT ON d BEGIN SELECT 1; END`
    expect(changesOf(before, script)).toEqual({
      created: ['table d', 'table e', 'trigger t'],
      dropped: ['index i', 'table a'],
      altered: ['table c', 'view v'],
    })
  })

  it('is the same whatever names and texts are', () => {
    const names = [
      'json_each',
      'json_array',
      'a "quoted"\nname',
      '__proto__',
      'ÄÖÜ',
      'line\u2028separator',
      'sqlitely',
      ' ',
    ]
    const script = names
      .map((name) => `CREATE TABLE "${name.replaceAll('"', '""')}" (x -- a\n, y /* "b" */);`)
      .join('\n')
    const created = names.map((name) => `table ${name}`).sort()
    expect(changesOf('', script)).toEqual({ created, dropped: [], altered: [] })
    const again = names.map((name) => `ALTER TABLE "${name.replaceAll('"', '""')}" ADD COLUMN z;`).join('\n')
    expect(changesOf(script, again)).toEqual({ created: [], dropped: [], altered: created })
  })

  it('does not tell of our tables, of SQLite’s own, and of the content of a virtual table', () => {
    const script = `CREATE TABLE migrations (id); CREATE TABLE migration_log (id); CREATE INDEX ours ON migration_log (id);
      CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE VIRTUAL TABLE notes USING fts5 (text); ANALYZE`
    expect(changesOf('', script)).toEqual({ created: ['table a', 'table notes'], dropped: [], altered: [] })
  })
})

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { CATS } from './support/folder.ts'
import { startServer } from './support/server.ts'

const OBJECTS = `
CREATE TABLE zoo (id INTEGER PRIMARY KEY, cat INTEGER REFERENCES cats (id)) STRICT;
CREATE VIRTUAL TABLE notes USING fts5 (text);
CREATE INDEX zoo_cat ON zoo (cat); -- the end
CREATE VIEW ages AS SELECT age FROM cats -- all
;
CREATE TRIGGER zoo_cats AFTER DELETE ON cats BEGIN DELETE FROM zoo WHERE cat = old.id; END;
`

describe('GET /schema', () => {
  it('gives SQL from which an empty database gets the same schema, and its checksum', async () => {
    const server = await startServer({ files: { ...CATS, '0003_zoo.up.sql': OBJECTS } })
    await server.post('/migrate')
    const { status, body } = await server.get('/schema')
    expect(status).toBe(200)
    const sql = String(body.sql)
    expect(sql.match(/^CREATE \w+( TABLE)?/gm)).toEqual([
      'CREATE TABLE',
      'CREATE VIRTUAL TABLE',
      'CREATE TABLE',
      'CREATE INDEX',
      'CREATE VIEW',
      'CREATE TRIGGER',
    ])
    expect(sql).not.toMatch(/migration|sqlite_/)
    expect(body.checksum).toBe(`sha256:${createHash('sha256').update(sql).digest('hex')}`)
    const text = await server.get('/schema', { accept: 'text/plain' })
    expect(text.text).toBe(sql)
    expect(text.headers.get('content-type')).toBe('text/plain; charset=utf-8')

    const twin = await startServer()
    const db = new Sqlite(twin.database)
    db.exec(sql)
    db.close()
    expect((await twin.get('/schema')).body).toEqual(body)
  })

  it('is another after a change, and the same again after its rollback', async () => {
    const server = await startServer({ files: CATS })
    const checksum = async () => (await server.get('/schema')).body.checksum
    await server.post('/migrate?target=0')
    const before = await checksum()
    await server.post('/migrate?target=1')
    expect(await checksum()).not.toBe(before)
    await server.post('/rollback')
    expect(await checksum()).toBe(before)
  })

  it('of no database is empty, and makes none', async () => {
    const server = await startServer({ files: CATS })
    expect((await server.get('/schema')).body).toMatchObject({ sql: '' })
    expect(existsSync(server.database)).toBe(false)
  })
})

it('GET / gives the links, and each leads somewhere', async () => {
  const server = await startServer({ files: CATS })
  const { body } = await server.get('/')
  const links = Object.entries(body.links as Record<string, string>)
  expect(Object.fromEntries(links)).toMatchObject({ migrations: '/migrations', runs: '/runs', docs: '/docs' })
  for (const [, path] of links) expect([200, 400, 405], path).toContain((await server.get(path)).status)
})

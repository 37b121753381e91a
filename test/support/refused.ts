import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { type Files, write } from './folder.ts'
import { contentOf, type Server, shared, startServer, until } from './server.ts'

/** Two cats with their kittens. */
export const BASE: Files = {
  '0000_init_db.up.sql': `CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT UNIQUE CHECK (name <> ''));
CREATE TABLE kittens (id INTEGER PRIMARY KEY, cat_id INTEGER REFERENCES cats ON DELETE CASCADE);
INSERT INTO cats VALUES (1, 'Tom'), (2, 'Mia');
INSERT INTO kittens VALUES (1, 1), (2, 1), (3, 2);
`,
}

/** A server whose base is applied. */
export async function withBase(endWith?: (end: () => void) => void): Promise<Server> {
  const server = await startServer({ files: BASE, ...(endWith && { endWith }) })
  expect((await server.post('/migrate')).status).toBe(200)
  return server
}

/** One such server for all tests of a `describe`, each of which leaves it as it was. */
export function sharedBase(): () => Server {
  return shared(withBase)
}

/** Posts with `script` as the next migration: it is refused or fails, nothing is changed, and the next post works. */
export async function refused(server: Server, script: string | Buffer, file = '0001_bad.up.sql') {
  const before = contentOf(server.database)
  write(server.migrations, { [file]: script })
  const answer = await server.post('/migrate')
  expect(contentOf(server.database)).toEqual(before)
  expect(before.integrity).toBe('ok')
  await until(() => server.children().length <= 1)
  rmSync(join(server.migrations, file))
  write(server.migrations, {
    '0001_good.up.sql': 'CREATE TABLE good (x);',
    '0001_undo.down.sql': 'DROP TABLE good;',
  })
  expect((await server.post('/migrate')).body).toMatchObject({
    status: 'succeeded',
    to: 1,
  })
  expect((await server.post('/rollback')).body).toMatchObject({
    status: 'succeeded',
    to: 0,
  })
  rmSync(join(server.migrations, '0001_good.up.sql'))
  rmSync(join(server.migrations, '0001_undo.down.sql'))
  return answer
}

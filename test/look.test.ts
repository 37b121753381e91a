import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type DirectoryReader, openDirectory } from '../src/directory/directory.ts'
import { type Files, folderWith, temporaryFolder, write } from './support/folder.ts'

const FILES = { '0_a.up.sql': 'CREATE TABLE a (x);', '1_b.up.sql': 'CREATE TABLE b (x);' }

/** Numbers from 0 to 1 that are always the same for a `seed`. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** Has it read again what had been written a moment before it was read: after that it asks for stamps only. */
async function comeToRest(directory: DirectoryReader): Promise<void> {
  await delay(60)
  await directory.look()
  await directory.look()
}

async function textsOf(directory: DirectoryReader): Promise<string[]> {
  return (await directory.look()).migrations.map(({ up }) => up.text)
}

/** A directory that has been looked at until nothing of it has to be read again. */
async function atRest(files: Files): Promise<{ folder: string; directory: DirectoryReader }> {
  const folder = folderWith(files)
  const directory = openDirectory(folder)
  await comeToRest(directory)
  return { folder, directory }
}

describe('what is known of a directory is what is there', () => {
  it('after each of three hundred changes, however shortly after, at rest or not', async () => {
    const { folder, directory } = await atRest(FILES)
    const next = random(7)
    const below = (most: number) => Math.floor(next() * most)
    let looked = 0
    for (let round = 0; round < 300; round += 1) {
      const files = readdirSync(folder)
      const file = join(folder, files[below(files.length)] ?? '2_c.up.sql')
      const text = `SELECT ${below(1e6)};`
      const act = below(8)
      if (act === 0) writeFileSync(join(folder, `${below(4)}_a.up.sql`), text)
      if (act === 1 && files.length > 1) rmSync(file)
      if (act === 2) writeFileSync(file, text)
      if (act === 3) appendFileSync(file, text)
      if (act === 4) renameSync(file, join(folder, `${below(4)}_b.up.sql`))
      if (act === 5) chmodSync(file, 0o640)
      if (act === 6) await delay(next() * 4)
      if (act === 7) await comeToRest(directory)
      // Or so long after that the kernel's clock has gone on.
      else if (below(6) === 0) await delay(60)
      const known = await directory.look()
      expect(known, `round ${round}, act ${act}`).toEqual(await openDirectory(folder).look())
      looked += known.migrations.length
    }
    expect(looked).toBeGreaterThan(0)
  })

  it('where a file has another name elsewhere, gets one later, or only leads to one', async () => {
    const elsewhere = temporaryFolder()
    const { folder, directory } = await atRest(FILES)
    write(elsewhere, { hard: 'SELECT 1;', soft: 'SELECT 2;' })
    linkSync(join(elsewhere, 'hard'), join(folder, '2_hard.up.sql'))
    symlinkSync(join(elsewhere, 'soft'), join(folder, '3_soft.up.sql'))
    await comeToRest(directory)
    linkSync(join(folder, '0_a.up.sql'), join(elsewhere, 'later'))
    write(elsewhere, { hard: 'SELECT 3;', soft: 'SELECT 4;', later: 'SELECT 5;' })
    expect(await textsOf(directory)).toEqual(['SELECT 5;', FILES['1_b.up.sql'], 'SELECT 3;', 'SELECT 4;'])
  })

  it('all of one moment, where files change while others are read', async () => {
    const at = (id: number) => `${String(id).padStart(4, '0')}_a.up.sql`
    const count = 2_000
    const folder = folderWith(Object.fromEntries(Array.from({ length: count }, (_, id) => [at(id), 'SELECT 1;'])))
    const directory = openDirectory(folder)
    const looking = textsOf(directory)
    // By now the first have been read, and the last have not.
    await delay(5)
    write(folder, { [at(0)]: 'SELECT 2;', [at(count - 1)]: 'SELECT 2;' })
    const texts = await looking
    expect([texts.length, texts[0], texts.at(-1)]).toEqual([count, 'SELECT 2;', 'SELECT 2;'])
  })

  it('where the folder is made anew, with other files or with the same', async () => {
    const { folder, directory } = await atRest(FILES)
    for (const text of ['SELECT 1;', 'SELECT 2;']) {
      rmSync(folder, { recursive: true })
      mkdirSync(folder)
      write(folder, { '0_a.up.sql': text })
      expect(await textsOf(directory)).toEqual([text])
      await comeToRest(directory)
      write(folder, { '1_b.up.sql': text })
      expect(await textsOf(directory)).toEqual([text, text])
      await comeToRest(directory)
    }
  })

  it('where the path leads to another folder, or is taken away above', async () => {
    const [one, other] = [folderWith(FILES), folderWith({ '0_c.up.sql': 'SELECT 1;' })]
    const above = temporaryFolder()
    const path = join(above, 'current')
    symlinkSync(one, path)
    const directory = openDirectory(path)
    await comeToRest(directory)
    symlinkSync(other, join(above, 'next'))
    renameSync(join(above, 'next'), path)
    expect(await textsOf(directory)).toEqual(['SELECT 1;'])
    await comeToRest(directory)
    renameSync(above, `${above}.gone`)
    expect((await directory.look()).problems).toMatchObject([{ code: 'no-directory' }])
    renameSync(`${above}.gone`, dirname(path))
    expect(await textsOf(directory)).toEqual(['SELECT 1;'])
  })

  it('the same object for as long as nothing has changed, and of what has not changed', async () => {
    const { folder, directory } = await atRest(FILES)
    const before = await directory.look()
    write(folder, { 'README.md': 'none of ours' })
    rmSync(join(folder, 'README.md'))
    expect(await directory.look()).toBe(before)
    write(folder, { '0_a.up.sql': 'SELECT 1;' })
    const after = await directory.look()
    expect(after.migrations[0]?.up.text).toBe('SELECT 1;')
    expect(after.migrations[1]?.up).toBe(before.migrations[1]?.up)
  })
})

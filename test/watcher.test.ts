import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { openDirectory } from '../src/directory/directory.ts'
import { FolderWatcher } from '../src/directory/watcher.ts'
import { folderWith, temporaryFolder } from './support/folder.ts'

const FILES = { '0_a.up.sql': 'CREATE TABLE a (x);', '1_b.up.sql': 'CREATE TABLE b (x);' }

/** What can be done to a folder, or to what is in it. */
const CHANGES: Record<string, (folder: string) => void> = {
  'a file is written anew': (folder) => writeFileSync(join(folder, '0_a.up.sql'), 'CREATE TABLE c (x);'),
  'a file grows': (folder) => appendFileSync(join(folder, '0_a.up.sql'), '-- more'),
  'a file is cut': (folder) => truncateSync(join(folder, '0_a.up.sql'), 10),
  'a file comes': (folder) => writeFileSync(join(folder, '2_c.up.sql'), 'CREATE TABLE c (x);'),
  'a file goes': (folder) => rmSync(join(folder, '1_b.up.sql')),
  'a file is renamed': (folder) => renameSync(join(folder, '1_b.up.sql'), join(folder, '1_c.up.sql')),
  'a file takes the place of another': (folder) => {
    writeFileSync(`${folder}.sql`, 'CREATE TABLE c (x);')
    renameSync(`${folder}.sql`, join(folder, '1_b.up.sql'))
  },
  'a file gets another mode': (folder) => chmodSync(join(folder, '0_a.up.sql'), 0o600),
  'a file gets other times': (folder) => utimesSync(join(folder, '0_a.up.sql'), 1, 1),
  'the folder goes': (folder) => rmSync(folder, { recursive: true }),
  'another folder takes its place': (folder) => {
    renameSync(folder, `${folder}.old`)
    mkdirSync(folder)
  },
}

describe('the watcher hears that', () => {
  for (const [what, change] of Object.entries(CHANGES)) {
    it(what, async () => {
      const folder = folderWith(FILES)
      const watcher = new FolderWatcher(folder)
      watcher.begin()
      expect(await watcher.isQuiet()).toBe(true)
      change(folder)
      expect(await watcher.isQuiet()).toBe(false)
      watcher.close()
    })
  }
})

describe('the watcher', () => {
  it('says nothing before it has begun, and nothing of what it cannot watch', async () => {
    const watcher = new FolderWatcher(folderWith(FILES))
    expect(await watcher.isQuiet()).toBe(false)
    const nowhere = new FolderWatcher(join(folderWith(FILES), 'nowhere'))
    nowhere.begin()
    expect(await nowhere.isQuiet()).toBe(false)
    // Files that somebody else than this kernel makes.
    const processes = new FolderWatcher('/proc/self')
    processes.begin()
    expect(await processes.isQuiet()).toBe(false)
  })

  it('begins anew after a change, also in another folder of the same name', async () => {
    const folder = folderWith(FILES)
    const watcher = new FolderWatcher(folder)
    watcher.begin()
    renameSync(folder, `${folder}.old`)
    mkdirSync(folder)
    expect(await watcher.isQuiet()).toBe(false)
    watcher.begin()
    expect(await watcher.isQuiet()).toBe(true)
    writeFileSync(join(folder, '0_a.up.sql'), 'SELECT 1;')
    expect(await watcher.isQuiet()).toBe(false)
    watcher.close()
  })
})

/** Numbers from 0 to 1 that are always the same for a `seed`. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

describe('what is known of a directory is what is there', () => {
  it('after each of three hundred changes, however shortly after, at rest or not', async () => {
    const folder = folderWith(FILES)
    const directory = openDirectory(folder)
    const next = random(7)
    let looked = 0
    for (let round = 0; round < 300; round += 1) {
      const files = readdirSync(folder)
      const file = join(folder, files[Math.floor(next() * files.length)] ?? '2_c.up.sql')
      const text = `SELECT ${Math.floor(next() * 1e6)};`
      const act = Math.floor(next() * 8)
      if (act === 0) writeFileSync(join(folder, `${Math.floor(next() * 4)}_a.up.sql`), text)
      if (act === 1 && files.length > 1) rmSync(file)
      if (act === 2) writeFileSync(file, text)
      if (act === 3) appendFileSync(file, text)
      if (act === 4) renameSync(file, join(folder, `${Math.floor(next() * 4)}_b.up.sql`))
      if (act === 5) chmodSync(file, 0o640)
      if (act === 6) await delay(next() * 4)
      if (act === 7) await comeToRest(directory)
      const known = await directory.look()
      const now = await openDirectory(folder).look()
      expect(known, `round ${round}, act ${act}`).toEqual(now)
      looked += known.migrations.length
    }
    expect(looked).toBeGreaterThan(0)
  })

  it('where a file has another name elsewhere, or only leads to one', async () => {
    const folder = folderWith(FILES)
    const elsewhere = temporaryFolder()
    writeFileSync(join(elsewhere, 'hard'), 'SELECT 1;')
    writeFileSync(join(elsewhere, 'soft'), 'SELECT 2;')
    linkSync(join(elsewhere, 'hard'), join(folder, '2_hard.up.sql'))
    symlinkSync(join(elsewhere, 'soft'), join(folder, '3_soft.up.sql'))
    const directory = openDirectory(folder)
    await comeToRest(directory)
    writeFileSync(join(elsewhere, 'hard'), 'SELECT 3;')
    writeFileSync(join(elsewhere, 'soft'), 'SELECT 4;')
    const texts = (await directory.look()).migrations.map(({ up }) => up.text)
    expect(texts).toEqual([...Object.values(FILES), 'SELECT 3;', 'SELECT 4;'])
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
    expect((await directory.look()).migrations.map(({ name }) => name)).toEqual(['c'])
    await comeToRest(directory)
    renameSync(above, `${above}.gone`)
    expect((await directory.look()).problems).toMatchObject([{ code: 'no-directory' }])
    renameSync(`${above}.gone`, dirname(path))
    expect((await directory.look()).migrations.map(({ name }) => name)).toEqual(['c'])
  })

  it('the same object, for as long as it is the same', async () => {
    const folder = folderWith(FILES)
    const directory = openDirectory(folder)
    await comeToRest(directory)
    const before = await directory.look()
    expect(await directory.look()).toBe(before)
    chmodSync(join(folder, '0_a.up.sql'), 0o600)
    writeFileSync(join(folder, 'README.md'), 'not ours')
    rmSync(join(folder, 'README.md'))
    expect((await directory.look()).migrations[1]).toEqual(before.migrations[1])
    expect((await directory.look()).migrations[1]?.up).toBe(before.migrations[1]?.up)
  })
})

/** Has it read again what had been written a moment before it was read. */
async function comeToRest(directory: ReturnType<typeof openDirectory>): Promise<void> {
  await delay(60)
  await directory.look()
  await directory.look()
}

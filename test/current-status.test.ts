import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterEach, describe, expect, it } from 'vitest'
import { oncePerTurn, statusReader } from '../src/core/current-status.ts'
import type { Engine } from '../src/core/engine.ts'
import { MigrationError } from '../src/core/errors.ts'
import { type History, isSameHistory } from '../src/core/history.ts'
import type { Run } from '../src/core/migration.ts'
import { outdates, reportOf } from '../src/core/outcome.ts'
import { draftRun } from '../src/core/run.ts'
import { openDirectory } from '../src/directory/directory.ts'
import { sqliteEngine } from '../src/sqlite/engine.ts'
import { CATS, folderWith, temporaryFolder } from './support/folder.ts'

const engines: Engine[] = []

afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close()
})

/** A reader over a real directory, and a file that is no database until it is one. */
function readerOver(file: string) {
  const options = { lockTimeoutMs: 0, runTimeoutMs: 60_000, backupDir: null, backupKeep: 0, environment: {} }
  const engine = sqliteEngine({ file, ...options })
  engines.push(engine)
  const directory = openDirectory(folderWith(CATS))
  return statusReader({ engine, recent: () => directory.recent(), running: async () => null })
}

const asked = { kind: 'migrate', target: null, from: null, atomic: false } as const
const error = new MigrationError('insufficient-storage', 'the disk is full').toJSON()
const step = { id: 1, name: 'cats', direction: 'up' } as const
/** A run that was refused by the storage, and has done nothing. */
const failed: Run = {
  ...draftRun(
    {
      request: asked,
      manner: 'earnest',
      waitMs: 0,
      actor: 'somebody',
      begunAs: 'admin',
      requestId: 'r',
      client: new AbortController().signal,
    },
    'id',
    new Date(0),
  ),
  status: 'failed',
  steps: [reportOf({ ...step, id: 0 }, 'failed'), reportOf(step)],
  error,
}

describe('the status', () => {
  it('is the same object until something changes, and is called stale while the database cannot be read', async () => {
    const file = join(temporaryFolder(), 'app.db')
    const reader = readerOver(file)
    const first = await reader.read()
    expect(first).toMatchObject({ stale: false, status: { current: null, pending: 3 } })
    expect((await reader.read()).status).toBe(first.status)
    writeFileSync(file, 'no database')
    const stale = await reader.read()
    expect(stale.stale).toBe(true)
    expect(stale.status).toBe(first.status)
    rmSync(file)
    expect((await reader.read()).stale).toBe(false)
  })

  it('is the same object when an application commits, and another when somebody changes what is applied', async () => {
    const file = join(temporaryFolder(), 'app.db')
    const application = new Sqlite(file)
    application.exec(`CREATE TABLE migrations (id INTEGER PRIMARY KEY, name TEXT NOT NULL, inserted_at TEXT NOT NULL);
      INSERT INTO migrations VALUES (0, 'cats', '2026-01-01 00:00:00');
      CREATE TABLE orders (x)`)
    const reader = readerOver(file)
    const first = await reader.read()
    expect(first.status.current).toBe(0)
    application.exec('INSERT INTO orders VALUES (1)')
    expect((await reader.read()).status).toBe(first.status)
    application.exec(`UPDATE migrations SET inserted_at = '2026-01-01 00:00:01'`)
    expect((await reader.read()).status.migrations[0]?.appliedAt).toBe('2026-01-01T00:00:01Z')
    application.close()
  })

  it('stands for what cannot be read where a run could do nothing', async () => {
    const file = join(temporaryFolder(), 'app.db')
    const reader = readerOver(file)
    const before = await reader.read()
    reader.heard(failed)
    writeFileSync(file, 'no database')
    expect(await reader.read()).toMatchObject({ stale: true, status: before.status })
  })

  it('does not stand for anything once it may be outdated, not even where it was being read', async () => {
    const file = join(temporaryFolder(), 'app.db')
    const reader = readerOver(file)
    await reader.read()
    const late = reader.read()
    reader.heard({ ...failed, status: 'succeeded', error: null })
    await late
    writeFileSync(file, 'no database')
    await expect(reader.read()).rejects.toMatchObject({ code: 'database-unavailable' })
  })
})

describe('a history', () => {
  const applied = {
    id: 0,
    name: 'cats',
    insertedAt: '2026-01-01 00:00:00',
    checksum: 'sha256:1',
    keptDown: true,
    durationMs: 1,
    appliedBy: 'anna',
  }
  const one = { applied: [applied], foreignTable: null }

  it('is the same where all of it is', () => {
    expect(isSameHistory(one, { applied: [{ ...applied }], foreignTable: null })).toBe(true)
  })

  it.each<[string, History]>([
    ['foreignTable', { ...one, foreignTable: 'migrations' }],
    ['length', { ...one, applied: [] }],
    ['length', { ...one, applied: [applied, { ...applied, id: 1 }] }],
    ...Object.entries({
      id: 1,
      name: 'dogs',
      insertedAt: '2026-01-01 00:00:01',
      checksum: null,
      keptDown: false,
      durationMs: null,
      appliedBy: null,
    }).map(([key, value]): [string, History] => [key, { ...one, applied: [{ ...applied, [key]: value }] }]),
  ])('is another with another %s', (_, other) => {
    expect(isSameHistory(one, other)).toBe(false)
    expect(isSameHistory(other, one)).toBe(false)
  })
})

describe('a run', () => {
  it('that the storage let do nothing leaves standing what was read before it', () => {
    expect(outdates({ ...failed, from: 5 }, 5)).toBe(false)
    expect(outdates({ ...failed, steps: [] }, 5)).toBe(false)
  })

  it.each<[string, Partial<Run>]>([
    ['ended well', { status: 'succeeded', error: null }],
    ['was interrupted', { status: 'interrupted' }],
    ['had done a step', { steps: [reportOf({ ...step, id: 0 }, 'done'), reportOf(step, 'failed')] }],
    ['found a step done', { steps: [reportOf({ ...step, id: 0 }, 'skipped'), reportOf(step, 'failed')] }],
    ['found another state', { from: 4 }],
    ['restored a backup', { kind: 'restore', steps: [] }],
    ['died', { error: { ...error, code: 'runner-crashed' } }],
    ['ended nobody knows how', { error: { ...error, code: 'internal' } }],
    ['ran what was forbidden', { error: { ...error, code: 'forbidden-statement' } }],
    ['may have undone more than it tells', { kind: 'rollback', error: { ...error, code: 'rollback-incomplete' } }],
  ])('that %s outdates it', (_, how) => {
    expect(outdates({ ...failed, from: 5, ...how }, 5)).toBe(true)
  })
})

describe('what is asked once per turn', () => {
  it('is asked when all who ask in a turn have asked, and anew in the next', async () => {
    let asked = 0
    const ask = oncePerTurn(async () => ++asked)
    const together = [ask(), ask()]
    expect(asked).toBe(0)
    expect(await Promise.all(together)).toEqual([1, 1])
    expect(await ask()).toBe(2)
  })

  it('fails for all who ask in a turn, and for nobody after it', async () => {
    let fails = true
    const ask = oncePerTurn(() => (fails ? Promise.reject(new Error('once')) : Promise.resolve('well')))
    expect(await Promise.allSettled([ask(), ask()])).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }])
    fails = false
    expect(await ask()).toBe('well')
  })
})

import { randomUUID } from 'node:crypto'
import { cpSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect } from 'vitest'
import type { Conduct, Decide, Order } from '../../../src/core/engine.ts'
import { MigrationError } from '../../../src/core/errors.ts'
import type { Run, Step, StepReport } from '../../../src/core/migration.ts'
import { sqliteEngine } from '../../../src/sqlite/engine.ts'
import { type Files, temporaryFolder } from '../../support/folder.ts'
import { type Answer, COMPILED } from '../../support/server.ts'
import { appliedByLog, runningByRecord, type State, stateOf } from './state.ts'
import { trace } from './strace.ts'

/** Several statements each: half of one would be seen. The second rebuilds a table that another refers to. */
export const UPS = [
  `CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO owners SELECT id, 'owner ' || id FROM cats;
CREATE INDEX owners_name ON owners (name);`,
  `CREATE TABLE new_cats (id INTEGER PRIMARY KEY, name TEXT NOT NULL CHECK (name <> ''), owner_id INTEGER REFERENCES owners);
INSERT INTO new_cats SELECT id, name, id FROM cats;
DROP TABLE cats;
ALTER TABLE new_cats RENAME TO cats;`,
  `UPDATE cats SET name = upper(name);
DELETE FROM toys WHERE id % 3 = 0;
INSERT INTO owners (name) VALUES ('nobody');`,
]

export const SWEEP_FILES: Files = Object.fromEntries(UPS.map((sql, id) => [`${id}_m.up.sql`, sql]))

/** A database that is in use by now, of some pages. Closed, so that a copy of the file is all of it. */
export function prepare(mode: 'delete' | 'wal'): string {
  const database = join(temporaryFolder(), 'app.db')
  const db = new Sqlite(database)
  db.pragma(`journal_mode = ${mode}`)
  db.exec(`CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE toys (id INTEGER PRIMARY KEY, cat_id INTEGER NOT NULL REFERENCES cats ON DELETE CASCADE, text TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
      INSERT INTO cats SELECT i, 'cat ' || i FROM n;
    INSERT INTO toys SELECT id, id, hex(zeroblob(20)) FROM cats;`)
  db.close()
  return database
}

export function copyOf(database: string, folder: string): string {
  const copy = join(folder, 'app.db')
  cpSync(database, copy)
  return copy
}

/** What somebody was told of a run, by an answer or an outcome. */
export interface Told {
  /** `null` where it ended well. */
  readonly code: string | null
  /** `null` where no run was made. */
  readonly steps: readonly StepReport[] | null
  readonly to: number | null
}

export function toldBy({ status, body }: Answer): Told {
  const run = status === 200 ? (body as unknown as Run) : (body.run ?? null)
  return { code: status === 200 ? null : String(body.code), steps: run?.steps ?? null, to: run?.to ?? null }
}

const STEPS: readonly Step[] = UPS.map((text, id) => ({
  id,
  name: 'm',
  direction: 'up',
  source: { kind: 'sql', file: `${id}_m.up.sql`, text },
  checksum: `sha256:${id}`,
  keep: null,
}))

/** An engine over `file`, which posts what is not applied yet, but for the last `leave`, and keeps `keep` backups. */
export function poster(file: string, environment: Readonly<Record<string, string>>, { keep = 0, leave = 0 } = {}) {
  const engine = sqliteEngine({
    file,
    lockTimeoutMs: 2_000,
    runTimeoutMs: 60_000,
    backupDir: null,
    backupKeep: keep,
    environment: { ...COMPILED, ...environment },
  })
  const post = async (): Promise<Told> => {
    const order: Order = {
      id: randomUUID(),
      kind: 'migrate',
      parameters: {},
      atomic: false,
      actor: 'ci',
      requestId: 'r',
      createdAt: new Date().toISOString(),
      waitMs: 10_000,
    }
    const decide: Decide = ({ applied }) => STEPS.slice(applied.length, STEPS.length - leave)
    const conduct: Conduct = {
      hear: () => {},
      stop: new AbortController().signal,
    }
    try {
      const { error, steps, to } = await engine.execute(order, decide, conduct)
      return { code: error?.code ?? null, steps, to }
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error
      return { code: error.code, steps: null, to: null }
    }
  }
  return { engine, post }
}

/** That what is there is the state after as many migrations as the record says, and the log agrees. Gives how many. */
export function expectWhole(database: string, states: readonly State[]): number {
  const state = stateOf(database)
  expect(state).toEqual(states[state.applied.length])
  expect(appliedByLog(database)).toEqual(state.applied)
  return state.applied.length
}

/** That what was told of a run which found nothing applied is what is there. */
export function expectTrue({ code, steps, to }: Told, applied: number, of: number): void {
  const ids = (steps ?? []).flatMap(({ id, status }) => (status === 'done' ? [id] : []))
  expect(ids).toEqual(Array.from({ length: applied }, (_, id) => id))
  expect(to ?? -1).toBe(applied - 1)
  expect(code === null).toBe(applied === of)
}

/** That nothing is in the way of the next post, which does the rest, and that each migration was done once. */
export function expectGoneOn(told: Told, database: string, states: readonly State[], before: number): void {
  expect(told.code).toBe(null)
  const undone = Array.from({ length: UPS.length - before }, (_, place) => before + place)
  expect((told.steps ?? []).map(({ id, status }) => ({ id, status }))).toEqual(
    undone.map((id) => ({ id, status: 'done' })),
  )
  expect(expectWhole(database, states)).toBe(UPS.length)
  // A run without steps writes nothing, not even what another could not write of its end.
  if (before < UPS.length) expect(runningByRecord(database)).toBe(0)
}

/** That each backup is whole, one of these states, and that nothing half made is beside it. Gives how many there are. */
export function expectBackups(database: string, states: readonly State[]): number {
  const folder = join(database, '..', 'backups')
  const names = existsSync(folder) ? readdirSync(folder) : []
  for (const name of names) {
    expect(name).toMatch(/^[^.].*\.db$/)
    const state = stateOf(join(folder, name))
    expect(state).toEqual(states[state.applied.length])
  }
  return names.length
}

export const CALLS = ['pwrite64', 'fsync', 'fdatasync', 'ftruncate', 'unlink'] as const
export type Call = (typeof CALLS)[number]

/** The states after none, one, … of the migrations, and how many calls of each kind all of them make. */
export async function undisturbed(base: string, keep = 0): Promise<{ states: State[]; calls: Record<Call, number> }> {
  const states: State[] = [stateOf(base)]
  let traced = trace([])
  for (let count = 1; count <= UPS.length; count += 1) {
    const folder = temporaryFolder()
    traced = trace([`-e trace=${CALLS.join()}`])
    const database = copyOf(base, folder)
    const { engine, post } = poster(database, traced.environment, { keep, leave: UPS.length - count })
    expect((await post()).code).toBe(null)
    await engine.close()
    states.push(stateOf(database))
  }
  const count = (call: Call) => traced.lines().filter((line) => line.includes(`${call}(`)).length
  return { states, calls: Object.fromEntries(CALLS.map((call) => [call, count(call)])) as Record<Call, number> }
}

/** Does `act` for each, `atOnce` of them at the same time. */
export async function pooled<T>(all: readonly T[], atOnce: number, act: (one: T) => Promise<void>): Promise<void> {
  const left = [...all]
  const worker = async () => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) await act(one)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** A folder for one trial, gone after it: there are hundreds. */
export async function inFolder(act: (folder: string) => Promise<void>): Promise<void> {
  let remove = () => {}
  const folder = temporaryFolder((end) => {
    remove = end
  })
  try {
    await act(folder)
  } finally {
    remove()
  }
}

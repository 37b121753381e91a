// Rows of what changes nothing, since all is applied.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { inRounds, type Side } from './measure.ts'
import { NOTHING, startNothing } from './nothing.ts'
import { newPlace } from './places.ts'
import { putApplied, smallOf } from './prepared.ts'
import { type Ran, run } from './processes.ts'
import type { Row } from './rows.ts'
import { runIn, startService } from './service.ts'
import { atMost, type Bounds, type Line, linesOf } from './table.ts'
import { DBMATE, dbmate, SCHEMAD } from './tools.ts'
import { same, verifySmall } from './verify.ts'

/** `POST /migrate` with nothing to do, by one curl, against dbmate's process; the limits are a curl of nothing, and one SELECT. */
export const again: Row = {
  name: 'again',
  lines: async ({ small, rounds }) => await posted(small, rounds.many, atMost(0.6, 0.4)),
}

export const againMany: Row = {
  name: 'again, very many',
  lines: async ({ many, rounds }) => (many === null ? [] : await posted(many, rounds.few, atMost(0.25, 0.1))),
}

/** `GET /migrations`, by one curl, against dbmate's process. */
export const status: Row = {
  name: 'status',
  lines: async ({ small: count, rounds }) =>
    await compared(`status of ${count}`, count, rounds.many, atMost(0.6, 0.4), 'status', async (service) => {
      const answer = await service.get('/migrations')
      const { current, pending, migrations } = JSON.parse(answer.stdout)
      same('the answer', 'current, pending, entries', [current, pending, migrations.length], [count - 1, 0, count])
      return answer
    }),
}

async function posted(count: number, rounds: number, bounds: Bounds): Promise<Line[]> {
  const work = `again, ${count.toLocaleString('en')} applied`
  return await compared(work, count, rounds, bounds, 'up', async (service) => {
    await service.idle()
    const answer = await service.post('/migrate')
    same('the answer', 'its steps', runIn(answer).steps, [])
    return answer
  })
}

async function compared(
  work: string,
  count: number,
  rounds: number,
  bounds: Bounds,
  word: 'up' | 'status',
  ask: (service: Awaited<ReturnType<typeof startService>>) => Promise<Ran>,
): Promise<Line[]> {
  using ours = newPlace()
  using theirs = newPlace()
  await putApplied(ours, SCHEMAD, count)
  await putApplied(theirs, DBMATE, count)
  const { database } = ours
  await using service = await startService({ migrations: smallOf('pairs', count), database })
  await using nothing = await startNothing(ours)
  await service.idle()
  const sides: Record<string, Side> = {
    schemad: verified(database, SCHEMAD.ledger, count, () => ask(service)),
    dbmate: verified(theirs.database, DBMATE.ledger, count, () => asked(word, theirs.database, count)),
  }
  sides.nothing = nothing.asked
  if (hasSqlite3) sides.sqlite3 = verified(database, SCHEMAD.ledger, count, () => selected(database, count))
  const words = {
    dbmate: `dbmate \`${word}\`, the process`,
    nothing: NOTHING,
    sqlite3: 'limit: `sqlite3` with a SELECT, the process',
  }
  const samples = await inRounds(rounds, sides)
  const lines = linesOf(work, samples, words, bounds)
  return hasSqlite3
    ? lines
    : [...lines, ...lines.slice(0, 1).map((line) => ({ ...line, against: NO_SQLITE3, theirs: null, bounds: null }))]
}

const NO_SQLITE3 = 'limit: no `sqlite3` here'
const hasSqlite3 = isOnPath('sqlite3')

function verified(database: string, ledger: string, count: number, act: () => Promise<Ran>): Side {
  return async () => {
    const { ms } = await act()
    verifySmall(database, ledger, count)
    return ms
  }
}

async function asked(word: 'up' | 'status', database: string, count: number): Promise<Ran> {
  const ran = await dbmate(word, smallOf('dbmate', count), database)
  if (word === 'status') same('what dbmate prints', 'its lines', ran.stdout.match(/^\[X\]/gm)?.length, count)
  else same('what dbmate prints', 'all of it', ran.stdout, '')
  return ran
}

async function selected(database: string, count: number): Promise<Ran> {
  const ran = await run('sqlite3', [database, 'SELECT id, name, inserted_at FROM migrations ORDER BY id'])
  same('what sqlite3 prints', 'its lines', ran.stdout.trimEnd().split('\n').length, count)
  return ran
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      // It is not in this one.
      return false
    }
  })
}

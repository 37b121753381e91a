// Rows of what changes a database.
import { join } from 'node:path'
import { inRounds, type Side } from './measure.ts'
import { newPlace } from './places.ts'
import { largeOf, putApplied, smallOf } from './prepared.ts'
import type { Row } from './rows.ts'
import { runIn, startService } from './service.ts'
import { atMost, linesOf } from './table.ts'
import { BARE, DBMATE, DRIZZLE, dbmate, KNEX, KYSELY, SCHEMAD, type Tool, UMZUG } from './tools.ts'
import { same, verifyLarge, verifySmall } from './verify.ts'
import { writeSmall } from './work.ts'

/** `POST /migrate` of many small migrations, by one curl, against whole processes; the bare loop by its own time. */
export const small: Row = {
  name: 'small migrations',
  lines: async ({ small: count, rounds }) => {
    const others = [BARE, UMZUG, KYSELY, KNEX, DRIZZLE]
    const samples = await inRounds(
      rounds.few,
      sidesOf([SCHEMAD, DBMATE, ...others], (tool) => applySmall(tool, count)),
    )
    const against = { [DBMATE.name]: 'dbmate `up`, the process', [BARE.name]: 'bare loop, its own time' }
    return linesOf(`${count} small migrations`, samples, against, atMost(1.15, 1))
  },
}

/** One large migration, by one curl, against the bare loop's own time. */
export const large: Row = {
  name: 'one large migration',
  lines: async ({ rows, rounds }) => {
    const samples = await inRounds(
      rounds.few,
      sidesOf([SCHEMAD, BARE], (tool) => applyLarge(tool, rows)),
    )
    const against = { [BARE.name]: 'bare loop, its own time' }
    return linesOf(`one migration of ${rows.toLocaleString('en')} rows`, samples, against, atMost(1.05, 1))
  },
}

/** `POST /rollback?target=-1`, by one curl, against the bare loop's own time; libraries as processes. */
export const rollback: Row = {
  name: 'roll back',
  lines: async ({ small: count, rounds }) => {
    const tools = [SCHEMAD, BARE, UMZUG, KYSELY, KNEX]
    const samples = await inRounds(
      rounds.few,
      sidesOf(tools, (tool) => rollBackSmall(tool, count)),
    )
    const against = { [BARE.name]: 'bare loop, its own time' }
    return linesOf(`roll back ${count}`, samples, against, atMost(1.25, 1))
  },
}

/** One more migration again and again, to a server that has waited until its spare runner is loaded, and to dbmate. */
export const pending: Row = {
  name: 'one pending migration',
  lines: async ({ rounds }) => {
    using ours = newPlace()
    using theirs = newPlace()
    const folders = [ours, theirs].map(({ folder }) => join(folder, 'migrations')) as [string, string]
    const [writeOurs, writeTheirs] = [counted(folders[0], 'pairs'), counted(folders[1], 'dbmate')]
    for (const write of [writeOurs, writeTheirs]) write(APPLIED)
    await using service = await startService({ migrations: folders[0], database: ours.database })
    await service.post('/migrate')
    await dbmate('up', folders[1], theirs.database)
    const samples = await inRounds(rounds.many, {
      schemad: async () => {
        const count = writeOurs(1)
        await service.idle()
        const answer = await service.post('/migrate')
        same('the answer', 'its steps', runIn(answer).steps.length, 1)
        verifySmall(ours.database, SCHEMAD.ledger, count)
        return answer.ms
      },
      dbmate: async () => {
        const count = writeTheirs(1)
        const { ms } = await dbmate('up', folders[1], theirs.database)
        verifySmall(theirs.database, DBMATE.ledger, count)
        return ms
      },
    })
    return linesOf('one small migration pending', samples, { dbmate: 'dbmate `up`, the process' }, atMost(1, 0.5))
  },
}

/** How many are applied when one is pending. */
const APPLIED = 10

/** Writes more small migrations each time, and gives how many there are. */
function counted(folder: string, form: Tool['form']): (more: number) => number {
  let count = 0
  return (more) => {
    writeSmall(folder, form, count + more, count)
    count += more
    return count
  }
}

function sidesOf(tools: readonly Tool[], side: (tool: Tool) => Side): Record<string, Side> {
  return Object.fromEntries(tools.map((tool) => [tool.name, side(tool)]))
}

function applySmall(tool: Tool, count: number): Side {
  return async () => {
    using place = newPlace()
    const ms = await tool.up(smallOf(tool.form, count), place.database)
    verifySmall(place.database, tool.ledger, count)
    return ms
  }
}

function applyLarge(tool: Tool, rows: number): Side {
  return async () => {
    using place = newPlace()
    const ms = await tool.up(largeOf(rows), place.database)
    verifyLarge(place.database, tool.ledger, rows)
    return ms
  }
}

function rollBackSmall(tool: Tool, count: number): Side {
  return async () => {
    using place = newPlace()
    await putApplied(place, tool, count)
    const ms = await tool.down(smallOf(tool.form, count), place.database)
    verifySmall(place.database, tool.ledger, 0)
    return ms
  }
}

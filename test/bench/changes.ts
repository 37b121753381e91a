// Rows of what changes a database.
import { join } from 'node:path'
import { grower, startGrowing } from './growing.ts'
import { inRounds } from './measure.ts'
import { NOTHING, startNothing } from './nothing.ts'
import { newPlace } from './places.ts'
import type { Row } from './rows.ts'
import { applyLarge, applySmall, rollBackSmall, sidesOf } from './sides.ts'
import { atMost, linesOf } from './table.ts'
import { BARE, DBMATE, DRIZZLE, dbmate, KNEX, KYSELY, SCHEMAD, UMZUG } from './tools.ts'
import { verifySmall } from './verify.ts'

/** `POST /migrate` of many small migrations, by one curl, against whole processes; the bare loop by its own time. */
export const small: Row = {
  name: 'small migrations',
  lines: async ({ small: count, rounds }) => {
    const others = [BARE, UMZUG, KYSELY, KNEX, DRIZZLE]
    const samples = await inRounds(
      rounds.few,
      sidesOf([SCHEMAD, DBMATE, ...others], (tool) => applySmall(tool, count)),
    )
    const against = {
      [DBMATE.name]: 'dbmate `up`, the process',
      [BARE.name]: 'bare loop, its own time',
      // As they do it unless every migration asks for something else.
      [KNEX.name]: 'knex, the process, all in one commit',
      [DRIZZLE.name]: 'drizzle-orm, the process, all in one commit',
    }
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
    await using growing = await startGrowing(ours, APPLIED)
    await using nothing = await startNothing(ours)
    const migrations = join(theirs.folder, 'migrations')
    const write = grower(migrations, 'dbmate', APPLIED)
    await dbmate('up', migrations, theirs.database)
    const samples = await inRounds(rounds.many, {
      schemad: async () => (await growing.one()).ms,
      dbmate: async () => {
        const count = write()
        const { ms } = await dbmate('up', migrations, theirs.database)
        verifySmall(theirs.database, DBMATE.ledger, count)
        return ms
      },
      nothing: nothing.asked,
    })
    const against = { dbmate: 'dbmate `up`, the process', nothing: NOTHING }
    return linesOf('one small migration pending', samples, against, atMost(1, 0.5))
  },
}

/** How many are applied when one is pending. */
const APPLIED = 10

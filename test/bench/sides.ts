import type { Side } from './measure.ts'
import { newPlace } from './places.ts'
import { largeOf, putApplied, smallOf } from './prepared.ts'
import type { Tool } from './tools.ts'
import { verifyLarge, verifySmall } from './verify.ts'

/** A side for each tool, by its name. */
export function sidesOf(tools: readonly Tool[], side: (tool: Tool) => Side): Record<string, Side> {
  return Object.fromEntries(tools.map((tool) => [tool.name, side(tool)]))
}

/** Applies so many small migrations to an empty database. */
export function applySmall(tool: Tool, count: number): Side {
  return async () => {
    using place = newPlace()
    const ms = await tool.up(smallOf(tool.form, count), place.database)
    verifySmall(place.database, tool.ledger, count)
    return ms
  }
}

/** Applies the large migration to an empty database. */
export function applyLarge(tool: Tool, rows: number): Side {
  return async () => {
    using place = newPlace()
    const ms = await tool.up(largeOf(rows), place.database)
    verifyLarge(place.database, tool.ledger, rows)
    return ms
  }
}

/** Rolls back all of so many small migrations. */
export function rollBackSmall(tool: Tool, count: number): Side {
  return async () => {
    using place = newPlace()
    await putApplied(place, tool, count)
    const ms = await tool.down(smallOf(tool.form, count), place.database)
    verifySmall(place.database, tool.ledger, 0)
    return ms
  }
}

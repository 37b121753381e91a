import type { AsyncCommand } from 'fast-check'
import type { Lane } from './lane.ts'
import type { Model, Request } from './model.ts'
import { verify } from './verify.ts'

export type Command = AsyncCommand<Model, Lane>

/** How often each command was run, and with what outcome. */
export const counts: Record<string, number> = {}

export function count(what: string): void {
  counts[what] = (counts[what] ?? 0) + 1
}

/** A command that is told by its text, counted, and followed by a look at everything. */
export function command(
  text: string,
  check: (model: Readonly<Model>) => boolean,
  run: (model: Model, lane: Lane) => void | Promise<void>,
): Command {
  const name = text.split(/[ ?]/)[0] ?? ''
  return {
    toString: () => text,
    check,
    run: async (model, lane) => {
      count(name)
      await run(model, lane)
      await verify(model, lane)
    },
  }
}

/** What is posted for it. */
export function pathOf(request: Request): string {
  const { kind, target, atomic } = request
  if (kind === 'repair') return '/repair'
  const steps = kind === 'rollback' && target === null ? `&steps=${request.steps}` : ''
  return `/${kind}?atomic=${atomic}${target === null ? '' : `&target=${target}`}${steps}`
}

/** The most migrations of a directory. */
export const MOST = 7

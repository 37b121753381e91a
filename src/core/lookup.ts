import type { Engine } from './engine.ts'
import { MigrationError } from './errors.ts'
import type { KnownRuns } from './known.ts'
import type { Run } from './migration.ts'
import { follow, type Watcher } from './watch.ts'

/** Finds runs: those that this process knows by itself, and those of the record. */
export interface Lookup {
  /** The run `id`, alive or ended. Throws `not-found`. */
  find(id: string): Promise<Run>
  /** At most `limit` runs, the newest first, from below the id `before` on: those that had steps, and those that live. */
  list(limit: number, before: string | null): Promise<{ runs: readonly Run[]; next: string | null }>
  /**
   * Tells `hear` of the run `id`: first, before it returns, the run as it stands, and the statement that it is at; then what happens; last its end. Returns
   * the function that ends that. `fail` is called when there will be no end, since it cannot be asked for any more.
   *
   * @throws MigrationError `not-found`.
   */
  watch(id: string, hear: Watcher, fail: (error: unknown) => void): Promise<() => void>
}

export function openLookup(engine: Engine, known: KnownRuns): Lookup {
  async function find(id: string): Promise<Run> {
    const run = known.find(id) ?? (await engine.run(id))
    if (run !== null) return run
    throw new MigrationError('not-found', `there is no run ${id.slice(0, 40)}; GET /runs lists them`)
  }

  async function list(limit: number, before: string | null): Promise<{ runs: readonly Run[]; next: string | null }> {
    // What this process knows of a run is what it has answered, and may not be recorded yet.
    const recorded = (await engine.runs(limit + 1, before)).map((run) => known.find(run.id) ?? run)
    const there = new Set(recorded.map(({ id }) => id))
    // Asked after that: one that has ended meanwhile must not be there twice.
    const alive = known
      .alive()
      .flatMap(({ run }) => (!there.has(run.id) && (before === null || run.id < before) ? run : []))
    const all = [...alive, ...recorded].sort((a, b) => (a.id < b.id ? 1 : -1))
    const runs = all.slice(0, limit)
    return { runs, next: all.length > limit ? (runs.at(-1)?.id ?? null) : null }
  }

  async function watch(id: string, hear: Watcher, fail: (error: unknown) => void): Promise<() => void> {
    const life = known.live(id)
    if (life !== undefined) {
      hear({ type: 'run', run: life.run })
      if (life.statement !== null) hear({ type: 'statement', statement: life.statement })
      life.watchers.add(hear)
      return () => void life.watchers.delete(hear)
    }
    const run = await find(id)
    hear({ type: 'run', run })
    if (run.status === 'running') return follow(run, find, hear, fail)
    hear({ type: 'end', run })
    return () => {}
  }

  return { find, list, watch }
}

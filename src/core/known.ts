import type { Run } from './migration.ts'

/** A run of this process, from its being asked for to its end. */
export interface Life {
  run: Run
  /** The role that asked for it: who may cancel it depends on that. */
  readonly begunAs: string
  /** What is aborted first is the reason of its end. */
  readonly stop: AbortController
}

/** The runs that this process knows by itself: those that live, and the last ones that ended, recorded or not. */
export interface KnownRuns {
  add(life: Life): void
  /** `run` is how it ended; `null`: nothing was made of it, and it is forgotten. */
  end(life: Life, run: Run | null): void
  /** The run `id` while it lives. */
  live(id: string): Life | undefined
  /** All that live, the newest first. */
  alive(): readonly Life[]
  find(id: string): Run | undefined
}

/** How many ended runs are remembered: a dashboard asks for what it has just begun. */
const MOST_ENDED = 200

export function openKnownRuns(): KnownRuns {
  const lives = new Map<string, Life>()
  const ended = new Map<string, Run>()
  return {
    add: (life) => void lives.set(life.run.id, life),
    end(life, run) {
      lives.delete(life.run.id)
      if (run === null) return
      ended.set(run.id, run)
      const [oldest] = ended.keys()
      if (ended.size > MOST_ENDED && oldest !== undefined) ended.delete(oldest)
    },
    live: (id) => lives.get(id),
    alive: () => [...lives.values()].sort((a, b) => (a.run.id < b.run.id ? 1 : -1)),
    find: (id) => lives.get(id)?.run ?? ended.get(id),
  }
}

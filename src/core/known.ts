import type { Run, StatementReport } from './migration.ts'
import type { Watcher } from './watch.ts'

/** A run of this process, from its being asked for to its end. */
export interface Life {
  run: Run
  /** The role that asked for it: who may cancel it depends on that. */
  readonly begunAs: string
  /** Whether somebody waits for its end, or will ask for it. */
  readonly answered: 'at its end' | 'at once'
  /** It waits for its turn or has it; before that it may be refused as if it had never been. */
  accepted: boolean
  /** What is aborted first is the reason of its end. */
  readonly stop: AbortController
  readonly watchers: Set<Watcher>
  /** What was told last to be executed; `null` between steps. */
  statement: StatementReport | null
}

/** The runs that this process knows by itself: those that live, and the last ones that ended, recorded or not. */
export interface KnownRuns {
  add(life: Life): void
  /** `run` is how it ended. */
  end(life: Life, run: Run): void
  /** Nothing was made of it, and it is forgotten; `run` is what is told to those who watch. */
  drop(life: Life, run: Run): void
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

  function drop(life: Life, run: Run): void {
    lives.delete(life.run.id)
    for (const hear of life.watchers) hear({ type: 'end', run })
  }

  return {
    add: (life) => void lives.set(life.run.id, life),
    end(life, run) {
      ended.set(run.id, run)
      const [oldest] = ended.keys()
      if (ended.size > MOST_ENDED && oldest !== undefined) ended.delete(oldest)
      drop(life, run)
    },
    drop,
    live: (id) => lives.get(id),
    alive: () => [...lives.values()].sort((a, b) => (a.run.id < b.run.id ? 1 : -1)),
    find: (id) => lives.get(id)?.run ?? ended.get(id),
  }
}

import type { Engine } from './engine.ts'
import { MigrationError } from './errors.ts'
import type { History } from './history.ts'
import type { Directory, Run, Running } from './migration.ts'
import { outdates } from './outcome.ts'
import { type Status, statusOf } from './status.ts'

/** A status as it is told: with the run under way, and whether the database could not be read just now. */
export interface CurrentStatus {
  readonly status: Status
  readonly running: Running | null
  readonly stale: boolean
}

/** The status, as often as it is asked for. */
export interface StatusReader {
  /**
   * Gives the status of now. While the database cannot be read, what was read last stands for it and is called stale. The
   * `status` is the same object for as long as neither the directory nor the database has changed.
   */
  read(): Promise<CurrentStatus>
  /** Hears of a run that has ended: what may be outdated by it stands for nothing any more. */
  heard(run: Run): void
}

/** Reads the directory and the database for it. */
export function statusReader(options: {
  readonly engine: Engine
  readonly recent: () => Promise<Directory>
  readonly running: () => Promise<Running | null>
}): StatusReader {
  let known: { directory: Directory; history: History; status: Status } | null = null
  let forgotten = 0

  async function read(): Promise<CurrentStatus> {
    const before = forgotten
    const directory = await options.recent()
    let stale = false
    const history = await options.engine.read('immediate').catch((error: unknown) => {
      if (known === null || !(error instanceof MigrationError)) throw error
      stale = true
      return known.history
    })
    const same = known?.directory === directory && known.history === history
    const now = same && known !== null ? known : { directory, history, status: statusOf(directory, history) }
    if (before === forgotten) known = now
    return { status: now.status, running: await options.running(), stale }
  }

  return {
    read,
    heard: (run) => {
      if (known !== null && !outdates(run, known.status.current)) return
      known = null
      forgotten += 1
    },
  }
}

/**
 * Asks once for all who ask in the same turn of the event loop, at its end: their requests were there by then. What is answered
 * together also wakes a client with many connections once, and not for each.
 */
export function oncePerTurn<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | null = null
  return () => {
    asked ??= new Promise((resolve) => {
      setImmediate(() => {
        asked = null
        resolve(ask())
      })
    })
    return asked
  }
}

import type { Database } from 'better-sqlite3'
import type { Watched } from './watched.ts'

/**
 * Stands between a migration and SQLite. better-sqlite3 tells the text of each statement before it is executed, and what is
 * thrown there stops it: so SQLite itself splits the script, and nothing here has to parse it.
 */
export class Guard {
  #watched: Watched | null = null

  /** Give this as `verbose` when the database is opened. */
  readonly hear = (text: unknown): void => this.#watched?.hear(String(text))

  /** Judges every statement from now on, until the returned object is disposed of. */
  watch(watched: Watched): Disposable {
    this.#watched = watched
    return {
      [Symbol.dispose]: () => {
        this.#watched = null
      },
    }
  }
}

const guards = new WeakMap<Database, Guard>()

/** Remembers that `db` was opened with the guard's `hear`. */
export function guardBy(db: Database, guard: Guard): void {
  guards.set(db, guard)
}

/** The guard of a database that was opened with one. */
export function guardOf(db: Database): Guard | undefined {
  return guards.get(db)
}

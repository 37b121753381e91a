import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { types } from 'node:util'
import type { Database } from 'better-sqlite3'
import type { Source } from '../core/migration.ts'
import type { Watched } from './watched.ts'

const load = createRequire(import.meta.url)

/** A migration in code. */
export type Body = (db: Database) => unknown

/**
 * The function that a module exports, which is loaded when it is called: what its top level does belongs to its step.
 * Throws for a file that is another than the one that the plan was made with.
 */
export function functionOf(source: Source & { kind: 'code' }, direction: 'up' | 'down'): Body {
  return (db) => {
    const found = createHash('sha256').update(readFileSync(source.path)).digest('hex')
    if (found !== source.sha256) throw new Error('the file has changed since the run began; post again')
    call(db, exported(loaded(source.path), direction))
  }
}

function loaded(path: string): Record<string, unknown> {
  try {
    return load(path) as Record<string, unknown>
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code !== 'ERR_REQUIRE_ASYNC_MODULE') throw error
    throw new Error('it awaits something at its top level, and a migration is synchronous; remove that', {
      cause: error,
    })
  }
}

function exported(module: Record<string, unknown>, direction: 'up' | 'down'): Body {
  const found = module[direction] ?? (module.default as Record<string, unknown> | undefined)?.[direction]
  if (typeof found !== 'function') throw new Error(`it exports no function ${direction}`)
  return found as Body
}

/**
 * Calls a migration in code. Throws for one that is not synchronous: what it does later would miss its transaction.
 */
export function call(db: Database, body: Body): void {
  const kind = Object.prototype.toString.call(body).slice('[object '.length, -1)
  // Refused before it runs: what stands after its first await would run later, outside of any transaction.
  if (kind !== 'Function') throw notSynchronous()
  const given = returned(body, db)
  if (isLater(given)) {
    if (given instanceof Promise) given.catch(() => {})
    throw notSynchronous()
  }
  refuseOpenQuery(db)
}

/** What `body` returns. What it throws may act, and throw, whenever it is looked at: a proxy, or what has one as its prototype. */
function returned(body: Body, db: Database): unknown {
  try {
    return body(db)
  } catch (error) {
    throw isPlain(error) ? error : new Error('it threw something that is no error')
  }
}

function isPlain(thrown: unknown): boolean {
  let one = thrown
  while (one !== null && (typeof one === 'object' || typeof one === 'function')) {
    if (types.isProxy(one)) return false
    one = Object.getPrototypeOf(one) as unknown
  }
  return true
}

/** Has each `exec` of a migration in code watched by its text too, until the returned object is disposed of. */
export function watchExec(db: Database, watched: Watched): Disposable {
  if (!Object.isExtensible(db)) return { [Symbol.dispose]: () => {} }
  const { exec } = db
  const own = Object.getOwnPropertyDescriptor(db, 'exec')
  const watching = function (this: Database, text: string) {
    if (this !== db) return exec.call(this, text)
    // As SQLite is given it, and tells it.
    return watched.within(String(text).toWellFormed(), () => exec.call(db, text))
  }
  Object.defineProperty(db, 'exec', { value: watching, configurable: true, writable: true })
  return {
    [Symbol.dispose]: () => {
      if (own === undefined) Reflect.deleteProperty(db, 'exec')
      else Object.defineProperty(db, 'exec', own)
    },
  }
}

function notSynchronous(): Error {
  return new Error('it returns a promise or a generator, and a migration is synchronous')
}

function isLater(given: unknown): given is object {
  if (given === null || (typeof given !== 'object' && typeof given !== 'function')) return false
  const { then, next } = given as { then?: unknown; next?: unknown }
  return typeof then === 'function' || typeof next === 'function'
}

/** An iterator that was not read to its end keeps the connection busy, and nothing could be committed. */
function refuseOpenQuery(db: Database): void {
  if (!db.open) return
  try {
    db.exec('')
  } catch (error) {
    if (!isBusyConnection(error)) throw error
    throw new Error('it leaves an iterator open; read it to its end, or return from its loop', { cause: error })
  }
}

/** Whether better-sqlite3 refuses a connection on which an iterator is open. */
export function isBusyConnection(error: unknown): boolean {
  return error instanceof TypeError && error.message.includes('busy executing a query')
}

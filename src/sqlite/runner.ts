// The entry of the process that makes one run and then ends. It is given nothing but a channel to its parent.
import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import Sqlite, { type Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { removeDatabase } from './backup-files.ts'
import { startClock } from './clock.ts'
import type { Claimed } from './connection.ts'
import { recoverRuns } from './dead-runs.ts'
import { failure, tellable } from './failure.ts'
import { takeLock } from './lock.ts'
import type { FromRunner, ToRunner } from './messages.ts'
import { performRun } from './perform.ts'
import { practise } from './practice.ts'
import { Progress } from './progress.ts'
import { performRehearsal } from './rehearse.ts'
import { performRestore } from './restore.ts'
import { settleRun } from './settle.ts'
import { Telling } from './telling.ts'
import { type Tether, tieTo } from './tether.ts'
import { STATEMENTS_FD, watchOver } from './watchdog.ts'

const POLL_MS = 20
/** Another server that looks whether the lock is held has it for a moment: that must not look like a run. */
const PATIENCE_MS = 100
/** After so long without a word this process is one that waits. */
const AT_REST_MS = 20

const PARENT = Number(process.argv[2])

let claim: (Claimed & { readonly lock: Disposable }) | null = null

// Out of the reach of modules: what is sent is believed.
const send = process.send?.bind(process)
delete process.send
const progress = new Progress()
const telling = new Telling(say, progress, watch)
let asked = false
let watched = false
let tether: Tether | null = null
// Ctrl-C and some supervisors signal every process of the group; how long a run may go on is the server's to decide.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
// The parent has ended while this process was idle; a busy one is ended by the watchdog.
process.on('disconnect', () => process.exit())
process.on('message', (message: ToRunner) => {
  asked = true
  if (!tether?.holds) watch()
  void answer(message)
})

prepare()

/** Loads what would else be loaded when the claim is there: SQLite's library, and Node's clocks; all else where there is time. */
function prepare(): void {
  new Sqlite(':memory:').close()
  startClock().stop()
  // A claim that has been waiting for this process comes first.
  setTimeout(() => asked || rest(), AT_REST_MS).unref()
}

function rest(): void {
  tether = tieTo(PARENT, STATEMENTS_FD)
  practise()
}

/** A thread takes ten megabytes and milliseconds, which one that waits does not need, nor a run that is over as soon. */
function watch(): void {
  if (!watched) watchOver(PARENT, progress.memory)
  watched = true
}

async function answer(message: ToRunner): Promise<void> {
  try {
    if (message.type === 'claim') await tryToClaim(message)
    else leave(await act(message))
  } catch (error) {
    const known = failure(error, 'internal')
    const told = tellable(known)
    if (known.code === 'internal' && told === known) console.error(error)
    leave({ type: 'refused', error: told.toJSON() })
  }
}

/** Does what the claim was made for. Gives the last word. */
async function act(message: Exclude<ToRunner, { type: 'claim' }>): Promise<FromRunner> {
  switch (message.type) {
    case 'run':
      return { type: 'result', ...(await performRun(claimed(), message, telling)) }
    case 'rehearse':
      return { type: 'result', result: await performRehearsal(claimed(), message, telling), recorded: true }
    case 'restore':
      return { type: 'result', ...(await performRestore(claimed(), message, say)) }
    case 'settle':
      return { type: 'result', ...settleRun(message) }
    case 'recover':
      recoverRuns(claimed(), message.backups)
      return { type: 'swept' }
    case 'sweep':
      removeDatabase(claimed().database)
      return { type: 'swept' }
    case 'leave':
      return { type: 'busy' }
  }
}

/** Waits for the run lock, then recovers what a dead process has left in the database. */
async function tryToClaim({ database, lockTimeoutMs, waitMs }: ToRunner & { type: 'claim' }): Promise<void> {
  makeFolder(dirname(database))
  const deadline = performance.now() + Math.max(waitMs, PATIENCE_MS)
  let clock = startClock()
  let lock = takeLock(database, clock.started)
  while (lock === null && performance.now() < deadline) {
    await delay(POLL_MS)
    clock = startClock()
    lock = takeLock(database, clock.started)
  }
  if (lock === null) return leave({ type: 'busy' })
  claim = { database, lockTimeoutMs, lock, clock }
  if (existsSync(database)) recover(new Sqlite(database, { timeout: lockTimeoutMs, fileMustExist: true }))
  say({ type: 'claimed', startedAt: claim.clock.startedAt })
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true })
  } catch (error) {
    const advice = `the database's folder ${folder} cannot be made; mend its permissions or its mount`
    throw new MigrationError('database-unavailable', advice, {}, { cause: error })
  }
}

/** The first read rolls back a hot journal, which a read-only connection could not. */
function recover(db: Database): void {
  try {
    // Which does not need the schema parsed.
    db.prepare('PRAGMA schema_version').get()
  } finally {
    db.close()
  }
}

function claimed(): NonNullable<typeof claim> {
  if (claim === null) throw new MigrationError('internal', 'a runner was given a run before it had the lock')
  return claim
}

function say(message: FromRunner): void {
  send?.(message)
}

async function end(): Promise<void> {
  await tether?.cut()
  process.exit()
}

/** Says the last word, the lock given back before it, and ends when it has been flushed: what is queued dies with the process. */
function leave(message: FromRunner): void {
  claim?.lock[Symbol.dispose]()
  send?.(message, () => {
    // What a module has printed is on its way too.
    process.stdout.write('', () => process.stderr.write('', () => void end()))
  })
}

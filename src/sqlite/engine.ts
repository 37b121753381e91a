import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Conduct, Decide, Engine, Order, Outcome } from '../core/engine.ts'
import { MigrationError } from '../core/errors.ts'
import { currentOf } from '../core/history.ts'
import { type Aftermath, askOnce, complete, settle, settleRehearsal } from './aftermath.ts'
import { leftovers, listBackups, refuseUnknown } from './backup-files.ts'
import { type Execution, execute } from './execute.ts'
import { realFile, refuseUnwritable, rehearsalPath } from './files.ts'
import type { Assignment } from './messages.ts'
import { openReading } from './reading.ts'
import { forkRunner, type RunnerProcess } from './runner-process.ts'

export interface SqliteEngineOptions {
  /** The path of the database file. */
  readonly file: string
  /** How long to wait for SQLite's write lock when the application holds it, in milliseconds. */
  readonly lockTimeoutMs: number
  /** A run past this is killed, in milliseconds. */
  readonly runTimeoutMs: number
  /** Where backups are kept; `null`: in the folder `backups` beside the database. */
  readonly backupDir: string | null
  /** How many are kept; 0 = none are made. */
  readonly backupKeep: number
  /** The environment of the runners. */
  readonly environment: Readonly<Record<string, string>>
}

/**
 * How long a server whose runner has died has to say how that run ended, and how often it is asked whether it has, in
 * milliseconds: it has another runner say it, which has to be started.
 */
const [SETTLING_MS, ASK_MS] = [2_000, 20]

/** How long after a run the next runner is forked, in milliseconds. */
const REWARM_MS = 20

/** The SQLite file `options.file` as an engine: read here, changed by runner processes only. */
export function sqliteEngine(
  options: SqliteEngineOptions,
): Engine & { /** Keeps a runner ready from now on. */ warm(): void } {
  const { lockTimeoutMs } = options
  const file = () => realFile(options.file)
  const fork = () => forkRunner({ SQLITE_TMPDIR: dirname(file()), ...options.environment })
  const backups = (path = file()) => ({
    folder: realFile(options.backupDir ?? join(dirname(path), 'backups')),
    keep: options.backupKeep,
  })
  const aftermath = (path: string): Aftermath => ({
    fork,
    file: path,
    lockTimeoutMs,
    backups: backups(path),
    ask: (id) => record.ask((reader) => reader.run(id)),
    closing: () => closed,
    unrecorded,
  })
  const record = openReading(options.file, file, aftermath)
  let spare: RunnerProcess | null = null
  const executing = new Set<Promise<unknown>>()
  const unrecorded: Aftermath['unrecorded'] = new Set()
  let warmed = false
  let closed = false

  const runner = () => {
    const ready = spare?.alive ? spare : fork()
    spare = null
    return ready
  }
  const warm = () => {
    warmed = true
    if (!closed && executing.size === 0 && !spare?.alive) spare = fork()
  }
  const conducted = async (
    order: Order,
    conduct: Conduct,
    rest: Pick<Execution, 'claim' | 'assign' | 'settle' | 'complete'>,
  ): Promise<Outcome> => {
    refuseUnwritable(file(), options.environment.SQLITE_TMPDIR)
    const executed = execute({ ...options, order, conduct, runner, ...rest })
    executing.add(executed)
    try {
      return await executed
    } finally {
      executing.delete(executed)
      // Not before the answer has been sent.
      if (warmed) setTimeout(warm, REWARM_MS).unref()
    }
  }
  /** A run of the file that bears the name now: what is said of it later is said of that one, wherever the name leads then. */
  const recorded = async (order: Order, conduct: Conduct, assign: Execution['assign']): Promise<Outcome> => {
    const claim = file()
    return await conducted(order, conduct, {
      claim,
      assign: async () => {
        if (file() === claim) {
          await deadToldOf(conduct.stop)
          return await assign()
        }
        const message = `${options.file} leads to another file since this run has begun with ${claim}; post again`
        throw new MigrationError('database-unavailable', message)
      },
      settle: (words, known, ending) => settle(aftermath(claim), words, known, ending),
      complete: (words, known, told) => complete(aftermath(claim), words, known, told),
    })
  }
  /**
   * Gives the servers of runs that nobody makes any more a moment to say whether they were cancelled, or took too long: all that
   * the next run could record of them is that they are dead.
   */
  const deadToldOf = async (stop: AbortSignal) => {
    const deadline = performance.now() + SETTLING_MS
    // Where it cannot be read, the plan waits for that, or says why.
    const waits = () => record.ask((reader) => reader.hasRunning()).catch(() => false)
    while (performance.now() < deadline && (await waits())) {
      stop.throwIfAborted()
      await delay(ASK_MS)
    }
  }
  /** The assignment that `words` make of what is decided on the state of now. */
  const decided = (decide: Decide, words: (steps: ReturnType<Decide>) => Assignment) => async () => {
    const history = await record.read('patient')
    const steps = decide(history)
    return { words: steps.length === 0 ? null : words(steps), current: currentOf(history.applied) }
  }

  return {
    read: record.read,
    warm,
    running: async () => record.now().running(),
    schema: async () => await record.ask((reader) => reader.schema()),
    keptDown: async (id) => await record.ask((reader) => reader.keptDown(id)),
    execute: (order, decide, conduct) =>
      recorded(
        order,
        conduct,
        decided(decide, (steps) => ({ type: 'run', run: rowOf(order), steps, backups: backups() })),
      ),
    rehearse: (order, decide, conduct) =>
      conducted(order, conduct, {
        claim: rehearsalPath(file()),
        assign: decided(decide, (steps) => ({ type: 'rehearse', run: rowOf(order), steps, source: file() })),
        settle: (words, known) => settleRehearsal(aftermath(rehearsalPath(file())), words, known),
        // Of a rehearsal there is no record.
        complete: () => {},
      }),
    restore: async (order, name, agree, conduct) => {
      // Where there is nothing to do, no lock is made.
      refuseUnknown(backups().folder, name)
      return await recorded(order, conduct, async () => {
        const history = await record.read('patient')
        agree(history)
        const words = { type: 'restore', run: rowOf(order), steps: [], name, backups: backups() } as const
        return { words, current: currentOf(history.applied) }
      })
    },
    checkBackup: async (name) => refuseUnknown(backups().folder, name),
    backups: async () => listBackups(backups().folder, file()),
    runs: async (limit, before) => await record.ask((reader) => reader.runs(limit, before)),
    run: async (id) => await record.ask((reader) => reader.run(id)),
    recover: async () => {
      const claim = { type: 'claim', database: file(), lockTimeoutMs, waitMs: 0 } as const
      // After a crash, whoever reads first has the file for himself for a moment.
      await record.read('patient')
      const dead = await record.ask((reader) => reader.hasRunning())
      if (dead || leftovers(backups().folder, file()).length > 0) {
        if (record.now().running() !== null) return false
        const { type } = await askOnce(fork(), claim, { type: 'recover', backups: backups() })
        if (type === 'busy') return false
      }
      const copy = rehearsalPath(file())
      if (existsSync(copy)) await askOnce(fork(), { ...claim, database: copy }, { type: 'sweep' })
      return true
    },
    check: async () => {
      refuseUnwritable(file(), options.environment.SQLITE_TMPDIR)
      await record.read('immediate')
    },
    close: async () => {
      closed = true
      await Promise.allSettled(executing)
      await Promise.allSettled([...unrecorded].map((record) => record()))
      spare?.kill()
      await spare?.gone
      record.close()
    },
  }
}

function rowOf({ waitMs: _, ...row }: Order) {
  return row
}

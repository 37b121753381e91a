import type { Engine } from './engine.ts'
import { MigrationError } from './errors.ts'
import { execute } from './execution.ts'
import { currentOf } from './history.ts'
import { inProgress, isHeld, probeOthers } from './holder.ts'
import type { Life } from './known.ts'
import type { Directory, Run, Running } from './migration.ts'
import { plan } from './plan.ts'
import { refuseMoved } from './refusals.ts'
import { asRunning, idleRun, plannedRun, type RunRequest } from './run.ts'
import type { RunEvent } from './runs.ts'
import { openTurns } from './turns.ts'

/** Where runs wait for each other: one change at a time, and beside it one rehearsal. */
export interface Queue {
  /**
   * Makes the run when it is its turn. Calls `accept` when it waits for that or has it, and `begin` when it has the database.
   *
   * @throws MigrationError why it was refused or failed.
   */
  make(life: Life, asked: RunRequest, accept: () => void, begin: () => void): Promise<Run>
  /** The run that holds the database, here or in another process. */
  running(): Promise<Running | null>
  /** Refuses all who wait, and all who come. */
  close(reason: MigrationError): void
}

export function openQueue(options: {
  readonly engine: Engine
  readonly look: () => Promise<Directory>
  readonly now: () => Date
  readonly hear: (event: RunEvent) => void
}): Queue {
  const { engine, look, now, hear } = options
  const changes = openTurns()
  const rehearsals = openTurns()
  /** Whose turn it is, of the changes and of the rehearsals. */
  let current: Life | null = null
  let rehearsing: Life | null = null
  const others = probeOthers(engine, now)

  async function make(life: Life, asked: RunRequest, accept: () => void, begin: () => void): Promise<Run> {
    const { request, manner } = asked
    const rehearsed = manner === 'rehearsal'
    // No wait would bring it.
    if (request.kind === 'restore') await engine.checkBackup(request.backup)
    const turns = rehearsed ? rehearsals : changes
    // What has nothing to do needs no turn, and is in nobody's way; while a run is made, only its turn can tell.
    const elsewhere = manner === 'earnest' && turns.free() ? await engine.running() : null
    // Who does not wait for the end is told at once what can be known at once.
    if (life.answered === 'at once' && asked.waitMs === 0 && elsewhere !== null && (await isHeld(engine)))
      throw await inProgress(engine, () => null, false)
    const quiet = manner === 'plan' || (turns.free() && elsewhere === null)
    const seen = quiet ? await see() : null
    if (seen !== null && request.kind === 'restore') refuseMoved(seen.history.applied, request.from)
    if (seen !== null && request.kind !== 'restore') {
      const steps = plan(seen.directory, seen.history, request)
      const at = currentOf(seen.history.applied)
      if (manner === 'plan') return plannedRun(life.run, at, steps, now())
      if (steps.length === 0) return idleRun(life.run, at, now())
    }
    const waits = !turns.free()
    const end = await turns.take(asked.waitMs, life.stop.signal, accept)
    const holder = () => (rehearsed ? rehearsing : current)
    if (end === null) throw await inProgress(engine, holder, rehearsed)
    accept()
    if (rehearsed) rehearsing = life
    else current = life
    try {
      const left = Math.max(0, asked.waitMs - (now().getTime() - Date.parse(life.run.createdAt)))
      const execution = { engine, life, asked, begin, hear, now, see, waitMs: left, seen: waits ? null : seen }
      return await execute(execution).catch(async (error: unknown) => {
        if (error instanceof MigrationError && error.code === 'change-in-progress')
          throw await inProgress(engine, () => (holder() === life ? null : holder()), rehearsed)
        throw error
      })
    } finally {
      if (rehearsed) rehearsing = null
      else current = null
      others.forget()
      end()
    }
  }

  async function see() {
    const [directory, history] = await Promise.all([look(), engine.read('patient')])
    return { directory, history }
  }

  return {
    make,
    running: async () => (current?.run.startedAt ? asRunning(current.run) : await others.running()),
    close: (reason) => {
      for (const turns of [changes, rehearsals]) turns.close(reason)
    },
  }
}

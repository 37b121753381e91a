import type { Engine } from './engine.ts'
import { MigrationError } from './errors.ts'
import type { Life } from './known.ts'
import type { Running } from './migration.ts'
import { asRunning } from './run.ts'

/** How often, and after how many milliseconds, it is asked again who holds the database when he has not said so yet. */
const ASK_TIMES = 40
const ASK_MS = 25

/** How long an answer is believed, in milliseconds: a dashboard may ask a thousand times a second. */
const PROBE_MS = 50

/** Asks who else holds the database, and not more often than anybody could tell the difference. */
export function probeOthers(
  engine: Engine,
  now: () => Date,
): { running(): Promise<Running | null> /** Ask anew the next time. */; forget(): void } {
  let known: { readonly at: number; readonly running: Running | null } | null = null
  return {
    async running() {
      const at = now().getTime()
      if (known === null || Math.abs(at - known.at) > PROBE_MS) {
        const other = await engine.running()
        known = { at, running: other === 'unknown' ? null : other }
      }
      return known.running
    },
    forget: () => {
      known = null
    },
  }
}

/** Whether somebody has the database and will have it: a run that is just ending is waited for as by who waits for the end. */
export async function isHeld(engine: Engine): Promise<boolean> {
  await new Promise((resolve) => setTimeout(resolve, ENDING_MS))
  const other = await engine.running()
  return other !== null && other !== 'unknown'
}

/** How long one may take to give the database back, in milliseconds. */
const ENDING_MS = 100

/** The refusal of a run while another one is under way; it names that one. */
export async function inProgress(
  engine: Engine,
  current: () => Life | null,
  rehearsed: boolean,
): Promise<MigrationError> {
  if (rehearsed) {
    const message = 'another rehearsal is under way; wait for it, or post with wait=SECONDS'
    // One of another server has no record that would name it.
    const own = current()
    return new MigrationError('change-in-progress', message, { running: own && asRunning(own.run) })
  }
  const held = await holder(engine, current)
  const who = held === null ? '' : ` (${held.kind} ${held.id} by ${held.actor}, since ${held.startedAt})`
  const message = `another change is under way${who}; wait for it, or post with wait=SECONDS`
  return new MigrationError('change-in-progress', message, { running: held })
}

/** Who is in the way: also one who is about to begin. */
async function holder(engine: Engine, current: () => Life | null): Promise<Running | null> {
  for (let times = 0; times < ASK_TIMES; times += 1) {
    const own = current()
    if (own?.run.startedAt) return asRunning(own.run)
    const other = await engine.running()
    if (other === null) return own && asRunning(own.run)
    if (other !== 'unknown') return other
    await new Promise((resolve) => setTimeout(resolve, ASK_MS))
  }
  return null
}

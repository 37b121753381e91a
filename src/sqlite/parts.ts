import type { Database } from 'better-sqlite3'
import type { MigrationError } from '../core/errors.ts'
import type { Step, StepReport } from '../core/migration.ts'
import { reportOf } from '../core/outcome.ts'
import type { Work } from './attempt.ts'
import { failure } from './failure.ts'
import type { RunRow } from './messages.ts'
import { Migrator } from './migrator.ts'
import { functionOf } from './module.ts'
import { recordSteps } from './recorded.ts'
import type { RunOptions, RunResult } from './steps.ts'
import type { Telling } from './telling.ts'

/** How `executeAll` is to go. */
interface Manner {
  readonly onStatement?: RunOptions['onStatement']
  /** Gives another connection in the place of the one that a module had, which is closed. */
  readonly renew: () => Database
}

/** Executes the steps, or records them, each told to the parent. */
export function executeAll(
  db: Database,
  works: readonly Work[],
  run: RunRow,
  telling: Telling,
  { onStatement = () => {}, renew }: Manner,
): RunResult {
  const inCode = new Set(works.filter(isCode).map(({ id }) => id))
  const onStep = (step: StepReport) => {
    telling.step(step)
    // It may print, or end the process.
    if (step.status === 'running' && inCode.has(step.id)) telling.flush()
  }
  try {
    if (run.kind === 'baseline' || run.kind === 'repair') return recordSteps(db, run.id, run.kind, works, onStep)
    return executeParts(db, run.atomic ? [works] : partsOf(works), renew, {
      runId: run.id,
      atomic: run.atomic,
      onStep,
      onStatement: (work, watched) => {
        onStatement(work, watched)
        telling.statement(work, watched)
      },
    })
  } finally {
    telling.flush()
  }
}

function isCode({ body }: Work): boolean {
  return typeof body === 'function'
}

/** The steps, cut after each in code that is not the last. */
function partsOf(works: readonly Work[]): (readonly Work[])[] {
  const cuts = works.flatMap((work, place) => (isCode(work) && place < works.length - 1 ? place + 1 : []))
  return [0, ...cuts].map((start, part) => works.slice(start, cuts[part]))
}

/** Executes the parts one after the other until one fails, each over a connection of its own. */
function executeParts(
  db: Database,
  parts: readonly (readonly Work[])[],
  renew: Manner['renew'],
  options: RunOptions,
): RunResult {
  let on = db
  let error: MigrationError | null = null
  const steps = parts.flatMap((works, part) => {
    try {
      if (part > 0 && error === null) on = renew()
    } catch (thrown) {
      error = failure(thrown, 'internal')
    }
    if (error !== null) return works.map((work) => reportOf(work))
    const done = new Migrator(on, { log: () => {} }).run(works, options)
    error = done.error
    return done.steps
  })
  return { steps, error }
}

export function workOf({ id, name, direction, source, checksum, keep }: Step): Work {
  const body = source?.kind === 'code' ? functionOf(source, direction) : (source?.text ?? null)
  return { id, name, direction, file: source?.file ?? null, checksum, keep, body }
}

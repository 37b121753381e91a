import type { MigrationError } from '../core/errors.ts'
import type { StepReport } from '../core/migration.ts'
import { reportOf } from '../core/outcome.ts'
import { type Done, rounded, type Session, type Work } from './attempt.ts'
import { failure } from './failure.ts'
import { executeInside, executeStep } from './step.ts'
import { inTransaction } from './transaction.ts'
import type { Watched } from './watched.ts'

/** How a run of steps is to go. */
export interface RunOptions {
  readonly runId?: string | null
  /** All steps in one transaction. */
  readonly atomic?: boolean
  /** Is given the line that a person reads, before each step. */
  readonly onLine?: (line: string) => void
  /** Hears each step before it runs and after it has ended. */
  readonly onStep?: (step: StepReport) => void
  /** Hears of each statement before it is executed. */
  readonly onStatement?: (work: Work, statement: Watched) => void
}

/** How the steps ended: a report for each, and the error that stopped them. */
export interface RunResult {
  readonly steps: readonly StepReport[]
  readonly error: MigrationError | null
}

/** Executes `steps` one after the other until one fails. */
export function runSteps(session: Session, steps: readonly Work[], options: RunOptions): RunResult {
  const { atomic = false, onLine = () => {}, onStep = () => {}, onStatement = () => {} } = options
  const reports = steps.map((work) => reportOf(work))
  let clock = performance.now()
  const all = (execute: (session: Session, work: Work) => Done) => {
    for (const [place, work] of steps.entries()) {
      const tell = (step: StepReport) => {
        reports[place] = step
        onStep(step)
      }
      session.onStatement = (statement) => onStatement(work, statement)
      clock = performance.now()
      onLine(`${work.id} ${work.name}`)
      tell(reportOf(work, 'running'))
      tell({ ...reportOf(work), ...execute(session, work) })
    }
  }
  try {
    if (atomic) inTransaction(session.db, () => all(executeInside), session.standing)
    else all(executeStep)
    return { steps: reports, error: null }
  } catch (error) {
    return { steps: stopped(reports, atomic, performance.now() - clock), error: failure(error, 'internal') }
  }
}

/** The reports after a failure: the step that ran has failed; in one transaction, none before it has happened. */
function stopped(reports: readonly StepReport[], atomic: boolean, sinceStep: number): StepReport[] {
  const last = reports.findLastIndex(({ status }) => status !== 'not-run')
  return reports.map((one, place) => {
    if (place > last) return one
    if (place === last)
      return {
        ...one,
        status: 'failed',
        durationMs: one.durationMs ?? rounded(sinceStep),
      }
    return atomic ? { ...one, status: 'not-run', statements: null, durationMs: null } : one
  })
}

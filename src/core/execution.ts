import type { Decide, Engine, EngineEvent, Order, Outcome } from './engine.ts'
import { MigrationError } from './errors.ts'
import { currentOf, type History } from './history.ts'
import type { Life } from './known.ts'
import type { Directory, Run, StepReport } from './migration.ts'
import { reportOf, setReport } from './outcome.ts'
import { plan } from './plan.ts'
import { refuseMoved } from './refusals.ts'
import { endedRun, idleRun, orderOf, type RunRequest } from './run.ts'
import type { RunEvent } from './runs.ts'

/** What a plan is made of. */
export interface Seen {
  readonly directory: Directory
  readonly history: History
}

/** A run whose turn it is. */
export interface Execution {
  readonly engine: Engine
  readonly life: Life
  readonly asked: RunRequest
  /** Called when it has the database. */
  readonly begin: () => void
  readonly hear: (event: RunEvent) => void
  readonly now: () => Date
  /** What is left to wait for a run of another process, in milliseconds. */
  readonly waitMs: number
  /** What was seen just now; `null` where that is too long ago. */
  readonly seen: Seen | null
  readonly see: () => Promise<Seen>
}

/** Makes the run. Gives how it ended; throws, with the run, when it did not end well. */
export async function execute(execution: Execution): Promise<Run> {
  const { engine, life, asked, waitMs, now } = execution
  const { request, manner } = asked
  const conduct = { hear: hearer(execution), stop: life.stop.signal }
  const order: Order = { ...orderOf(life.run, asked), waitMs }
  if (request.kind === 'restore') {
    const agree = ({ applied }: History) => refuseMoved(applied, request.from)
    return told(execution, await engine.restore(order, request.backup, agree, conduct))
  }
  // While another process makes a run, what is seen now says nothing of this one's turn.
  const quiet = execution.seen !== null || manner === 'rehearsal' || (await engine.running()) === null
  const { directory, history } = execution.seen ?? (await execution.see())
  const decide: Decide = (history) => {
    const steps = plan(directory, history, request)
    const from = currentOf(history.applied)
    if (life.run.status === 'running') life.run = { ...life.run, from, steps: steps.map((step) => reportOf(step)) }
    return steps
  }
  if (quiet && decide(history).length === 0) return idleRun(life.run, currentOf(history.applied), now())
  const outcome = await (manner === 'rehearsal'
    ? engine.rehearse(order, decide, conduct)
    : engine.execute(order, decide, conduct))
  return told(execution, outcome)
}

/** Keeps the run as it goes along, and tells of it. */
function hearer({ life, begin, hear }: Execution): (event: EngineEvent) => void {
  const steps: StepReport[] = []
  return (event) => {
    if (event.type === 'claimed') {
      begin()
      life.run = { ...life.run, status: 'running', startedAt: event.startedAt }
      return
    }
    if (event.type === 'begun') {
      steps.push(...event.steps)
      life.run = { ...life.run, startedAt: event.startedAt, from: event.from, steps }
      return hear({ type: 'begun', run: life.run })
    }
    if (event.type === 'step') setReport(steps, event.step)
    hear({ ...event, run: life.run })
  }
}

/** Gives a run that ended well; throws the error of one that did not, with the run. */
function told({ life, hear, now }: Execution, outcome: Outcome): Run {
  if (outcome.startedAt === null) return idleRun(life.run, outcome.to, now())
  const run = endedRun(life.run, outcome)
  const { error } = outcome
  // Whoever was ended in the middle of a step could not say so.
  for (const step of run.steps) if (step.status === 'failed') hear({ type: 'step', run, step })
  hear(error === null ? { type: 'ended', run } : { type: 'ended', run, error })
  if (error === null) return run
  throw new MigrationError(error.code, error.message, { ...error.details, run }, { cause: error.cause })
}

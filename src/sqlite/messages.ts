import type { Order } from '../core/engine.ts'
import type { RunError } from '../core/errors.ts'
import type { SchemaChanges, Step, StepReport } from '../core/migration.ts'

/** What the parent says to a runner: first a claim, then what to do with it. */
export type ToRunner =
  | {
      readonly type: 'claim'
      readonly database: string
      readonly lockTimeoutMs: number
      readonly waitMs: number
    }
  | {
      readonly type: 'run'
      readonly run: RunRow
      readonly steps: readonly Step[]
    }
  | {
      readonly type: 'settle'
      readonly run: RunRow
      readonly steps: readonly Step[]
      readonly known: Known
    }
  | { readonly type: 'leave' }

/** A row of `migration_runs`, as far as it is known before the first step. */
export type RunRow = Omit<Order, 'waitMs'>

/** What the parent has heard of a run whose runner has died. */
export interface Known {
  readonly startedAt: string
  readonly from: number | null
  readonly reports: readonly StepReport[]
  /** The schema before the run; `null` when the runner died before it said so. */
  readonly before: Readonly<Record<string, string>> | null
  readonly error: RunError
}

/** What a runner says. After `result` it has let go of everything. */
export type FromRunner =
  | { readonly type: 'claimed' }
  | { readonly type: 'busy' }
  | {
      readonly type: 'begun'
      readonly startedAt: string
      readonly from: number | null
      readonly before: Readonly<Record<string, string>>
    }
  | { readonly type: 'step'; readonly step: StepReport }
  | { readonly type: 'statement'; readonly line: number; readonly text: string }
  | { readonly type: 'result'; readonly result: RunnerResult }
  | { readonly type: 'refused'; readonly error: RunError }

export interface RunnerResult {
  readonly steps: readonly StepReport[]
  readonly from: number | null
  readonly to: number | null
  readonly schemaChanges: SchemaChanges
  readonly error: RunError | null
  readonly startedAt: string
  readonly finishedAt: string
  readonly durationMs: number
}

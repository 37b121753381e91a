import type { Order } from '../core/engine.ts'
import type { RunError } from '../core/errors.ts'
import type { RowCount, SchemaChanges, StatementReport, Step, StepReport } from '../core/migration.ts'
import type { Objects } from './schema-changes.ts'

/** Where backups are kept, and how many; 0 = none are made. */
export interface BackupPlace {
  readonly folder: string
  readonly keep: number
}

/** What a runner that has its claim is given to do. */
export type Assignment =
  | {
      readonly type: 'run'
      readonly run: RunRow
      readonly steps: readonly Step[]
      readonly backups: BackupPlace
    }
  /** The claim is the copy's, which is made of `source`. */
  | {
      readonly type: 'rehearse'
      readonly run: RunRow
      readonly steps: readonly Step[]
      readonly source: string
    }
  | {
      readonly type: 'restore'
      readonly run: RunRow
      readonly steps: readonly []
      readonly name: string
      readonly backups: BackupPlace
    }

/** What the parent says to a runner: first a claim, then what to do with it. */
export type ToRunner =
  | {
      readonly type: 'claim'
      readonly database: string
      readonly lockTimeoutMs: number
      readonly waitMs: number
    }
  | Assignment
  /**
   * Read back what a run has done, or record the end that it `told` and could not record. Needs no claim: the run is the
   * parent's own, and whoever has the lock by now must not delay the truth.
   */
  | {
      readonly type: 'settle'
      readonly database: string
      readonly lockTimeoutMs: number
      readonly run: RunRow
      readonly steps: readonly Step[]
      readonly known: Known
      readonly told: RunnerResult | null
      readonly backups: BackupPlace
    }
  /** Complete the record of what died here, and remove what it left. */
  | { readonly type: 'recover'; readonly backups: BackupPlace }
  /** Remove a copy whose rehearsal died; the claim is the copy's. */
  | { readonly type: 'sweep' }
  | { readonly type: 'leave' }

/** A row of `migration_runs`, as far as it is known before the first step. */
export type RunRow = Omit<Order, 'waitMs'>

/** What the parent has heard of a run whose runner has died. */
export interface Known {
  readonly startedAt: string
  readonly from: number | null
  readonly reports: readonly StepReport[]
  /** The schema before the run; `null` when the runner died before it said so. */
  readonly before: Objects | null
  readonly backup: string | null
  readonly error: RunError
}

/** How a run ended, and whether the record has it; else that is to be tried again. */
export interface Told {
  readonly result: RunnerResult
  readonly recorded: boolean
}

/** What of a step is told while it is made: its id, its status, its statements and its duration in milliseconds. */
export type ToldStep = readonly [
  id: number,
  status: StepReport['status'],
  statements: number | null,
  durationMs: number | null,
]

/** What a runner says. After `result`, `swept` and `refused` it has let go of everything. */
export type FromRunner =
  | { readonly type: 'claimed'; readonly startedAt: string }
  | { readonly type: 'busy' }
  | {
      readonly type: 'begun'
      readonly startedAt: string
      readonly from: number | null
      readonly before: Objects
      readonly backup: string | null
    }
  | { readonly type: 'steps'; readonly steps: readonly ToldStep[] }
  | { readonly type: 'statement'; readonly statement: StatementReport }
  /** How a run that has failed has ended, before its end is recorded, which may have to wait for an application. */
  | { readonly type: 'ending'; readonly result: RunnerResult }
  | ({ readonly type: 'result' } & Told)
  | { readonly type: 'swept' }
  | { readonly type: 'refused'; readonly error: RunError }

export interface RunnerResult {
  readonly steps: readonly StepReport[]
  readonly from: number | null
  readonly to: number | null
  readonly schemaChanges: SchemaChanges
  readonly error: RunError | null
  readonly backup: string | null
  readonly rowCounts?: readonly RowCount[]
  readonly warnings?: readonly string[]
  readonly startedAt: string
  readonly finishedAt: string
  /** `null` of a run that was found dead. */
  readonly durationMs: number | null
}

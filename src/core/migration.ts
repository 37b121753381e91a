import type { RunError } from './errors.ts'

export type Direction = 'up' | 'down'

/** What is to be executed for one direction of a migration. */
export type Source =
  /** `text` is run verbatim, less one byte-order mark. */
  | { readonly kind: 'sql'; readonly file: string; readonly text: string }
  /** The exported function `up` or `down` of the module at `path`, whose bytes must still hash to `sha256`. */
  | {
      readonly kind: 'code'
      readonly file: string
      readonly path: string
      readonly sha256: string
      readonly text: string
    }

/** A migration as the directory holds it. */
export interface Migration {
  readonly id: number
  readonly name: string
  readonly kind: 'sql' | 'code'
  /** `sha256:<hex>` over the up source, line ends as LF, without a byte-order mark. */
  readonly checksum: string
  readonly up: Source
  readonly down: (Source & { readonly name: string }) | null
}

export const PROBLEM_CODES = [
  'no-directory',
  'no-migrations',
  'bad-name',
  'gap',
  'duplicate-id',
  'orphan-down',
  'empty',
  'unreadable',
  'not-a-file',
  'too-large',
  'bad-text',
] as const

/** Something in the directory for which every change is refused. */
export interface Problem {
  readonly code: (typeof PROBLEM_CODES)[number]
  /** A name inside the directory; for the directory itself, its path as configured. */
  readonly file: string
  readonly message: string
}

/** The directory at one moment. The same object is given for as long as nothing in it changes. */
export interface Directory {
  /** In the order of their ids; with a problem, those that could be read. */
  readonly migrations: readonly Migration[]
  readonly problems: readonly Problem[]
}

/** A migration as the database remembers it: a row of `migrations`, with what `migration_log` knows of it. */
export interface Applied {
  readonly id: number
  readonly name: string
  /** `YYYY-MM-DD HH:MM:SS`, UTC, as it stands in the table. */
  readonly insertedAt: string
  /** The checksum of the up source that was applied; `null` where no log knows it. */
  readonly checksum: string | null
  /** The log keeps a down SQL for it. */
  readonly keptDown: boolean
  readonly durationMs: number | null
  readonly appliedBy: string | null
}

export type StepStatus = 'done' | 'failed' | 'skipped' | 'not-run' | 'running' | 'recorded'

/** A migration with a direction: what a run executes, whole or not at all. */
export interface Step {
  readonly id: number
  readonly name: string
  readonly direction: Direction
  /** `null`: of a down, the SQL that the log kept when the migration was applied; of an up, that it is only recorded. */
  readonly source: Source | null
  readonly checksum: string | null
  /** The SQL to keep in the log, so that an image without this migration can undo it. */
  readonly keep: string | null
}

/** A step as it is told. */
export interface StepReport {
  readonly id: number
  readonly name: string
  readonly direction: Direction
  readonly status: StepStatus
  readonly statements: number | null
  readonly durationMs: number | null
}

/** A statement that is being executed. */
export interface StatementReport {
  /** Of its migration. */
  readonly id: number
  /** The how-manieth of its step. */
  readonly n: number
  /** Where in the file it begins, from 1; `null` in a code module. */
  readonly line: number | null
  /** Its first 200 characters: it may hold data. */
  readonly text: string
  /** How long its step had run when it began to be executed, or a little later. */
  readonly elapsedMs: number
}

export const RUN_KINDS = ['migrate', 'rollback', 'baseline', 'repair', 'restore'] as const
export type RunKind = (typeof RUN_KINDS)[number]

export const RUN_STATUSES = [
  'queued',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'timed-out',
  'interrupted',
  'planned',
] as const
export type RunStatus = (typeof RUN_STATUSES)[number]

export interface SchemaChanges {
  /** Each as `table cats`, `index cats_name`, … */
  readonly created: readonly string[]
  readonly dropped: readonly string[]
  readonly altered: readonly string[]
}

/** How many rows a table had before and after; `null` where it does not exist. */
export interface RowCount {
  readonly table: string
  readonly before: number | null
  readonly after: number | null
  /** Of a restore: the rows that are gone, or are others now; `null` where the table was another. */
  readonly lost?: number | null
}

/** A copy of the database from before a run. */
export interface Backup {
  readonly name: string
  /** ISO 8601, UTC. */
  readonly createdAt: string
  readonly bytes: number
  /** The highest applied id in it; `null` where there is none, or nobody has said so. */
  readonly current: number | null
  /** The run that it was made for; `null` of a file that was put there by somebody else. */
  readonly runId: string | null
}

/** One change, as it is told. */
export interface Run {
  /** UUIDv7. */
  readonly id: string
  readonly kind: RunKind
  readonly status: RunStatus
  readonly rehearsal: boolean
  readonly atomic: boolean
  /** The current id before the run, `null` where nothing was applied. */
  readonly from: number | null
  /** The current id after it. */
  readonly to: number | null
  readonly steps: readonly StepReport[]
  readonly schemaChanges: SchemaChanges
  readonly error: RunError | null
  /** Of a rehearsal and of a restore. */
  readonly rowCounts?: readonly RowCount[]
  /** Of a rehearsal: what a person should look at before it is done in earnest. */
  readonly warnings?: readonly string[]
  /** The name of the backup that was made before it. */
  readonly backup: string | null
  readonly actor: string
  readonly requestId: string
  /** ISO 8601, UTC. */
  readonly createdAt: string
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly durationMs: number | null
}

/** The run that holds the database. */
export interface Running {
  readonly id: string
  readonly kind: RunKind
  readonly startedAt: string
  readonly actor: string
}

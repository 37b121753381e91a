import type { MigrationError } from './errors.ts'
import type { History } from './history.ts'
import type {
  Backup,
  RowCount,
  Run,
  RunKind,
  Running,
  SchemaChanges,
  StatementReport,
  Step,
  StepReport,
} from './migration.ts'

/** What the record says of a run, beside its steps. */
export interface Order {
  readonly id: string
  readonly kind: RunKind
  /** As they were asked for; kept in the record. */
  readonly parameters: Readonly<Record<string, unknown>>
  /** All steps, or none. */
  readonly atomic: boolean
  readonly actor: string
  readonly requestId: string
  /** ISO 8601, UTC. */
  readonly createdAt: string
  /** How long to wait for the run of another process, in milliseconds; 0 = not at all. */
  readonly waitMs: number
}

/** What one execution needs of its caller. */
export interface Conduct {
  /** Hears what happens, in order. */
  readonly hear: (event: EngineEvent) => void
  /** Ends the execution: before it has begun it is given up, after that killed and rolled back. The reason is the error. */
  readonly stop: AbortSignal
}

/**
 * Called once, when no other run can change the database any more, with the state as it is then: the steps to execute.
 * What it throws ends the execution, with nothing written.
 */
export type Decide = (history: History) => readonly Step[]

export type EngineEvent =
  /** The database is ours, since `startedAt`, and nothing is written yet. */
  | { readonly type: 'claimed'; readonly startedAt: string }
  /** There are steps to do: from here on there is a record of the run. */
  | {
      readonly type: 'begun'
      readonly startedAt: string
      readonly from: number | null
      readonly steps: readonly StepReport[]
    }
  | { readonly type: 'step'; readonly step: StepReport }
  /** It is about to be executed, or is being executed: not all are told, and no more than ten in a second. */
  | { readonly type: 'statement'; readonly statement: StatementReport }
  /** What a code module printed. */
  | { readonly type: 'output'; readonly line: string }

export type Patience = 'immediate' | 'patient'

/** How an execution ended, as the record has it. */
export interface Outcome {
  readonly steps: readonly StepReport[]
  readonly from: number | null
  readonly to: number | null
  readonly schemaChanges: SchemaChanges
  readonly error: MigrationError | null
  /** The name of the backup that was made before it; `null` where none was, or nothing came of the run. */
  readonly backup: string | null
  readonly rowCounts?: readonly RowCount[]
  readonly warnings?: readonly string[]
  /** ISO 8601, UTC; `null` where there was nothing to do. */
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly durationMs: number | null
}

/**
 * What a database must promise. It is handed whole steps and answers for each: there is no begin and no commit here, since
 * not every engine has sessions. All of it is required; there is no `ping`, because `check` says more, and no `lock`, because
 * a lock that its holder must give back can be left behind.
 */
export interface Engine {
  /**
   * The history as it was committed last. The same object is given for as long as nothing has changed. Creates nothing: a
   * database that does not exist has an empty history. `immediate` waits for nobody; `patient` waits for an application that
   * keeps readers out, as long as a run would.
   *
   * @throws MigrationError `database-locked` or `database-unavailable`.
   */
  read(patience: Patience): Promise<History>

  /** The run that holds the database at this moment, whichever process began it; `'unknown'` until it has said who it is. */
  running(): Promise<Running | 'unknown' | null>

  /**
   * The SQL of the schema as it was committed last, without what only keeps the record: statements with their semicolons, in
   * an order in which an empty database takes them, and the same for the same schema however it came about.
   *
   * @throws MigrationError as `read` does.
   */
  schema(): Promise<readonly string[]>

  /** The down SQL that was kept when migration `id` was applied; `null` where none was. */
  keptDown(id: number): Promise<string | null>

  /**
   * Executes the steps that `decide` wants while no other run of any process can begin. Each step is committed together
   * with its record, or has not happened. Those of a baseline and of a repair are recorded and not run, all or none.
   * Nothing to do writes nothing. Before the first step there is a backup, where backups are kept.
   *
   * @throws MigrationError `change-in-progress` when another process held the database until `waitMs` was over; what
   * `decide` throws; the reason of `conduct.stop` before the run has begun; `insufficient-storage` when no backup could be
   * made. Whatever happens later is in the outcome.
   */
  execute(order: Order, decide: Decide, conduct: Conduct): Promise<Outcome>

  /**
   * Executes the steps on a copy, which is gone afterwards: nothing is recorded, and a run may change the database
   * meanwhile. One rehearsal at a time. Tells the rows of each table before and after.
   *
   * @throws MigrationError as `execute` does; `insufficient-storage` when the copy does not fit.
   */
  rehearse(order: Order, decide: Decide, conduct: Conduct): Promise<Outcome>

  /**
   * Puts what the backup `name` holds in the place of what is there, whole or not at all, as a run with a backup of its own.
   * The log and the runs made since are carried over. Whoever has the database open sees the restored state. `agree` is
   * asked as `decide` is; it only refuses.
   *
   * @throws MigrationError as `execute` does; `not-found` without such a backup; `invalid-request` or `foreign-table` for a
   * file that is no copy of this database.
   */
  restore(order: Order, name: string, agree: (history: History) => void, conduct: Conduct): Promise<Outcome>

  /** Resolves when there is a backup `name`. @throws MigrationError `not-found`. */
  checkBackup(name: string): Promise<void>

  /** The backups that are there, the newest first. */
  backups(): Promise<readonly Backup[]>

  /**
   * At most `limit` runs that the record knows, the newest first, from below the id `before` on. A run that ended without a
   * word is told as interrupted, and never one that is alive in another process.
   */
  runs(limit: number, before: string | null): Promise<readonly Run[]>

  /** The run `id` as the record knows it. */
  run(id: string): Promise<Run | null>

  /**
   * Completes the record of runs that ended without a word, and removes what they left. Gives `false`, and does nothing, while
   * somebody makes a run, or is about to die in the middle of one: to be asked again.
   */
  recover(): Promise<boolean>

  /** Resolves when the database could be read and written. @throws MigrationError `database-unavailable`, naming the path. */
  check(): Promise<void>

  /** Leaves nothing behind: no process, no open file. No execution may be under way. */
  close(): Promise<void>
}

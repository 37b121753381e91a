import { type Static, type TSchema, Type } from 'typebox'
import { ERROR_CODES } from '../core/errors.ts'
import { PROBLEM_CODES, RUN_KINDS, RUN_STATUSES } from '../core/migration.ts'
import { MIGRATION_STATES, STATES } from '../core/status.ts'
import { ref } from './answer.ts'

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const words = <T extends readonly string[]>(all: T) => Type.Unsafe<T[number]>({ type: 'string', enum: [...all] })
const time = Type.String({ format: 'date-time' })

/** The integers of a query. They stay strings for the validator: Ajv's coercion would take `0x10` and ` 3 `. */
export const requiredInteger = (description: string) =>
  Type.String({ pattern: '^(-1|0|[1-9][0-9]{0,8})$', description })
export const integer = (description: string) => Type.Optional(requiredInteger(description))
export const flag = (description: string) =>
  Type.Optional(
    Type.Unsafe<'true' | 'false'>({
      type: 'string',
      enum: ['true', 'false'],
      description,
    }),
  )

export const Running = Type.Object(
  {
    id: Type.String(),
    kind: words(RUN_KINDS),
    startedAt: time,
    actor: Type.String(),
  },
  { $id: 'Running' },
)

export const DirectoryProblem = Type.Object(
  {
    code: words([...PROBLEM_CODES, 'history-gap', 'foreign-table'] as const),
    file: nullable(Type.String()),
    message: Type.String(),
  },
  { $id: 'DirectoryProblem' },
)

export const Migration = Type.Object(
  {
    id: Type.Integer({ minimum: 0 }),
    name: Type.String(),
    state: words(MIGRATION_STATES),
    kind: nullable(words(['sql', 'code'] as const)),
    reversible: Type.Boolean({
      description: 'A rollback exists, in the directory or in the log',
    }),
    checksum: nullable(Type.String({ description: '`sha256:` and the hash of the up source' })),
    appliedAt: nullable(time),
    durationMs: nullable(Type.Number()),
    appliedBy: nullable(Type.String()),
  },
  { $id: 'Migration' },
)

export const MigrationSource = Type.Object(
  {
    ...Migration.properties,
    up: nullable(Type.String({ description: 'Its source text' })),
    down: nullable(Type.String({ description: 'The source text of its rollback' })),
  },
  { $id: 'MigrationSource' },
)

export const Migrations = Type.Object(
  {
    current: nullable(Type.Integer({ minimum: 0, description: 'The highest applied id' })),
    latest: nullable(
      Type.Integer({
        minimum: 0,
        description: 'The highest id of the directory',
      }),
    ),
    pending: Type.Integer({ minimum: 0 }),
    state: words(STATES),
    running: nullable(ref(Running)),
    stale: Type.Optional(
      Type.Literal(true, {
        description: 'The database cannot be read just now; this is what it last said',
      }),
    ),
    problems: Type.Array(ref(DirectoryProblem)),
    migrations: Type.Array(ref(Migration)),
  },
  { $id: 'Migrations' },
)

const RowCount = Type.Object(
  {
    table: Type.String(),
    before: nullable(Type.Integer()),
    after: nullable(Type.Integer()),
    lost: Type.Optional(
      nullable(Type.Integer({ description: 'Of a restore: rows that are gone or others; null for another table' })),
    ),
  },
  { $id: 'RowCount', description: 'null where the table does not exist' },
)

/** What is known of an error beside its sentence, each where it applies: `ErrorDetails`, as far as it is relied upon. */
const details = {
  id: Type.Optional(Type.Integer({ description: 'The migration' })),
  name: Type.Optional(Type.String()),
  direction: Type.Optional(words(['up', 'down'] as const)),
  file: Type.Optional(nullable(Type.String())),
  line: Type.Optional(nullable(Type.Integer({ minimum: 1 }))),
  statement: Type.Optional(nullable(Type.String({ description: 'Its first 200 characters' }))),
  sqlite: Type.Optional(nullable(Type.String({ description: 'The code of SQLite, such as `SQLITE_CONSTRAINT`' }))),
  violations: Type.Optional(
    Type.Array(
      Type.Object({
        table: Type.String(),
        rowid: Type.Union([Type.Integer(), Type.String(), Type.Null()], {
          description: 'As text where JSON cannot hold it',
        }),
        parent: Type.String(),
      }),
    ),
  ),
  migrations: Type.Optional(Type.Array(Type.Object({ id: Type.Integer(), name: Type.String() }))),
  current: Type.Optional(nullable(Type.Integer({ description: 'The current id' }))),
  table: Type.Optional(Type.String()),
  reason: Type.Optional(words(ERROR_CODES)),
}

const RunError = Type.Object(
  { code: words(ERROR_CODES), message: Type.String(), ...details },
  { $id: 'RunError', additionalProperties: true, description: 'What else is there depends on the code' },
)

const Step = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    direction: words(['up', 'down'] as const),
    status: words(['done', 'failed', 'skipped', 'not-run', 'running', 'recorded'] as const),
    statements: nullable(Type.Integer()),
    durationMs: nullable(Type.Number()),
  },
  { $id: 'Step' },
)

export const Run = Type.Object(
  {
    id: Type.String({ description: 'A UUIDv7' }),
    kind: words(RUN_KINDS),
    status: words(RUN_STATUSES),
    rehearsal: Type.Boolean(),
    atomic: Type.Boolean(),
    from: nullable(Type.Integer()),
    to: nullable(Type.Integer()),
    steps: Type.Array(ref(Step)),
    schemaChanges: Type.Object({
      created: Type.Array(Type.String()),
      dropped: Type.Array(Type.String()),
      altered: Type.Array(Type.String()),
    }),
    error: nullable(ref(RunError)),
    rowCounts: Type.Optional(Type.Array(ref(RowCount), { description: 'Of a rehearsal and of a restore' })),
    warnings: Type.Optional(Type.Array(Type.String(), { description: 'Of a rehearsal: what to look at before' })),
    backup: nullable(Type.String({ description: 'The name of the backup that was made before it' })),
    actor: Type.String(),
    requestId: Type.String(),
    createdAt: time,
    startedAt: nullable(time),
    finishedAt: nullable(time),
    durationMs: nullable(Type.Number()),
  },
  { $id: 'Run' },
)

export const RunList = Type.Object(
  {
    runs: Type.Array(ref(Run)),
    next: nullable(Type.String({ description: 'Give this as `before` for the older ones' })),
  },
  { $id: 'RunList' },
)

export const Backup = Type.Object(
  {
    name: Type.String(),
    createdAt: time,
    bytes: Type.Integer({ minimum: 0 }),
    current: nullable(Type.Integer({ minimum: 0, description: 'The highest applied id in it' })),
    runId: nullable(Type.String({ description: 'The run before which it was made' })),
  },
  { $id: 'Backup' },
)

export const Backups = Type.Object({ backups: Type.Array(ref(Backup)) }, { $id: 'Backups' })

/** RFC 9457. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: '`/problems/` and the code' }),
    title: Type.String(),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    detail: Type.String({ description: 'What, which one, and what to do' }),
    instance: Type.String(),
    code: words(ERROR_CODES),
    retryable: Type.Boolean(),
    run: Type.Optional(ref(Run)),
    problems: Type.Optional(Type.Array(ref(DirectoryProblem))),
    running: Type.Optional(nullable(ref(Running))),
    ...details,
  },
  { $id: 'Problem', additionalProperties: true },
)

export type ProblemDocument = Static<typeof Problem>

/** What the document tells once and refers to by name. */
export const SHARED = [
  Backup,
  Backups,
  Migration,
  MigrationSource,
  Migrations,
  DirectoryProblem,
  Problem,
  RowCount,
  Run,
  RunError,
  RunList,
  Running,
  Step,
] as const

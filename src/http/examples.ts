import type { CurrentStatus } from '../core/current-status.ts'
import { ERROR_CODES } from '../core/errors.ts'
import type { Run } from '../core/migration.ts'
import type { MigrationStatus } from '../core/status.ts'
import {
  asQueued,
  BASELINED,
  IDLE,
  MIGRATED,
  NOTES_ADDED,
  PLANNED,
  PLANNED_ROLLBACK,
  REHEARSED,
  REPAIRED,
  RESTORED,
  ROLLED_BACK,
  RUNNING,
} from './example-runs.ts'
import { LINKS } from './links.ts'
import { exampleOf } from './problem-example.ts'
import { FURTHER_EXAMPLES, PROBLEMS, type ProblemExampleName } from './problem-list.ts'
import { listHtml, listText, pageHtml, pageText } from './problem-page.ts'
import { codeOf } from './refusals.ts'

const INIT: MigrationStatus = {
  id: 0,
  name: 'init_db',
  state: 'applied',
  kind: 'sql',
  reversible: false,
  checksum: 'sha256:2ec352bc7321ee8862332e09b3cf76f3b7e28fb88c1e422523fab55d9dfbc836',
  appliedAt: '2026-11-23T08:51:44Z',
  durationMs: 2.627,
  appliedBy: 'ci',
}
const ADOPTIONS: MigrationStatus = {
  ...INIT,
  id: 1,
  name: 'add_adoptions',
  reversible: true,
  checksum: 'sha256:c1263b7b24e127fc580bc666f9a0e932d70b1aee4eaea09f5f1442e59d514597',
  durationMs: 1.165,
}
const NOTES: MigrationStatus = {
  id: 2,
  name: 'add_notes',
  state: 'pending',
  kind: 'sql',
  reversible: true,
  checksum: 'sha256:10249abf4852317dbf7f5080516a454eb73e35a43d8aa17f2db6de0a2aa4dd07',
  appliedAt: null,
  durationMs: null,
  appliedBy: null,
}
const PENDING: CurrentStatus['status'] & { running: CurrentStatus['running'] } = {
  current: 1,
  latest: 2,
  pending: 1,
  state: 'pending',
  running: null,
  problems: [],
  migrations: [INIT, ADOPTIONS, NOTES],
}
const GAP = {
  code: 'gap',
  file: '0004_add_vets.up.sql',
  message: 'migration 3 is missing before 0004_add_vets.up.sql; the ids must be 0, 1, 2, … without a gap',
} as const

const ADOPTIONS_SQL =
  'CREATE TABLE adoptions (cat_id INTEGER PRIMARY KEY REFERENCES cats (id), adopter TEXT NOT NULL) STRICT;\n'
const SCHEMA = `${ADOPTIONS_SQL}CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\nCREATE TABLE notes (id INTEGER PRIMARY KEY, cat_id INTEGER NOT NULL REFERENCES cats (id), body TEXT NOT NULL) STRICT;\n`

const backup = (run: Run, createdAt: string, bytes: number) => ({
  name: run.backup,
  createdAt,
  bytes,
  current: run.from,
  runId: run.id,
})

const METRICS = `# HELP schemad_schema_version The highest applied id; -1 where nothing is applied
# TYPE schemad_schema_version gauge
schemad_schema_version 2

# HELP schemad_migrations_pending Migrations that are not applied
# TYPE schemad_migrations_pending gauge
schemad_migrations_pending 0

# HELP schemad_runs_total Runs of this process that had steps to do, by how they ended
# TYPE schemad_runs_total counter
schemad_runs_total{kind="migrate",status="succeeded"} 2
schemad_runs_total{kind="migrate",status="failed"} 0
`

const event = (name: string, id: number | 'end', data: unknown) =>
  `event: ${name}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`
const { id, name, direction } = { id: 2, name: 'burn_notes', direction: 'down' }
const statement = { id, n: 1, line: 1, text: 'DROP TABLE notes;', elapsedMs: 0.184 }
const EVENTS = [
  event('run', 1, RUNNING),
  event('statement', 2, statement),
  event('step', 3, { id, name, direction, status: 'done', durationMs: 3.91 }),
  event('end', 'end', ROLLED_BACK),
].join('')

/** The examples of the answers that are no problems, by their names: a shelter's three migrations and what becomes of them. */
export const EXAMPLES = {
  pending: { summary: 'A migration is pending', value: PENDING },
  'pending-text': {
    summary: 'A migration is pending',
    value:
      '[X] 0000 init_db  2026-11-23 08:51:44\n[X] 0001 add_adoptions  2026-11-23 08:51:44\n[ ] 0002 add_notes\n\nApplied: 2\nPending: 1\n',
  },
  rolling: {
    summary: 'A rollback is under way',
    value: {
      ...PENDING,
      current: 2,
      pending: 0,
      state: 'up-to-date',
      running: { id: RUNNING.id, kind: RUNNING.kind, startedAt: RUNNING.startedAt, actor: RUNNING.actor },
      migrations: [
        INIT,
        ADOPTIONS,
        { ...NOTES, state: 'applied', appliedAt: '2026-11-23T09:12:03Z', durationMs: 3.101, appliedBy: 'ci' },
      ],
    },
  },
  invalid: {
    summary: 'A file is missing',
    value: { ...PENDING, state: 'invalid', problems: [GAP] },
  },
  migration: {
    summary: 'An applied one, with its rollback',
    value: {
      ...ADOPTIONS,
      up: `${ADOPTIONS_SQL}INSERT INTO adoptions (cat_id, adopter) VALUES (1, 'Ada');\n`,
      down: 'DROP TABLE adoptions;\n',
    },
  },
  migrated: { summary: 'Two migrations were applied', value: MIGRATED },
  'migrated-text': { summary: 'Two migrations were applied', value: '0 init_db\n1 add_adoptions\n' },
  idle: { summary: 'There was nothing to do', value: IDLE },
  'idle-text': { summary: 'There was nothing to do', value: '' },
  planned: { summary: 'A plan, by dryRun=true', value: PLANNED },
  rehearsed: { summary: 'A rehearsal, by rehearse=true', value: REHEARSED },
  'notes-added': { summary: 'A migration was applied, with a backup before it', value: NOTES_ADDED },
  'rolled-back': { summary: 'A migration was rolled back', value: ROLLED_BACK },
  'rolled-back-text': { summary: 'A migration was rolled back', value: '2 burn_notes\n' },
  'rollback-planned': { summary: 'A plan, by dryRun=true', value: PLANNED_ROLLBACK },
  baselined: { summary: 'Two migrations were recorded', value: BASELINED },
  repaired: { summary: 'A migration was recorded as its file is now', value: REPAIRED },
  'repaired-text': { summary: 'A migration was recorded as its file is now', value: '1 add_adoptions\n' },
  restored: { summary: 'A backup was put in place, and nothing was lost', value: RESTORED },
  'restored-text': { summary: 'A restore has no steps', value: '' },
  'migrate-accepted': { summary: 'It waits for its turn', value: asQueued(MIGRATED) },
  'migrate-accepted-text': { summary: 'It waits for its turn', value: `${MIGRATED.id} queued\n` },
  'rollback-accepted': { summary: 'It is its turn', value: RUNNING },
  'rollback-accepted-text': { summary: 'It is its turn', value: `${RUNNING.id} running\n` },
  'baseline-accepted': { summary: 'It waits for its turn', value: asQueued(BASELINED) },
  'repair-accepted': { summary: 'It waits for its turn', value: asQueued(REPAIRED) },
  'repair-accepted-text': { summary: 'It waits for its turn', value: `${REPAIRED.id} queued\n` },
  'restore-accepted': { summary: 'It waits for its turn', value: asQueued(RESTORED) },
  'restore-accepted-text': { summary: 'It waits for its turn', value: `${RESTORED.id} queued\n` },
  running: { summary: 'It was running', value: RUNNING },
  runs: { summary: 'The last two of four', value: { runs: [RESTORED, ROLLED_BACK], next: ROLLED_BACK.id } },
  'no-runs': { summary: 'There were none yet', value: { runs: [], next: null } },
  events: { summary: 'A rollback from its beginning to its end', value: EVENTS },
  backups: {
    summary: 'Two backups',
    value: {
      backups: [
        backup(ROLLED_BACK, '2026-11-23T09:14:12.012Z', 28_672),
        backup(NOTES_ADDED, '2026-11-23T09:12:03.295Z', 24_576),
      ],
    },
  },
  schema: {
    summary: 'Three tables',
    value: {
      sql: SCHEMA,
      checksum: 'sha256:bc00d2e76eaee18f6a337b83577b1b8d42326484d44ce12512b7725715ecc2b1',
    },
  },
  'schema-text': { summary: 'Three tables', value: SCHEMA },
  metrics: { summary: 'An excerpt', value: METRICS },
  links: linksExample(''),
  'problems-text': { summary: 'All of them', value: listText() },
  'problems-html': { summary: 'All of them, for a browser', value: listHtml() },
  'problem-text': { summary: 'One of them', value: pageText('change-in-progress') },
  'problem-html': { summary: 'One of them, for a browser', value: pageHtml('change-in-progress') },
  serving: { summary: 'All is well', value: { status: 'ok' } },
  'schema-pending': {
    summary: 'A migration is pending, asked with schema=current',
    value: { reason: 'schema-pending', detail: '1 migration is pending' },
  },
  'not-available': {
    summary: 'The database cannot be used',
    value: {
      reason: 'database-unavailable',
      detail: '/data/app.db is no file that can be read and written; mend its permissions or its mount',
    },
  },
} as const

/** The example of `GET /`, by a service of this version. */
export function linksExample(version: string) {
  return { summary: 'The links', value: { name: 'schemad', version, links: LINKS } }
}

export type ExampleName = keyof typeof EXAMPLES

/** An example for each problem code, and more where operations are refused otherwise by it. */
export const PROBLEM_EXAMPLES = Object.fromEntries(
  [...ERROR_CODES, ...further()].map((name) => [
    name,
    { summary: PROBLEMS[codeOf(name)].title, ...adviceOf(name), value: exampleOf(name) },
  ]),
)

function further(): ProblemExampleName[] {
  return Object.keys(FURTHER_EXAMPLES) as (keyof typeof FURTHER_EXAMPLES)[]
}

function adviceOf(name: ProblemExampleName): { description?: string } {
  const code = codeOf(name)
  return name === code ? { description: `${PROBLEMS[code].cause} ${PROBLEMS[code].remedy}` } : {}
}

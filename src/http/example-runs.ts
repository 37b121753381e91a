import type { Run } from '../core/migration.ts'

/** The first run of the examples, a migration by the pipeline of an animal shelter, with what is another in `changes`. */
export function exampleRun(changes: Partial<Run> = {}): Run {
  return { ...MIGRATED, ...changes }
}

export const MIGRATED: Run = {
  id: '01a2079a-a100-7756-873b-19054e8a71e8',
  kind: 'migrate',
  status: 'succeeded',
  rehearsal: false,
  atomic: false,
  from: null,
  to: 1,
  steps: [
    { id: 0, name: 'init_db', direction: 'up', status: 'done', statements: 2, durationMs: 2.627 },
    { id: 1, name: 'add_adoptions', direction: 'up', status: 'done', statements: 2, durationMs: 1.165 },
  ],
  schemaChanges: { created: ['table adoptions', 'table cats'], dropped: [], altered: [] },
  error: null,
  backup: null,
  actor: 'ci',
  requestId: '01a2079a-a0ff-756c-8957-d46738d90fe7',
  createdAt: '2026-11-23T08:51:44.000Z',
  startedAt: '2026-11-23T08:51:44.006Z',
  finishedAt: '2026-11-23T08:51:44.035Z',
  durationMs: 28.928,
}

const NOTES = { id: 2, name: 'add_notes', direction: 'up', status: 'done', statements: 1, durationMs: 3.101 } as const
const created = { created: ['table notes'], dropped: [], altered: [] }
const none = { created: [], dropped: [], altered: [] }
const unbegun = { schemaChanges: none, startedAt: null, durationMs: null }

/** The second: the notes. */
export const NOTES_ADDED = exampleRun({
  id: '01a207ad-3ab8-7182-b360-ad649c43995d',
  from: 1,
  to: 2,
  steps: [NOTES],
  schemaChanges: created,
  backup: 'app.db-41f2f299-20261123T091203295Z-1-01a207ad-3ab8-7182-b360-ad649c43995d.db',
  requestId: '01a207ad-3ab7-70a5-9d2f-ffba89dc8d40',
  createdAt: '2026-11-23T09:12:03.000Z',
  startedAt: '2026-11-23T09:12:03.283Z',
  finishedAt: '2026-11-23T09:12:03.320Z',
  durationMs: 37.442,
})

/** The third: the notes are undone. */
export const ROLLED_BACK = exampleRun({
  id: '01a207af-32a0-73fe-a2ea-ecdc86b62e08',
  kind: 'rollback',
  from: 2,
  to: 1,
  steps: [{ ...NOTES, name: 'burn_notes', direction: 'down', durationMs: 3.91 }],
  schemaChanges: { created: [], dropped: ['table notes'], altered: [] },
  backup: 'app.db-41f2f299-20261123T091412012Z-2-01a207af-32a0-73fe-a2ea-ecdc86b62e08.db',
  actor: 'ops',
  requestId: '01a207af-329f-7716-868f-f288b1d724f7',
  createdAt: '2026-11-23T09:14:12.000Z',
  startedAt: '2026-11-23T09:14:12.005Z',
  finishedAt: '2026-11-23T09:14:12.075Z',
  durationMs: 69.546,
})

/** The fourth: they are fetched back from the backup before that. */
export const RESTORED = exampleRun({
  id: '01a207b0-6350-75b9-af7b-7c9ab27655ce',
  kind: 'restore',
  atomic: true,
  from: 1,
  to: 2,
  steps: [],
  schemaChanges: created,
  backup: 'app.db-41f2f299-20261123T091530321Z-1-01a207b0-6350-75b9-af7b-7c9ab27655ce.db',
  actor: 'ops',
  requestId: '01a207b0-634f-7578-945e-acd8de0ccfac',
  createdAt: '2026-11-23T09:15:30.000Z',
  startedAt: '2026-11-23T09:15:30.310Z',
  finishedAt: '2026-11-23T09:15:30.358Z',
  durationMs: 47.798,
  rowCounts: [
    { table: 'adoptions', before: 1, after: 1, lost: 0 },
    { table: 'cats', before: 2, after: 2, lost: 0 },
    { table: 'notes', before: null, after: 0, lost: 0 },
  ],
})

export const IDLE = exampleRun({
  ...unbegun,
  id: '01a2079a-a8d0-7182-b360-ad649c439950',
  from: 1,
  steps: [],
  requestId: '01a2079a-a8cf-70a5-9d2f-ffba89dc8d41',
  createdAt: '2026-11-23T08:51:46.000Z',
  finishedAt: '2026-11-23T08:51:46.004Z',
})

export const PLANNED = exampleRun({
  ...IDLE,
  status: 'planned',
  from: 1,
  to: 2,
  steps: [{ ...NOTES, status: 'not-run', statements: null, durationMs: null }],
})

export const REHEARSED = exampleRun({
  ...NOTES_ADDED,
  id: '01a207ad-2330-773c-91db-3ef043005448',
  rehearsal: true,
  backup: null,
  requestId: '01a207ad-232f-773c-91db-3a2fd6402de5',
  createdAt: '2026-11-23T09:11:56.976Z',
  startedAt: '2026-11-23T09:11:57.223Z',
  finishedAt: '2026-11-23T09:11:57.233Z',
  durationMs: 10.209,
  rowCounts: [
    { table: 'adoptions', before: 1, after: 1 },
    { table: 'cats', before: 2, after: 2 },
    { table: 'notes', before: null, after: 0 },
  ],
  warnings: [],
})

/** As the first, the second, the third and the fourth are told to who prefers not to wait. */
export const asQueued = (run: Run): Run => {
  const { rowCounts: _, ...rest } = run
  return { ...rest, ...unbegun, status: 'queued', from: null, to: null, steps: [], backup: null, finishedAt: null }
}

/** As the third is told while it is made. */
export const RUNNING: Run = {
  ...ROLLED_BACK,
  status: 'running',
  to: null,
  steps: ROLLED_BACK.steps.map((step) => ({ ...step, status: 'running', statements: null, durationMs: null })),
  schemaChanges: none,
  backup: null,
  finishedAt: null,
  durationMs: null,
}

export const PLANNED_ROLLBACK: Run = {
  ...ROLLED_BACK,
  ...unbegun,
  status: 'planned',
  steps: ROLLED_BACK.steps.map((step) => ({ ...step, status: 'not-run', statements: null, durationMs: null })),
  backup: null,
}

/** Of a database that had the tables already. */
export const BASELINED: Run = {
  ...MIGRATED,
  kind: 'baseline',
  atomic: true,
  steps: MIGRATED.steps.map((step) => ({ ...step, status: 'recorded', statements: null, durationMs: null })),
  schemaChanges: none,
  backup: 'app.db-41f2f299-20261123T085144010Z-none-01a2079a-a100-7756-873b-19054e8a71e8.db',
  actor: 'ops',
}

export const REPAIRED = exampleRun({
  ...NOTES_ADDED,
  id: '01a207b2-c268-77e3-abd7-ebf11c241d1b',
  kind: 'repair',
  atomic: true,
  from: 2,
  steps: [{ id: 1, name: 'add_adoptions', direction: 'up', status: 'recorded', statements: null, durationMs: null }],
  schemaChanges: none,
  backup: 'app.db-41f2f299-20261123T091805545Z-2-01a207b2-c268-77e3-abd7-ebf11c241d1b.db',
  actor: 'ops',
  requestId: '01a207b2-c267-76f2-9627-2075f85c17cb',
  createdAt: '2026-11-23T09:18:05.416Z',
  startedAt: '2026-11-23T09:18:05.535Z',
  finishedAt: '2026-11-23T09:18:05.569Z',
  durationMs: 34.321,
})

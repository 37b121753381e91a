import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { MigrationError } from '../core/errors.ts'
import type { Request } from '../core/plan.ts'
import type { Runs } from '../core/runs.ts'
import { answer } from './answer.ts'
import { accepted, answerRun, number, preferHeader, runRequest } from './change.ts'
import type { ExampleName } from './examples.ts'
import type { ProblemExampleName } from './problem-list.ts'
import { PLAN_REFUSALS, problems, RUN_REFUSALS } from './refusals.ts'
import { flag, integer, Run as RunSchema, requiredInteger } from './schemas.ts'

interface Query {
  readonly target?: string
  readonly from?: string
  readonly wait?: string
  readonly steps?: string
  readonly atomic?: 'true' | 'false'
  readonly dryRun?: 'true' | 'false'
  readonly rehearse?: 'true' | 'false'
}

const from = integer('Refuse with 412 unless this is the current id; -1 for none')
const wait = integer('How many seconds to queue behind another change, 0 to 3600')
const dryRun = flag('Tell the plan and do nothing')
const common = {
  from,
  wait,
  atomic: flag('All steps in one transaction'),
  dryRun,
  rehearse: flag('Do it with a copy, tell what came of it, and leave the database alone'),
}

/** The examples of a run's answers: as JSON, as text, and both while it waits. */
interface Shown {
  readonly runs: readonly [ExampleName, ...ExampleName[]]
  readonly texts: readonly [ExampleName, ...ExampleName[]]
  readonly accepts: readonly [ExampleName, ExampleName]
}

const answers = ({ runs, texts, accepts }: Shown, ...refusals: readonly ProblemExampleName[]) => ({
  200: answer('The run, which has ended well; nothing to do is a run without steps', {
    'application/json': [RunSchema, ...runs],
    'text/plain': [Type.String({ description: 'A line for each step that was done: `0 init_db`' }), ...texts],
  }),
  202: accepted(...accepts),
  ...problems(...RUN_REFUSALS, ...PLAN_REFUSALS, ...refusals),
})

/** What is the fault of what the migrations do. */
const FAULTS = ['migration-failed', 'foreign-key-violation'] as const

const migrate = {
  operationId: 'migrate',
  summary: 'Apply what is pending',
  description: 'Each migration is a transaction of its own. Safe to repeat: what is applied is not applied again.',
  tags: ['changes'],
  headers: preferHeader,
  querystring: Type.Object(
    { target: integer('Apply up to and with this id'), ...common },
    { additionalProperties: false },
  ),
  response: answers(
    {
      runs: ['migrated', 'notes-added', 'idle', 'planned', 'rehearsed'],
      texts: ['migrated-text', 'idle-text'],
      accepts: ['migrate-accepted', 'migrate-accepted-text'],
    },
    ...FAULTS,
    'checksum-mismatch',
  ),
}

const rollback = {
  operationId: 'rollback',
  summary: 'Undo what was applied last',
  description: 'Say `target` in automation: a repeated `steps` undoes more.',
  tags: ['changes'],
  headers: preferHeader,
  querystring: Type.Object(
    {
      steps: integer('How many migrations to undo; 1 unless target is given'),
      target: integer('The id that stays the current one; -1 undoes everything'),
      ...common,
    },
    { additionalProperties: false },
  ),
  response: answers(
    {
      runs: ['rolled-back', 'rollback-planned'],
      texts: ['rolled-back-text', 'idle-text'],
      accepts: ['rollback-accepted', 'rollback-accepted-text'],
    },
    ...FAULTS,
    'no-rollback',
    'rollback-incomplete',
  ),
}

const baseline = {
  operationId: 'baseline',
  summary: 'Record migrations as applied without running them',
  description: 'For a database that has the schema already and no history yet.',
  tags: ['changes'],
  headers: preferHeader,
  querystring: Type.Object(
    { target: requiredInteger('The last id that the database already has'), from, wait, dryRun },
    { additionalProperties: false },
  ),
  response: answers(
    { runs: ['baselined'], texts: ['migrated-text'], accepts: ['baseline-accepted', 'migrate-accepted-text'] },
    'not-empty',
  ),
}

const repair = {
  operationId: 'repair',
  summary: 'Record what the files of changed migrations are now',
  description: 'For applied migrations whose files were edited on purpose. Runs nothing of them.',
  tags: ['changes'],
  headers: preferHeader,
  querystring: Type.Object({ from, wait, dryRun }, { additionalProperties: false }),
  response: answers({
    runs: ['repaired'],
    texts: ['repaired-text', 'idle-text'],
    accepts: ['repair-accepted', 'repair-accepted-text'],
  }),
}

/** The seconds to queue when nothing is said: an init container waits, all others want to know. */
const MIGRATE_WAIT = 30

/** `POST /migrate`, `/rollback`, `/baseline` and `/repair`. */
export function changeRoutes(app: FastifyInstance, runs: Runs): void {
  const post = (path: string, schema: object, role: 'migrate' | 'admin', asked: (query: Query) => Request) =>
    app.post<{ Querystring: Query }>(path, { schema, config: { role } }, async (request, reply) =>
      answerRun(runs, changeRequest(request, reply, asked(request.query)), request, reply),
    )
  post('/migrate', migrate, 'migrate', (query) => ({
    kind: 'migrate',
    target: number(query.target),
    ...shared(query),
  }))
  post('/rollback', rollback, 'admin', rollbackRequest)
  post('/baseline', baseline, 'admin', (query) => ({
    kind: 'baseline',
    target: Number(query.target),
    from: number(query.from),
  }))
  post('/repair', repair, 'admin', (query) => ({ kind: 'repair', from: number(query.from) }))
}

function rollbackRequest(query: Query): Request {
  const [steps, target] = [number(query.steps), number(query.target)]
  if (steps !== null && target !== null)
    throw new MigrationError('invalid-request', 'steps and target exclude each other; give one')
  if (steps !== null && steps < 1) throw new MigrationError('invalid-request', `steps is ${steps}; the least is 1`)
  return { kind: 'rollback', steps, target, ...shared(query) }
}

function shared({ from, atomic }: Query): {
  from: number | null
  atomic: boolean
} {
  return { from: number(from), atomic: atomic === 'true' }
}

function changeRequest(request: FastifyRequest<{ Querystring: Query }>, reply: FastifyReply, asked: Request) {
  const { dryRun, rehearse, wait } = request.query
  if (dryRun === 'true' && rehearse === 'true')
    throw new MigrationError('invalid-request', 'dryRun and rehearse exclude each other; give one')
  const manner = dryRun === 'true' ? 'plan' : rehearse === 'true' ? 'rehearsal' : 'earnest'
  return runRequest(request, reply, asked, manner, number(wait) ?? (asked.kind === 'migrate' ? MIGRATE_WAIT : 0))
}

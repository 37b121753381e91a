import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { MigrationError } from '../core/errors.ts'
import type { Run } from '../core/migration.ts'
import type { Request } from '../core/plan.ts'
import type { Runs } from '../core/runs.ts'
import { answer, flag, integer, problems, Run as RunSchema } from './schemas.ts'
import { vary } from './vary.ts'

interface Query {
  readonly target?: string
  readonly from?: string
  readonly wait?: string
  readonly steps?: string
  readonly atomic?: 'true' | 'false'
  readonly dryRun?: 'true' | 'false'
}

const MOST_WAIT = 3600

const common = {
  from: integer('Refuse with 412 unless this is the current id; -1 for none'),
  wait: integer('How many seconds to queue behind another change, 0 to 3600'),
  atomic: flag('All steps in one transaction'),
  dryRun: flag('Tell the plan and do nothing'),
}

const answers = {
  200: answer('The run, which has ended well; nothing to do is a run without steps', {
    'application/json': RunSchema,
    'text/plain': Type.String({
      description: 'A line for each step that was done: `0 init_db`',
    }),
  }),
  ...problems(400, 401, 403, 409, 412, 422, 500, 503, 507),
}

const migrate = {
  summary: 'Apply what is pending',
  description: 'Each migration is a transaction of its own. Safe to repeat: what is applied is not applied again.',
  tags: ['changes'],
  querystring: Type.Object(
    { target: integer('Apply up to and with this id'), ...common },
    { additionalProperties: false },
  ),
  response: answers,
}

const rollback = {
  summary: 'Undo what was applied last',
  description: 'Say `target` in automation: a repeated `steps` undoes more.',
  tags: ['changes'],
  querystring: Type.Object(
    {
      steps: integer('How many migrations to undo; 1 unless target is given'),
      target: integer('The id that stays the current one; -1 undoes everything'),
      ...common,
    },
    { additionalProperties: false },
  ),
  response: answers,
}

/** `POST /migrate` and `POST /rollback`. */
export function changeRoutes(app: FastifyInstance, runs: Runs): void {
  app.post<{ Querystring: Query }>(
    '/migrate',
    { schema: migrate, config: { role: 'migrate' } },
    async (request, reply) =>
      told(request, reply, await runs.start(runRequest(request, reply, migrateRequest(request.query), 30))),
  )
  app.post<{ Querystring: Query }>(
    '/rollback',
    { schema: rollback, config: { role: 'admin' } },
    async (request, reply) =>
      told(request, reply, await runs.start(runRequest(request, reply, rollbackRequest(request.query), 0))),
  )
}

function migrateRequest(query: Query): Request {
  return { kind: 'migrate', target: number(query.target), ...shared(query) }
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

function runRequest(
  request: FastifyRequest<{ Querystring: Query }>,
  reply: FastifyReply,
  asked: Request,
  defaultWait: number,
) {
  const wait = number(request.query.wait) ?? defaultWait
  if (wait < 0 || wait > MOST_WAIT)
    throw new MigrationError('invalid-request', `wait is ${wait}; it goes from 0 to ${MOST_WAIT} seconds`)
  return {
    request: asked,
    dryRun: request.query.dryRun === 'true',
    waitMs: wait * 1000,
    actor: request.actor,
    requestId: request.id,
    client: clientOf(reply),
  }
}

/** Aborted when the connection is closed before it was answered. */
function clientOf({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController()
  raw.once('close', () => {
    if (!raw.writableFinished)
      gone.abort(new MigrationError('cancelled', 'the client went away before it was its turn'))
  })
  return gone.signal
}

function told(request: FastifyRequest, reply: FastifyReply, run: Run): Run | FastifyReply {
  vary(reply, 'Accept')
  if (request.type(['application/json', 'text/plain']) !== 'text/plain') return run
  const lines = run.steps.filter(({ status }) => status === 'done' || run.status === 'planned')
  return reply.type('text/plain; charset=utf-8').send(lines.map(({ id, name }) => `${id} ${name}\n`).join(''))
}

/** The pattern of the schema has let whole numbers through only. */
function number(text: string | undefined): number | null {
  return text === undefined ? null : Number(text)
}

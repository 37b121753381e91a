import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { MigrationError } from '../core/errors.ts'
import type { Runs } from '../core/runs.ts'
import { answer } from './answer.ts'
import { number } from './change.ts'
import { notModified } from './etag.ts'
import { problems, READ_REFUSALS } from './refusals.ts'
import { integer, RunList, Run as RunSchema } from './schemas.ts'

const MOST_RUNS = 100
const RUNS = 20

const none = Type.Object({}, { additionalProperties: false })
const params = Type.Object({ id: Type.String({ description: 'The id of a run' }) })

const list = {
  operationId: 'listRuns',
  summary: 'The runs, the newest first',
  description: 'Those that had steps to do, of any server; and those that wait or run here.',
  tags: ['runs'],
  querystring: Type.Object(
    {
      limit: integer('How many, 1 to 100; 20 unless said'),
      before: Type.Optional(
        Type.String({
          pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
          description: 'Only runs older than this id: `next` of the page before',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  response: {
    200: answer('A page of runs', { 'application/json': [RunList, 'runs', 'no-runs'] }),
    ...notModified,
    ...problems(...READ_REFUSALS, 'invalid-request.limit'),
  },
}

const one = {
  operationId: 'findRun',
  summary: 'A run',
  tags: ['runs'],
  params,
  querystring: none,
  response: {
    200: answer('The run', { 'application/json': [RunSchema, 'rolled-back', 'running'] }),
    ...notModified,
    ...problems(...READ_REFUSALS, 'not-found.run'),
  },
}

const cancel = {
  operationId: 'cancelRun',
  summary: 'Cancel a run',
  description:
    'One that waits is dropped, one that runs is killed and rolled back; the steps that it had committed stay. A migrate token may cancel what a migrate token began.',
  tags: ['runs'],
  params,
  querystring: none,
  response: {
    202: answer('It is being ended; this is how it stood', { 'application/json': [RunSchema, 'running'] }),
    ...problems(
      ...READ_REFUSALS,
      'forbidden',
      'forbidden.run',
      'cross-site',
      'not-found.run',
      'change-in-progress.run',
      'run-ended',
    ),
  },
}

/** `GET /runs`, `GET /runs/{id}` and `DELETE /runs/{id}`. */
export function runRoutes(app: FastifyInstance, runs: Runs): void {
  app.get<{ Querystring: { limit?: string; before?: string } }>('/runs', { schema: list }, async ({ query }) => {
    const limit = number(query.limit) ?? RUNS
    if (limit < 1 || limit > MOST_RUNS)
      throw new MigrationError('invalid-request', `limit is ${limit}; it goes from 1 to ${MOST_RUNS}`)
    return await runs.list(limit, query.before ?? null)
  })
  app.get<{ Params: { id: string } }>('/runs/:id', { schema: one }, async ({ params }) => await runs.find(params.id))
  app.delete<{ Params: { id: string } }>(
    '/runs/:id',
    { schema: cancel, config: { role: 'migrate' } },
    async ({ params, actor, role, log, id: requestId }, reply) => {
      const run = await runs.cancel(params.id, actor, (begunAs) => role === 'admin' || role === begunAs)
      log.info({ runId: run.id, actor, requestId }, 'run cancelled')
      return reply.code(202).send(run)
    },
  )
}

import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { CurrentStatus } from '../core/current-status.ts'
import type { Engine } from '../core/engine.ts'
import { MigrationError } from '../core/errors.ts'
import { answer } from './answer.ts'
import { problems } from './refusals.ts'

export interface ProbeRoutes {
  readonly engine: Engine
  readonly status: () => Promise<CurrentStatus>
  readonly closing: () => boolean
  /** Why the migration at start has failed. */
  readonly startFailure: () => MigrationError | null
}

const REASONS = [
  'shutting-down',
  'database-unavailable',
  'schema-pending',
  'schema-changed',
  'invalid-migrations',
  'conflict',
] as const
type Reason = (typeof REASONS)[number]

interface NotReady {
  readonly reason: Reason
  readonly detail: string
}

const Serving = Type.Object({ status: Type.Literal('ok') })
const config = { role: 'open', probe: true } as const

const livez = {
  operationId: 'isAlive',
  summary: 'Whether the process serves',
  description: 'Never touches the database: a stuck disk is no reason to restart.',
  tags: ['probes'],
  querystring: Type.Object({}, { additionalProperties: false }),
  response: {
    200: answer('It serves', { 'application/json': [Serving, 'serving'] }),
    ...problems('invalid-request.parameter'),
  },
}

const readyz = {
  operationId: 'isReady',
  summary: 'Whether the database can be read and written',
  tags: ['probes'],
  querystring: Type.Object(
    {
      schema: Type.Optional(
        Type.String({
          pattern: '^(current|0|[1-9][0-9]{0,8})$',
          description:
            'Also: whether the schema is what the directory says (`current`), or whether the migration with this id is applied',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  response: {
    200: answer('Ready', { 'application/json': [Serving, 'serving'] }),
    503: answer('Not ready', {
      'application/json': [
        Type.Object({
          reason: Type.Unsafe<Reason>({ type: 'string', enum: [...REASONS] }),
          detail: Type.String({ description: 'What, which one, and what to do' }),
        }),
        'schema-pending',
        'not-available',
      ],
    }),
    ...problems('invalid-request.schema', 'internal'),
  },
}

/** `GET /livez` and `GET /readyz`. */
export function probeRoutes(app: FastifyInstance, { engine, status, closing, startFailure }: ProbeRoutes): void {
  app.get('/livez', { schema: livez, config }, async () => ({ status: 'ok' }))
  app.get<{ Querystring: { schema?: string } }>('/readyz', { schema: readyz, config }, async ({ query }, reply) => {
    const available = async () => {
      await engine.check()
      return null
    }
    const { schema } = query
    const current = async () => {
      const now = await status()
      if (now.stale) return UNREADABLE
      return schema === 'current' ? outdated(now, startFailure()) : behind(now, Number(schema))
    }
    const reason = closing()
      ? SHUTTING_DOWN
      : ((await unlessUnavailable(available, 'may be locked')) ??
        (schema && (await unlessUnavailable(current, 'must be readable'))))
    return reason ? reply.code(503).send(reason) : { status: 'ok' }
  })
}

const SHUTTING_DOWN: NotReady = {
  reason: 'shutting-down',
  detail: 'the server is shutting down',
}

const UNREADABLE: NotReady = {
  reason: 'database-unavailable',
  detail: 'the database cannot be read just now; look who has it locked',
}

/** What `ask` gives, or that the database cannot be used. One that somebody holds just now is there all the same. */
async function unlessUnavailable(
  ask: () => Promise<NotReady | null>,
  lock: 'may be locked' | 'must be readable',
): Promise<NotReady | null> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error
    if (error.code === 'database-locked' && lock === 'may be locked') return null
    return { reason: 'database-unavailable', detail: error.message }
  }
}

/** What keeps migration `id` from being there; whatever else is wrong is of no concern to who needs that one. */
function behind({ status: { current, state, problems } }: CurrentStatus, id: number): NotReady | null {
  if (state === 'conflict') return { reason: 'conflict', detail: problems[0]?.message ?? '' }
  if ((current ?? -1) >= id) return null
  return { reason: 'schema-pending', detail: `migration ${id} is not applied; the current one is ${current ?? 'none'}` }
}

function outdated({ status }: CurrentStatus, failure: MigrationError | null): NotReady | null {
  const [problem] = status.problems
  if (status.state === 'invalid') return { reason: 'invalid-migrations', detail: problem?.message ?? '' }
  if (status.state === 'conflict') return { reason: 'conflict', detail: problem?.message ?? '' }
  if (status.state === 'changed')
    return {
      reason: 'schema-changed',
      detail: 'applied migrations are others in the directory now',
    }
  if (status.state === 'pending')
    return {
      reason: 'schema-pending',
      detail: `${status.pending === 1 ? '1 migration is' : `${status.pending} migrations are`} pending${failure ? `; the migration at start has failed: ${failure.message}` : ''}`,
    }
  return null
}

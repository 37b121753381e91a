import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { CurrentStatus } from '../core/current-status.ts'
import type { Engine } from '../core/engine.ts'
import { MigrationError } from '../core/errors.ts'
import type { Directory } from '../core/migration.ts'
import { MIGRATION_STATES, type MigrationState, type MigrationStatus } from '../core/status.ts'
import { preferred } from './accept.ts'
import { answer } from './answer.ts'
import { notModified, tagOf } from './etag.ts'
import { problems, READ_REFUSALS } from './refusals.ts'
import { MigrationSource, Migrations } from './schemas.ts'
import { vary } from './vary.ts'

export interface MigrationRoutes {
  readonly status: () => Promise<CurrentStatus>
  readonly recent: () => Promise<Directory>
  readonly engine: Engine
}

const list = {
  operationId: 'listMigrations',
  summary: 'How the migrations stand',
  description:
    'Never waits for a lock, and answers while a change runs. Has an ETag; `Accept: text/plain` gives a view for people.',
  tags: ['migrations'],
  querystring: Type.Object(
    {
      state: Type.Optional(
        Type.Unsafe<MigrationState>({
          type: 'string',
          enum: [...MIGRATION_STATES],
          description: 'Only migrations in this state',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  response: {
    200: answer('All migrations of the directory and the database', {
      'application/json': [Migrations, 'pending', 'rolling', 'invalid'],
      'text/plain': [Type.String(), 'pending-text'],
    }),
    ...notModified,
    ...problems(...READ_REFUSALS),
  },
}

const one = {
  operationId: 'findMigration',
  summary: 'A migration with its sources',
  tags: ['migrations'],
  params: Type.Object({
    id: Type.String({
      pattern: '^(0|[1-9][0-9]{0,8})$',
      description: 'Its id',
    }),
  }),
  querystring: Type.Object({}, { additionalProperties: false }),
  response: {
    200: answer('The migration', { 'application/json': [MigrationSource, 'migration'] }),
    ...notModified,
    ...problems(...READ_REFUSALS, 'not-found'),
  },
}

/** `GET /migrations` and `GET /migrations/{id}`. */
export function migrationRoutes(app: FastifyInstance, { status, recent, engine }: MigrationRoutes): void {
  const represent = representation()
  app.get<{ Querystring: { state?: MigrationState } }>('/migrations', { schema: list }, async (request, reply) =>
    represent(request, reply, await status(), request.query.state),
  )
  app.get<{ Params: { id: string } }>('/migrations/:id', { schema: one }, async ({ params }) => {
    const id = Number(params.id)
    const found = (await status()).status.migrations.find((migration) => migration.id === id)
    if (found === undefined)
      throw new MigrationError('not-found', `there is no migration ${id}; GET /migrations lists them`)
    const migration = (await recent()).migrations.find((candidate) => candidate.id === id)
    const kept = found.state === 'pending' ? null : await engine.keptDown(id)
    return { ...found, up: migration?.up.text ?? null, down: migration?.down?.text ?? kept }
  })
}

/** Answers with a body that is made once and sent again for as long as nothing has changed. */
function representation() {
  let of: CurrentStatus | null = null
  let made = new Map<string, Representation>()
  return (request: FastifyRequest, reply: FastifyReply, current: CurrentStatus, only: MigrationState | undefined) => {
    if (
      of === null ||
      of.status !== current.status ||
      of.stale !== current.stale ||
      of.running?.id !== current.running?.id
    ) {
      of = current
      made = new Map()
    }
    const text = preferred(request, 'application/json', 'text/plain') === 'text/plain'
    const key = `${text} ${only ?? ''}`
    const { body, etag } = made.get(key) ?? tagged(text ? lines(current, only) : json(current, only))
    made.set(key, { body, etag })
    vary(reply, 'Accept').header('ETag', etag)
    return reply.type(text ? 'text/plain; charset=utf-8' : 'application/json; charset=utf-8').send(body)
  }
}

/** What is sent, as bytes: to encode a thousand migrations anew for each answer would cost more than all the rest. */
interface Representation {
  readonly body: Buffer
  readonly etag: string
}

function tagged(text: string): Representation {
  const body = Buffer.from(text)
  return { body, etag: tagOf(body) }
}

function json({ status, running, stale }: CurrentStatus, only: MigrationState | undefined): string {
  const { current, latest, pending, state, problems, migrations } = status
  const told = {
    current,
    latest,
    pending,
    state,
    running,
    ...(stale && { stale }),
    problems,
    migrations: kept(migrations, only),
  }
  return `${JSON.stringify(told)}\n`
}

/** The view for people: a line for each migration, then the counts. */
function lines({ status, stale }: CurrentStatus, only: MigrationState | undefined): string {
  const rows = kept(status.migrations, only).map(({ id, name, state, appliedAt }) => {
    const when = appliedAt === null ? '' : `  ${appliedAt.replace('T', ' ').replace('Z', '')}`
    const odd = state === 'applied' || state === 'pending' ? '' : ` [${state}]`
    return `[${state === 'pending' ? ' ' : 'X'}] ${String(id).padStart(4, '0')} ${name}${when}${odd}`
  })
  const problems = status.problems.map(({ code, message }) => `Problem: ${code}: ${message}`)
  const applied = status.migrations.length - status.pending
  const counts = [`Applied: ${applied}`, `Pending: ${status.pending}`]
  return `${[...rows, '', ...counts, ...problems, ...(stale ? ['Stale: the database cannot be read just now'] : [])].join('\n')}\n`
}

function kept(migrations: readonly MigrationStatus[], only: MigrationState | undefined): readonly MigrationStatus[] {
  return only === undefined ? migrations : migrations.filter(({ state }) => state === only)
}

import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { MigrationError } from '../core/errors.ts'
import type { Run } from '../core/migration.ts'
import type { Request } from '../core/plan.ts'
import type { RunRequest } from '../core/run.ts'
import type { Runs } from '../core/runs.ts'
import { preferred } from './accept.ts'
import { answer } from './answer.ts'
import type { ExampleName } from './examples.ts'
import { preferencesOf } from './prefer.ts'
import { Run as RunSchema } from './schemas.ts'
import { vary } from './vary.ts'

const MOST_WAIT = 3600

/** What is asked of a run, by whom, and for how long. */
export function runRequest(
  request: FastifyRequest,
  reply: FastifyReply,
  asked: Request,
  manner: RunRequest['manner'],
  wait: number,
): RunRequest {
  if (wait < 0 || wait > MOST_WAIT)
    throw new MigrationError('invalid-request', `wait is ${wait}; it goes from 0 to ${MOST_WAIT} seconds`)
  return {
    request: asked,
    manner,
    waitMs: wait * 1000,
    actor: request.actor,
    begunAs: request.role,
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

/** Makes the run that is asked for and answers: when it has ended, or at once for a client that prefers that. */
export async function answerRun(
  runs: Runs,
  asked: RunRequest,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Run | FastifyReply> {
  const { respondAsync, waitSeconds } = preferencesOf(request)
  // A plan is made at once anyway.
  if (!respondAsync || asked.manner === 'plan') return told(request, reply, await runs.start(asked))
  const { run, ended } = await runs.submit(asked)
  const early = waitSeconds > 0 ? await Promise.race([ended, delay(waitSeconds * 1000, null, { ref: false })]) : null
  if (early !== null) return told(request, reply, early)
  reply.code(202).header('Location', `/runs/${run.id}`).header('Preference-Applied', 'respond-async')
  // It may have begun meanwhile.
  return told(request, reply, waitSeconds > 0 ? await runs.find(run.id) : run)
}

/** The run as JSON, or as the lines that a person reads. */
function told(request: FastifyRequest, reply: FastifyReply, run: Run): Run | FastifyReply {
  vary(reply, 'Accept')
  if (preferred(request, 'application/json', 'text/plain') !== 'text/plain') return run
  if (reply.statusCode === 202) return reply.type('text/plain; charset=utf-8').send(`${run.id} ${run.status}\n`)
  const shown = (status: string) => status === 'done' || status === 'recorded' || run.status === 'planned'
  const lines = run.steps.filter(({ status }) => shown(status))
  return reply.type('text/plain; charset=utf-8').send(lines.map(({ id, name }) => `${id} ${name}\n`).join(''))
}

/** The pattern of the schema has let whole numbers through only. */
export function number(text: string | undefined): number | null {
  return text === undefined ? null : Number(text)
}

/** The header by which a client says that it would rather be answered at once. */
export const preferHeader = Type.Object({
  prefer: Type.Optional(
    Type.String({
      description:
        '`respond-async` (RFC 7240): answer with 202 as soon as the run is accepted; with `wait=SECONDS` beside it, only if it has not ended by then',
    }),
  ),
})

/** The answer to who prefers `respond-async`. */
export const accepted = (run: ExampleName, text: ExampleName) => ({
  ...answer(
    'The run as it stands: it waits for its turn, has it, or has ended already, and goes on by itself. GET its Location for its end',
    {
      'application/json': [RunSchema, run],
      'text/plain': [Type.String({ description: 'Its id and its status' }), text],
    },
  ),
  headers: {
    Location: Type.String({ description: 'Where it is found' }),
    'Preference-Applied': Type.String({ description: '`respond-async`' }),
  },
})

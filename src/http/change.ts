import type { FastifyReply, FastifyRequest } from 'fastify'
import { MigrationError } from '../core/errors.ts'
import type { Run } from '../core/migration.ts'
import type { Request } from '../core/plan.ts'
import type { RunRequest } from '../core/run.ts'
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

/** The run as JSON, or as the lines that a person reads. */
export function told(request: FastifyRequest, reply: FastifyReply, run: Run): Run | FastifyReply {
  vary(reply, 'Accept')
  if (request.type(['application/json', 'text/plain']) !== 'text/plain') return run
  const shown = (status: string) => status === 'done' || status === 'recorded' || run.status === 'planned'
  const lines = run.steps.filter(({ status }) => shown(status))
  return reply.type('text/plain; charset=utf-8').send(lines.map(({ id, name }) => `${id} ${name}\n`).join(''))
}

/** The pattern of the schema has let whole numbers through only. */
export function number(text: string | undefined): number | null {
  return text === undefined ? null : Number(text)
}

import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { RunStatus } from '../core/migration.ts'
import type { Runs } from '../core/runs.ts'
import type { Progress } from '../core/watch.ts'
import { answer } from './answer.ts'
import { EventStream } from './event-stream.ts'
import { problems, READ_REFUSALS } from './refusals.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Those that are open. What one of them waits for may be long in coming. */
    readonly streams: Set<EventStream>
  }
}

const LIVING: readonly string[] = ['queued', 'running'] satisfies RunStatus[]

/** The id of the last event: a browser that comes back with it has seen everything. */
const END = 'end'

const schema = {
  operationId: 'watchRun',
  summary: 'What a run does, as it does it',
  description:
    'Server-sent events with JSON data: `run`, the run as it stands, first; `step`, when one begins and when it has ended; `statement`, while it is executed, ten a second at most; `end`, the run, last. A comment is sent at least every 15 seconds. An ended run gives `run` and `end`. A client that comes back with the `Last-Event-ID` of the end is answered with 204, on which a browser stops coming back; with any other it begins with `run` again.',
  tags: ['runs'],
  params: Type.Object({ id: Type.String({ description: 'The id of a run' }) }),
  headers: Type.Object({
    'last-event-id': Type.Optional(Type.String({ description: 'The id of the event seen last' })),
  }),
  querystring: Type.Object({}, { additionalProperties: false }),
  response: {
    200: answer('The events', { 'text/event-stream': [Type.String(), 'events'] }),
    204: { type: 'null', description: 'The end has been seen' },
    ...problems(...READ_REFUSALS, 'not-found.run'),
  },
}

/** `GET /runs/{id}/events`. */
export function eventRoutes(app: FastifyInstance, runs: Runs): void {
  app.decorate('streams', new Set<EventStream>())
  app.get<{ Params: { id: string } }>('/runs/:id/events', { schema }, async (request, reply) => {
    const { id } = request.params
    if (request.headers['last-event-id'] === END && !LIVING.includes((await runs.find(id)).status))
      return reply.code(204).send()
    reply.type('text/event-stream; charset=utf-8').header('Cache-Control', 'no-store')
    // nginx would keep events back until it has a bufferful.
    reply.header('X-Accel-Buffering', 'no')
    if (request.method === 'HEAD') {
      await runs.find(id)
      return reply.send()
    }
    const stream = new EventStream()
    app.streams.add(stream)
    stream.once('close', () => app.streams.delete(stream))
    try {
      const unwatch = await runs.watch(
        id,
        (progress) => tell(stream, progress),
        (error) => {
          request.log.warn({ err: error }, 'a run of another server cannot be followed any more')
          stream.end()
        },
      )
      stream.once('close', unwatch)
    } catch (error) {
      stream.destroy()
      throw error
    }
    return reply.send(stream)
  })
}

function tell(stream: EventStream, progress: Progress): void {
  if (progress.type === 'run') stream.tell('run', progress.run)
  if (progress.type === 'step') {
    const { id, name, direction, status, durationMs } = progress.step
    stream.tell('step', { id, name, direction, status, durationMs })
  }
  if (progress.type === 'statement') {
    const { id, n, line, text, elapsedMs } = progress.statement
    stream.tell('statement', { id, n, line, text, elapsedMs })
  }
  if (progress.type !== 'end') return
  stream.tell('end', progress.run, END)
  stream.end()
}

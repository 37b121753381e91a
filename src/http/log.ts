import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { tellable } from './problem.ts'

/** A line for each request when its connection is done with it, also where the client has left before the answer. */
export function logRequests(app: FastifyInstance): void {
  app.decorateRequest('problem', null)
  app.addHook('onRequest', async (request, reply) => {
    reply.raw.once('close', () => logRequest(request, reply, request.log))
  })
}

function logRequest(request: FastifyRequest, reply: FastifyReply, log: FastifyBaseLogger): void {
  const level = request.routeOptions.config.probe === true ? 'debug' : 'info'
  const { method, actor, ip, problem } = request
  const url = tellable(request.url)
  const durationMs = Math.round(reply.elapsedTime * 1000) / 1000
  const ended = reply.raw.writableFinished ? { status: reply.statusCode } : { status: null, left: true }
  const refused = problem && { code: problem.code, detail: problem.message.slice(0, 500) }
  log[level]({ method, url, ...ended, ...refused, actor, ip, durationMs }, `${method} ${url}`)
}

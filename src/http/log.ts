import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Metrics } from './metrics.ts'
import { tellable } from './problem.ts'

/** A line for each request when its connection is done with it, also where the client has left before the answer. */
export function logRequests(app: FastifyInstance, metrics: Metrics): void {
  app.decorateRequest('problem', null)
  app.addHook('onRequest', (request, reply, done) => {
    reply.raw.once('close', () => {
      logRequest(request, reply, request.log)
      const status = reply.raw.writableFinished ? reply.statusCode : CLIENT_LEFT
      metrics.observe(request.method, request.routeOptions.url ?? 'none', status, reply.elapsedTime / 1000)
    })
    done()
  })
}

/** No status of HTTP's, but what proxies call it in their logs. */
const CLIENT_LEFT = 499

function logRequest(request: FastifyRequest, reply: FastifyReply, log: FastifyBaseLogger): void {
  const { probe, scraped } = request.routeOptions.config
  const level = probe || scraped ? 'debug' : 'info'
  const { method, actor, ip, problem } = request
  const url = tellable(request.url)
  const durationMs = Math.round(reply.elapsedTime * 1000) / 1000
  const ended = reply.raw.writableFinished ? { status: reply.statusCode } : { status: null, left: true }
  const refused = problem && { code: problem.code, detail: problem.message.slice(0, 500) }
  log[level]({ method, url, ...ended, ...refused, actor, ip, durationMs }, `${method} ${url}`)
}

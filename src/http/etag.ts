import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'

/** An entity tag for `body` (RFC 9110, section 8.8.3): equal bodies have equal ones. */
export function tagOf(body: string | Buffer): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`
}

/** What a poller pays for an answer that it has: every `GET` but the probes has an `ETag`, and gives 304 for it. */
export function tagAnswers(app: FastifyInstance): void {
  app.addHook('onSend', (request, reply, body, done) => {
    const { probe, scraped } = request.routeOptions.config
    const read = request.method === 'GET' || request.method === 'HEAD'
    const made = typeof body === 'string' || Buffer.isBuffer(body) ? body : null
    if (!read || reply.statusCode !== 200 || made === null || probe || scraped) return done(null, body)
    const etag = String(reply.getHeader('etag') ?? tagOf(made))
    reply.header('ETag', etag).header('Cache-Control', 'no-cache')
    if (!matches(request.headers['if-none-match'], etag)) return done(null, body)
    reply.code(304).removeHeader('content-type')
    // Fastify takes the body of a HEAD itself, for its length.
    done(null, request.method === 'HEAD' ? body : null)
  })
}

/** RFC 9110, section 13.1.2: a list of tags compared weakly, or `*`. */
function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  const tags = header.split(',')
  return tags.some((tag) => ['*', etag].includes(tag.trim().replace(/^W\//, '')))
}

/** The answer to who has it already. */
export const notModified = { 304: { type: 'null', description: 'Not changed since the ETag of If-None-Match' } }

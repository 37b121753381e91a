import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { MigrationError } from '../core/errors.ts'
import type { DescribedRoute } from './openapi.ts'

const config = { role: 'open' } as const

/** The parts of a schema by which a request is judged. */
const ASKED = new Set(['params', 'querystring', 'headers'])

/**
 * `GET /openapi.json` and `GET /docs`. Stands before the routes: it remembers what describes them, and leaves them what takes
 * part in answering.
 */
export function documentationRoutes(app: FastifyInstance, version: string): void {
  const routes: DescribedRoute[] = []
  app.addHook('onRoute', (route) => {
    const { schema } = route
    if (schema === undefined || schema.hide || route.method === 'HEAD') return
    routes.push({ ...route, schema })
    route.schema = Object.fromEntries(Object.entries(schema).filter(([part]) => ASKED.has(part)))
  })
  let opened: Promise<FastifyInstance> | null = null
  const open = async () => (await import('./openapi.ts')).openDocumentation(routes, version)
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    opened ??= open().catch((error: unknown) => {
      opened = null
      throw error
    })
    return await passOn(await opened, request, reply)
  }
  const schema = { hide: true, querystring: Type.Object({}, { additionalProperties: false }) }
  for (const url of ['/openapi.json', '/docs', '/docs/*']) app.get(url, { schema, config }, answer)
}

/** What belongs to the connection, or is made anew by who sends it. */
const OWN = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'date'])

/** Answers as `documentation` does. */
async function passOn(
  documentation: FastifyInstance,
  { url, headers }: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { statusCode, headers: told, rawPayload } = await documentation.inject({ method: 'GET', url, headers })
  if (statusCode === 404)
    throw new MigrationError('not-found', `there is no such page; GET /docs leads to what there is`)
  if (statusCode >= 500) throw new MigrationError('internal', 'the documentation cannot be shown')
  if (statusCode >= 400) throw new MigrationError('invalid-request', 'the documentation cannot be asked for so')
  for (const [name, value] of Object.entries(told)) if (value !== undefined && !OWN.has(name)) reply.header(name, value)
  reply.code(statusCode)
  // A 304 has no body, not even an empty one (RFC 9110, section 8.6).
  if (statusCode === 304) return reply.send()
  const page = String(told['content-type']).startsWith('text/html')
  return reply.send(page ? `${rawPayload.toString().trimEnd()}\n` : rawPayload)
}

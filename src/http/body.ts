import type { FastifyInstance } from 'fastify'
import { MigrationError } from '../core/errors.ts'

const LIMIT = 16 * 1024

/**
 * Takes a body that is empty or `{}`, whatever its content type, and refuses every other: parameters belong in the query, and
 * a `{"dryRun":true}` that was ignored would migrate for real.
 */
export function refuseBodies(app: FastifyInstance): void {
  // Fastify would not look at the body of a GET.
  for (const method of ['GET', 'HEAD']) app.addHttpMethod(method, { hasBody: true, overrideExisting: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: LIMIT }, (_, body, done) => {
    if (/^\s*(\{\s*\})?\s*$/.test(String(body))) done(null)
    else
      done(
        new MigrationError(
          'invalid-request',
          'a body is not taken; put the parameters into the query, as in ?dryRun=true',
        ),
      )
  })
  // A body is judged by what it holds; a content type that does not parse would be refused for an empty one too.
  app.addHook('onRequest', ({ raw }, _, done) => {
    if (raw.headers['content-type'] !== undefined) raw.headers['content-type'] = 'application/octet-stream'
    done()
  })
}

import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import helmet from 'helmet'

/** What the pages of the documentation load: their own scripts and styles, and pictures that stand in these. */
export const DOCUMENTATION_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** What a page may load that has a style of its own, and nothing else. */
export function pageCsp(style: string): string {
  const hash = createHash('sha256').update(style).digest('base64')
  return `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
}

/** Headers by which a browser makes of an answer nothing but what it is. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = headersOf(
  helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], baseUri: ["'none'"], formAction: ["'none'"], frameAncestors: ["'none'"] },
    },
    frameguard: { action: 'deny' },
    // For browsers that nobody has any more.
    ieNoOpen: false,
    xssFilter: false,
    permittedCrossDomainPolicies: false,
    dnsPrefetchControl: false,
    originAgentCluster: false,
    // Whether there is TLS in front of it, only who puts it there can say.
    hsts: false,
  }),
)

/** What helmet sets is the same for every answer, and made once. */
function headersOf(set: ReturnType<typeof helmet>): Record<string, string> {
  const headers: Record<string, string> = {}
  const answer = {
    setHeader: (name: string, value: string) => {
      headers[name] = value
    },
    removeHeader: () => {},
  }
  set({} as IncomingMessage, answer as unknown as ServerResponse, () => {})
  return headers
}

/**
 * Sets them where a route has not, and that nothing is kept unless the answer says so. Stands after what makes a 304 of an
 * answer: that has no body which they could be about, and whoever keeps the body keeps its headers (RFC 9111, section 3.2).
 */
export function secureAnswers(app: FastifyInstance): void {
  const headers = Object.entries(SECURITY_HEADERS)
  app.addHook('onSend', (_, reply, __, done) => {
    if (!reply.hasHeader('cache-control')) reply.header('Cache-Control', 'no-store')
    if (reply.statusCode === 304) return done()
    for (const [name, value] of headers) if (!reply.hasHeader(name)) reply.header(name, value)
    done()
  })
}

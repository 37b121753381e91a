import { isIP } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { MigrationError } from '../core/errors.ts'

export const ROLES = ['read', 'migrate', 'admin'] as const
export type Role = (typeof ROLES)[number]

/** Who holds which token. Asked for every request, since token files change while we run. */
export interface Tokens {
  /** `false`: there are none, and everybody may do everything. */
  readonly inForce: boolean
  /** Whose token this is; `null` where it is nobody's. Takes the same time for a right and a wrong one. */
  identify(token: string): { readonly role: Role; readonly actor: string } | null
}

export interface AuthOptions {
  readonly tokens: Tokens
  readonly allowedHosts: readonly string[]
  readonly corsOrigins: readonly string[]
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The least role that may; `'open'` needs no token. A route without one needs `read`. */
    readonly role?: Role | 'open'
    /** Answers whatever `Host` says, and is not logged at `info`. */
    readonly probe?: boolean
    /** Is asked every few seconds, and not logged at `info`. */
    readonly scraped?: boolean
  }
  interface FastifyRequest {
    /** Who asks: the name of the token, else its role; `anonymous` where there are no tokens. */
    actor: string
    /** What he may do; everything where there are no tokens. */
    role: Role
  }
}

/** Lets nobody in who may not. Stands before everything that reads the request. */
export function guardRequests(app: FastifyInstance, { tokens, allowedHosts, corsOrigins }: AuthOptions): void {
  app.decorateRequest('actor', 'anonymous')
  app.decorateRequest('role', 'admin')
  // Most requests name the same.
  let ours: string | undefined
  app.addHook('onRequest', (request, _, done) => {
    const { role = 'read', probe = false } = request.routeOptions.config
    const { host } = request.headers
    if (!tokens.inForce && !probe && (host === undefined || host !== ours)) {
      refuseForeignHost(host, allowedHosts)
      ours = host
    }
    refuseCrossSite(request, corsOrigins)
    if (tokens.inForce && role !== 'open') Object.assign(request, holderOf(request, tokens, role))
    done()
  })
}

function holderOf({ headers }: FastifyRequest, tokens: Tokens, needed: Role): { role: Role; actor: string } {
  const token = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
  const found = token === undefined ? null : tokens.identify(token)
  if (found === null) {
    const what = token === undefined ? 'no token was sent' : 'the token is not known'
    throw new MigrationError('unauthorized', `${what}; send one as Authorization: Bearer …`)
  }
  if (ROLES.indexOf(found.role) >= ROLES.indexOf(needed)) return found
  throw new MigrationError(
    'forbidden',
    `this needs a token of the role ${needed}, and ${found.actor} has the role ${found.role}`,
  )
}

/** A page that rebinds its name to our address would be same-origin with us; what it cannot choose is the name in `Host`. */
function refuseForeignHost(host: string | undefined, allowed: readonly string[]): void {
  const name = (host ?? '')
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase()
  if (isIP(name) !== 0 || name === 'localhost' || allowed.includes(name)) return
  throw new MigrationError(
    'forbidden-host',
    `the host ${JSON.stringify(name.slice(0, 100))} is not ours; name it in ALLOWED_HOSTS or use tokens`,
  )
}

/**
 * An empty POST is a simple request, which any page could send to us without asking.
 *
 * @see https://www.w3.org/TR/fetch-metadata/ for `Sec-Fetch-Site`
 */
function refuseCrossSite({ method, headers }: FastifyRequest, corsOrigins: readonly string[]): void {
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') return
  const { origin } = headers
  const site = headers['sec-fetch-site']
  const own =
    site === undefined
      ? origin === undefined || hostOf(origin) === headers.host
      : site === 'same-origin' || site === 'none'
  if (own || (origin !== undefined && corsOrigins.includes(origin))) return
  throw new MigrationError('cross-site', 'a page of another site sent this; name its origin in CORS_ORIGINS if it may')
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null
}

import type { FastifyInstance, FastifyReply } from 'fastify'
import { MigrationError } from '../core/errors.ts'
import { tellable } from './problem.ts'

interface Known {
  readonly path: RegExp
  readonly methods: Set<string>
}

/** 405 with `Allow` where the path is known, 404 where it is not. Stands before the routes, and before CORS. */
export function refuseUnknown(app: FastifyInstance): void {
  const routes: Known[] = []
  app.addHook('onRoute', ({ url, method }) => {
    // CORS has a route for every path, which says nothing of what is there.
    if (url === '*') return
    const path = patternOf(url)
    const known = routes.find((route) => route.path.source === path.source)
    const methods = [method].flat()
    if (known) for (const one of methods) known.methods.add(one)
    else routes.push({ path, methods: new Set(methods) })
  })
  app.setNotFoundHandler(async ({ method, url }, reply) => refuse(routes, method, url, reply))
  // An OPTIONS that is no preflight is a method like any other, and so is QUERY, of which Fastify would want to know first what it sends.
  app.addHook('onRequest', ({ method, url, headers }, reply, done) => {
    const preflight = headers.origin && headers['access-control-request-method']
    if (method === 'QUERY' || (method === 'OPTIONS' && !preflight)) refuse(routes, method, url, reply)
    done()
  })
}

function patternOf(url: string): RegExp {
  const escaped = url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replace(/:[^/]+/g, '[^/]+').replaceAll('\\*', '.*')}/?$`)
}

function refuse(routes: readonly Known[], method: string, url: string, reply: FastifyReply): never {
  const path = pathOf(url)
  const found = routes.filter((route) => route.path.test(path))
  const allowed = [...new Set(found.flatMap(({ methods }) => [...methods]))].join(', ')
  // A path that is taken with this method and was not found all the same, such as a file below /docs.
  if (found.length === 0 || found.some(({ methods }) => methods.has(method))) {
    throw new MigrationError('not-found', `there is no ${tellable(url)}; /openapi.json lists what there is`)
  }
  reply.header('Allow', allowed)
  throw new MigrationError('method-not-allowed', `${path} does not take ${method}; it takes ${allowed}`)
}

/** The path of a request target, in origin or in absolute form (RFC 9112, section 3.2). */
function pathOf(url: string): string {
  const path = url.replace(/^https?:\/\/[^/?]*/i, '').split('?')[0] ?? ''
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

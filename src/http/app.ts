import accepts from '@fastify/accepts'
import cors from '@fastify/cors'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Engine } from '../core/engine.ts'
import { MigrationError } from '../core/errors.ts'
import type { Directory } from '../core/migration.ts'
import type { Runs } from '../core/runs.ts'
import type { CurrentStatus } from '../core/status.ts'
import { type AuthOptions, guardRequests } from './auth.ts'
import { refuseBodies } from './body.ts'
import { changeRoutes } from './changes.ts'
import { describeRoutes, documentationRoutes } from './documentation.ts'
import { migrationRoutes } from './migrations.ts'
import { probeRoutes } from './probes.ts'
import { answerBareProblem, answerProblem } from './problem.ts'

export interface AppOptions extends AuthOptions {
  readonly engine: Engine
  readonly runs: Runs
  readonly status: () => Promise<CurrentStatus>
  /** The directory as it was a moment ago. */
  readonly recent: () => Promise<Directory>
  /** The process is about to end. */
  readonly closing: () => boolean
  readonly newId: () => string
  readonly version: string
  readonly log: FastifyBaseLogger
}

/** How long a request may take to arrive whole, in milliseconds. */
const ARRIVAL_MS = 10_000

/** The whole of schemad's HTTP, not listening yet. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: options.log,
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: 'requestId',
    }),
    genReqId: ({ headers }) => wellFormed(headers['x-request-id']) ?? options.newId(),
    routerOptions: { ignoreTrailingSlash: true },
    // Nothing of a request is removed, completed or converted: what does not fit is refused.
    ajv: {
      customOptions: {
        removeAdditional: false,
        coerceTypes: false,
        useDefaults: false,
      },
    },
    // Fastify's own 503 is no problem document; the routes refuse by themselves while the process ends.
    return503OnClosing: false,
    clientErrorHandler: answerBareProblem,
    requestTimeout: ARRIVAL_MS,
    // Given at creation too: Node 24 does not enforce one that is only assigned afterwards, as Fastify does.
    http: { requestTimeout: ARRIVAL_MS, headersTimeout: ARRIVAL_MS, connectionsCheckingInterval: 1_000 },
  })
  app.setErrorHandler(answerProblem)
  // The schemas describe the answers and do not filter them; a test holds the two together.
  app.setSerializerCompiler(() => (body) => `${JSON.stringify(body)}\n`)
  app.setReplySerializer((body) => `${JSON.stringify(body)}\n`)
  const { corsOrigins } = options
  if (corsOrigins.length > 0) {
    await app.register(cors, {
      origin: [...corsOrigins],
      exposedHeaders: ['ETag', 'Location', 'Retry-After', 'X-Request-Id'],
    })
  }
  await app.register(accepts)
  refuseBodies(app)
  answerHeaders(app, options.closing)
  logRequests(app)
  refuseUnknown(app)
  guardRequests(app, options)
  await describeRoutes(app, options.version)
  migrationRoutes(app, options)
  changeRoutes(app, options.runs)
  probeRoutes(app, options)
  await documentationRoutes(app)
  await app.ready()
  return app
}

function wellFormed(id: string | string[] | undefined): string | undefined {
  return typeof id === 'string' && /^[\w.:/+=-]{1,128}$/.test(id) ? id : undefined
}

function answerHeaders(app: FastifyInstance, closing: () => boolean): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('X-Request-Id', request.id).header('X-Content-Type-Options', 'nosniff')
  })
  // An idle keep-alive connection would hold up the close for as long as the client likes.
  app.addHook('onSend', async (_, reply) => {
    if (closing()) reply.header('Connection', 'close')
  })
}

function logRequests(app: FastifyInstance): void {
  app.addHook('onResponse', async (request, reply) => {
    const level = request.routeOptions.config.probe === true ? 'debug' : 'info'
    const { method, url, actor, ip } = request
    const durationMs = Math.round(reply.elapsedTime * 1000) / 1000
    request.log[level]({ method, url, status: reply.statusCode, actor, ip, durationMs }, `${method} ${url}`)
  })
}

/** 405 with `Allow` where the path is known, 404 where it is not. */
function refuseUnknown(app: FastifyInstance): void {
  const routes: { path: RegExp; methods: Set<string> }[] = []
  app.addHook('onRoute', ({ url, method }) => {
    const path = new RegExp(`^${url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/:[^/]+/g, '[^/]+')}/?$`)
    const known = routes.find((route) => route.path.source === path.source)
    const methods = [method].flat()
    if (known) for (const one of methods) known.methods.add(one)
    else routes.push({ path, methods: new Set(methods) })
  })
  app.setNotFoundHandler(async ({ method, url }, reply) => {
    const path = url.split('?')[0] ?? ''
    const allowed = routes.find((route) => route.path.test(path))?.methods
    if (allowed === undefined)
      throw new MigrationError('not-found', `there is no ${path.slice(0, 200)}; /openapi.json lists what there is`)
    reply.header('Allow', [...allowed].join(', '))
    throw new MigrationError(
      'method-not-allowed',
      `${path} does not take ${method}; it takes ${[...allowed].join(', ')}`,
    )
  })
}

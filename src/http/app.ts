import type { IncomingMessage, ServerResponse } from 'node:http'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify'
import type { CurrentStatus } from '../core/current-status.ts'
import type { Engine } from '../core/engine.ts'
import { MigrationError } from '../core/errors.ts'
import type { Directory } from '../core/migration.ts'
import type { Runs } from '../core/runs.ts'
import { type AuthOptions, guardRequests } from './auth.ts'
import { backupRoutes } from './backups.ts'
import { refuseBodies } from './body.ts'
import { changeRoutes } from './changes.ts'
import { documentationRoutes } from './documentation.ts'
import { tagAnswers } from './etag.ts'
import { eventRoutes } from './events.ts'
import { linkRoutes } from './links.ts'
import { logRequests } from './log.ts'
import { type Metrics, metricsRoutes } from './metrics.ts'
import { migrationRoutes } from './migrations.ts'
import { probeRoutes } from './probes.ts'
import { answerBareProblem, answerProblem, rememberAnswered } from './problem.ts'
import { problemRoutes } from './problem-routes.ts'
import { runRoutes } from './run-routes.ts'
import { schemaRoutes } from './schema.ts'
import { SECURITY_HEADERS, secureAnswers } from './security.ts'
import { refuseUnknown } from './unknown.ts'
import { type Judges, NO_COMPILERS } from './validation.ts'

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
  readonly metrics: Metrics
  readonly judges: Judges
  /** Why the migration at start has failed. */
  readonly startFailure: () => MigrationError | null
  readonly log: FastifyBaseLogger
}

/** How long a request may take to arrive whole, in milliseconds. */
const ARRIVAL_MS = 10_000

/** The most characters of a parameter in a path: no head is longer. */
const MOST_PARAMETER = 16_384

/** The whole of schemad's HTTP, not listening yet. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: options.log,
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: 'requestId',
    }),
    genReqId: ({ headers }) => wellFormed(headers['x-request-id']) ?? options.newId(),
    // A parameter that is too long is judged like any other that does not fit.
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: MOST_PARAMETER },
    frameworkErrors: answerUnroutable,
    schemaController: NO_COMPILERS,
    // Fastify's own 503 is no problem document; the routes refuse by themselves while the process ends.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => answerBareProblem(error, socket, options.log),
    requestTimeout: ARRIVAL_MS,
    // Given at creation too: Node 24 does not enforce one that is only assigned afterwards, as Fastify does.
    http: {
      requestTimeout: ARRIVAL_MS,
      headersTimeout: ARRIVAL_MS,
      connectionsCheckingInterval: 1_000,
      // Node's own refusal is no problem document.
      requireHostHeader: false,
    },
  })
  app.setErrorHandler(answerProblem)
  app.setValidatorCompiler(options.judges.of)
  // The schemas describe the answers and do not filter them; a test holds the two together.
  app.setSerializerCompiler(() => serialized)
  app.setReplySerializer(serialized)
  answerHeaders(app, options.closing)
  tagAnswers(app)
  secureAnswers(app)
  logRequests(app, options.metrics)
  refuseUnknown(app)
  refuseMalformed(app)
  const { corsOrigins } = options
  if (corsOrigins.length > 0) {
    const { default: cors } = await import('@fastify/cors')
    await app.register(cors, {
      origin: [...corsOrigins],
      methods: ['GET', 'HEAD', 'POST', 'DELETE'],
      exposedHeaders: ['ETag', 'Location', 'Preference-Applied', 'Retry-After', 'X-Request-Id'],
    })
  }
  refuseBodies(app)
  guardRequests(app, options)
  documentationRoutes(app, options.version)
  migrationRoutes(app, options)
  changeRoutes(app, options.runs)
  runRoutes(app, options.runs)
  eventRoutes(app, options.runs)
  backupRoutes(app, options)
  schemaRoutes(app, options.engine)
  linkRoutes(app, options.version)
  probeRoutes(app, options)
  metricsRoutes(app, options)
  problemRoutes(app)
  await app.ready()
  return app
}

function serialized(body: unknown): string {
  return `${JSON.stringify(body)}\n`
}

function wellFormed(id: string | string[] | undefined): string | undefined {
  return typeof id === 'string' && /^[\w.:/+=-]{1,128}$/.test(id) ? id : undefined
}

function answerHeaders(app: FastifyInstance, closing: () => boolean): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('X-Request-Id', request.id)
    done()
  })
  app.addHook('onSend', ({ raw }, reply, _, done) => {
    rememberAnswered(raw)
    // An idle keep-alive connection would hold up the close for as long as the client likes.
    if (closing()) reply.header('Connection', 'close')
    // Fastify closes after each refusal of a body, and who still writes it is reset before the refusal is read (RFC 9112,
    // section 9.6). Kept open, what is left of the body is read and dropped, for as long as a request may take to arrive.
    else if (reply.hasHeader('connection')) reply.removeHeader('connection')
    done()
  })
}

/** What Node would refuse by itself, with an empty body or none. */
function refuseMalformed(app: FastifyInstance): void {
  app.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    delete request.headers.expect
    Object.assign(request, { unmet: true })
    app.routing(request, response)
  })
  app.addHook('onRequest', ({ raw }, _, done) => {
    if ('unmet' in raw) throw new MigrationError('invalid-request', 'only Expect: 100-continue can be met')
    // RFC 9112, section 3.2.4
    if (raw.url?.startsWith('*') && (raw.url !== '*' || raw.method !== 'OPTIONS'))
      throw new MigrationError('invalid-request', 'only OPTIONS may ask for *; ask for a path')
    // RFC 9112, section 3.2
    const hosts = hostsIn(raw.rawHeaders)
    if (hosts > 1 || (raw.httpVersion === '1.1' && hosts === 0))
      throw new MigrationError('invalid-request', `the request has ${hosts || 'no'} Host; HTTP/1.1 needs one`)
    done()
  })
}

/** How many of the headers, names and values in turn, are Host: Node tells one of them only. */
function hostsIn(headers: readonly string[]): number {
  let hosts = 0
  for (let at = 0; at < headers.length; at += 2) if (/^host$/i.test(headers[at] ?? '')) hosts += 1
  return hosts
}

/** For a URL that cannot be decoded, which never gets as far as a route. */
function answerUnroutable(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  request.log.info({ method: request.method, status: 400, code: 'invalid-request', ip: request.ip }, 'no valid URL')
  answerProblem(error, request, reply.headers(SECURITY_HEADERS).header('X-Request-Id', request.id))
}

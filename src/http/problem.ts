import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { asMigrationError, MigrationError } from '../core/errors.ts'
import { PROBLEMS } from './problem-list.ts'
import type { ProblemDocument } from './schemas.ts'

/** The error of Fastify, the router, the validator or ours, as a problem document: the one place that makes them. */
export function answerProblem(
  error: FastifyError | MigrationError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const known = translated(error)
  const { status, retryable } = PROBLEMS[known.code]
  if (known.code === 'internal') request.log.error({ err: error, requestId: request.id }, 'internal error')
  if (status === 401) reply.header('WWW-Authenticate', 'Bearer realm="schemad"')
  if (retryable && status !== 500) reply.header('Retry-After', '1')
  request.problem = known
  // Not every route serializes alike, and the router's own answers have no route.
  const body = `${JSON.stringify(documentOf(known, tellable(request.url)))}\n`
  return reply
    .code(status)
    .type('application/problem+json; charset=utf-8')
    .serializer((made: unknown) => made as string)
    .send(body)
}

/** The problem document of `error`. What caused it stays in the log. */
export function documentOf({ code, message, details }: MigrationError, instance: string): ProblemDocument {
  const { status, retryable, title } = PROBLEMS[code]
  const document = { type: `/problems/${code}`, title, status, detail: message, instance, code, retryable }
  // They come first, and nothing takes their place.
  return { ...document, ...details, ...document }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** What it was refused or failed with. */
    problem: MigrationError | null
  }
}

/** The parameters that we know; anything else in a query may be a secret that was sent by mistake. */
const KNOWN = new Set('atomic dryRun from limit before rehearse schema state steps target wait'.split(' '))

/** `url` as it may stand in an answer and in the log: its path, and what is well formed of the parameters that we know. */
export function tellable(url: string): string {
  const target = url.slice(0, MOST_URL).replace(/^https?:\/\/[^/?#]*/i, '')
  const path = /^[^?#;]*/.exec(target)?.[0] ?? ''
  const query = target.slice(path.length + 1).split('#')[0] ?? ''
  if (path.length === target.length) return path
  if (target[path.length] !== '?') return `${path}…`
  const told = query.split('&').map((pair) => {
    const [name = '', value = ''] = pair.split(/=(.*)/s)
    if (KNOWN.has(name)) return /^[\w-]{0,12}$/.test(value) ? pair : `${name}=…`
    return pair.includes('=') && /^\w{1,20}$/.test(name) ? `${name}=…` : '…'
  })
  return `${path}?${told.join('&')}`
}

const MOST_URL = 300

/** Answers on the bare socket what never became a request: a head that is too long, no HTTP at all, a body that never came. */
export function answerBareProblem(error: { readonly code?: string }, socket: Socket, log: FastifyBaseLogger): void {
  if (error.code === 'ECONNRESET' || !socket.writable || isAnswering(socket)) return void socket.destroy()
  const reason = BARE[error.code ?? ''] ?? 'the request is no valid HTTP'
  log.info({ status: 400, code: 'invalid-request', detail: reason, ip: socket.remoteAddress }, 'no valid request')
  const body = `${JSON.stringify(documentOf(new MigrationError('invalid-request', reason), '/'))}\n`
  const head = [
    'HTTP/1.1 400 Bad Request',
    'Content-Type: application/problem+json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/** Remembers that `request` has its answer, whatever of its body is still to come and may be wrong. */
export function rememberAnswered(request: IncomingMessage): void {
  ANSWERED.set(request.socket, request)
}

const ANSWERED = new WeakMap<Socket, IncomingMessage>()

/**
 * Whether the connection's request has its answer, or another one is being answered: what is wrong with the body that
 * comes late, or with the next one, is no answer to it.
 */
function isAnswering(socket: Socket): boolean {
  if (ANSWERED.get(socket)?.complete === false) return true
  const { _httpMessage: pending } = socket as { _httpMessage?: ServerResponse | null }
  return pending != null && (pending.headersSent || pending.req.complete)
}

const BARE: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: 'the URL and the headers are too long; everything schemad takes fits in 16 KiB',
  ERR_HTTP_REQUEST_TIMEOUT: 'the request did not arrive in time; send it at once',
}

function translated(error: FastifyError | MigrationError): MigrationError {
  if (error instanceof MigrationError) return error
  if (error.validation) return new MigrationError('invalid-request', validationMessage(error))
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new MigrationError('invalid-request', lowerCased(error.message))
  }
  return asMigrationError(error)
}

/** The first thing that is wrong with a parameter, in words. */
function validationMessage({ validation, validationContext }: FastifyError): string {
  const [first] = validation ?? []
  const name = first?.instancePath.slice(1) ?? ''
  if (first?.keyword === 'additionalProperties') {
    const unknown = String(first.params.additionalProperty)
    // A long one may be a secret that was sent by mistake.
    return `unknown parameter${/^\w{1,20}$/.test(unknown) ? ` ${unknown}` : ''}; look it up in /openapi.json`
  }
  if (first?.keyword === 'required') return `the parameter ${first.params.missingProperty} is missing; give it`
  if (first?.keyword === 'type') return `the parameter ${name} is given more than once; give it once`
  if (first?.keyword === 'const') return `${name} must be ${first.params.allowedValue}`
  if (first?.keyword === 'enum') return `${name} must be one of ${(first.params.allowedValues as string[]).join(', ')}`
  if (name === 'schema') return 'schema must be current, or the id of a migration'
  if (name === 'before' || name === 'name') return `${name} is not well formed; take it as it was listed`
  return `${name || validationContext} ${first?.keyword === 'pattern' ? 'must be a whole number, plainly written' : (first?.message ?? 'is wrong')}`
}

function lowerCased(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1)
}

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { ERROR_CODES, MigrationError } from '../core/errors.ts'
import { preferred } from './accept.ts'
import { answer } from './answer.ts'
import { notModified } from './etag.ts'
import { listHtml, listText, pageHtml, pageText, STYLE } from './problem-page.ts'
import { OPEN_REFUSALS, problems } from './refusals.ts'
import { pageCsp } from './security.ts'
import { vary } from './vary.ts'

const none = Type.Object({}, { additionalProperties: false })
const config = { role: 'open' } as const

const list = {
  operationId: 'listProblems',
  summary: 'The problems, by their codes',
  description: 'All that `type` of a problem document may name. HTML for a browser, else text.',
  tags: ['problems'],
  querystring: none,
  response: {
    200: answer('Each with its status', {
      'text/plain': [Type.String(), 'problems-text'],
      'text/html': [Type.String(), 'problems-html'],
    }),
    ...notModified,
    ...problems(...OPEN_REFUSALS),
  },
}

const one = {
  operationId: 'findProblem',
  summary: 'What a problem is, why it comes, and what to do',
  description: 'Where `type` of a problem document leads. HTML for a browser, else text.',
  tags: ['problems'],
  params: Type.Object({ code: Type.String({ description: 'Its code' }) }),
  querystring: none,
  response: {
    200: answer('The page of the problem', {
      'text/plain': [Type.String(), 'problem-text'],
      'text/html': [Type.String(), 'problem-html'],
    }),
    ...notModified,
    ...problems(...OPEN_REFUSALS, 'not-found.problem'),
  },
}

/** `GET /problems` and `GET /problems/{code}`. */
export function problemRoutes(app: FastifyInstance): void {
  app.get('/problems', { schema: list, config }, async (request, reply) => told(request, reply, listText, listHtml))
  app.get<{ Params: { code: string } }>('/problems/:code', { schema: one, config }, async (request, reply) => {
    const code = ERROR_CODES.find((known) => known === request.params.code)
    if (code === undefined) {
      const asked = request.params.code.slice(0, MOST_CODE)
      throw new MigrationError('not-found', `there is no problem ${asked}; GET /problems lists them`)
    }
    return told(
      request,
      reply,
      () => pageText(code),
      () => pageHtml(code),
    )
  })
}

/** What of an unknown code is repeated. */
const MOST_CODE = 40

/** Browsers ask for HTML by name; everybody else reads text. */
function told(request: FastifyRequest, reply: FastifyReply, text: () => string, html: () => string): FastifyReply {
  vary(reply, 'Accept')
  if (preferred(request, 'text/plain', 'text/html') !== 'text/html')
    return reply.type('text/plain; charset=utf-8').send(text())
  return reply.type('text/html; charset=utf-8').header('Content-Security-Policy', pageCsp(STYLE)).send(html())
}

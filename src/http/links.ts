import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { answer } from './answer.ts'
import { notModified } from './etag.ts'
import { OPEN_REFUSALS, problems } from './refusals.ts'

/** Where everything is. */
export const LINKS = {
  migrations: '/migrations',
  migrate: '/migrate',
  rollback: '/rollback',
  baseline: '/baseline',
  repair: '/repair',
  runs: '/runs',
  backups: '/backups',
  schema: '/schema',
  livez: '/livez',
  readyz: '/readyz',
  metrics: '/metrics',
  openapi: '/openapi.json',
  docs: '/docs',
  problems: '/problems',
} as const

const schema = {
  operationId: 'listLinks',
  summary: 'What there is',
  tags: ['migrations'],
  querystring: Type.Object({}, { additionalProperties: false }),
  response: {
    200: answer('The links', {
      'application/json': [
        Type.Object({
          name: Type.String(),
          version: Type.String(),
          links: Type.Record(Type.String(), Type.String()),
        }),
        'links',
      ],
    }),
    ...notModified,
    ...problems(...OPEN_REFUSALS, 'unauthorized'),
  },
}

/** `GET /`. */
export function linkRoutes(app: FastifyInstance, version: string): void {
  app.get('/', { schema }, async () => ({ name: 'schemad', version, links: LINKS }))
}

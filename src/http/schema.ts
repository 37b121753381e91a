import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { Engine } from '../core/engine.ts'
import { preferred } from './accept.ts'
import { answer } from './answer.ts'
import { notModified } from './etag.ts'
import { problems, READ_REFUSALS } from './refusals.ts'
import { vary } from './vary.ts'

const schema = {
  operationId: 'findSchema',
  summary: 'The schema of the database as it is',
  description:
    'The SQL of all tables, indexes, views and triggers but schemad’s own three tables, by kind and name; an empty database that is given it has the same schema. Two databases with the same checksum have the same schema.',
  tags: ['migrations'],
  querystring: Type.Object({}, { additionalProperties: false }),
  response: {
    200: answer('The schema', {
      'application/json': [
        Type.Object({
          sql: Type.String(),
          checksum: Type.String({ description: '`sha256:` and the hash of the SQL' }),
        }),
        'schema',
      ],
      'text/plain': [Type.String({ description: 'The SQL alone' }), 'schema-text'],
    }),
    ...notModified,
    ...problems(...READ_REFUSALS),
  },
}

/** `GET /schema`. */
export function schemaRoutes(app: FastifyInstance, engine: Engine): void {
  app.get('/schema', { schema }, async (request, reply) => {
    const sql = (await engine.schema()).map((statement) => `${statement}\n`).join('')
    vary(reply, 'Accept')
    if (preferred(request, 'application/json', 'text/plain') === 'text/plain')
      return reply.type('text/plain; charset=utf-8').send(sql)
    return { sql, checksum: `sha256:${createHash('sha256').update(sql).digest('hex')}` }
  })
}

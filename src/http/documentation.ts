import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { DOCUMENTATION_CSP } from './security.ts'

const config = { role: 'open' } as const

/** Collects the routes' schemas. Stands before the routes. */
export async function describeRoutes(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'schemad',
        version,
        description:
          'Owns one SQLite file and the numbered migrations of a directory: tells how they stand, applies them and rolls them back.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: '/' }],
      tags: [
        { name: 'migrations', description: 'How they stand' },
        { name: 'changes', description: 'One at a time' },
        { name: 'runs', description: 'What was done, when and by whom' },
        { name: 'backups', description: 'One before each run' },
        { name: 'probes', description: 'For what runs the process' },
      ],
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      },
      security: [{ token: [] }, {}],
    },
  })
}

/** `GET /openapi.json` and `GET /docs`. */
export async function documentationRoutes(app: FastifyInstance): Promise<void> {
  const schema = {
    hide: true,
    querystring: Type.Object({}, { additionalProperties: false }),
  }
  app.get('/openapi.json', { schema, config }, async () => app.swagger())
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, ...config }
    })
    await scope.register(swaggerUi, { routePrefix: '/docs', staticCSP: DOCUMENTATION_CSP })
  })
}

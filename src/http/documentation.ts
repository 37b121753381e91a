import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { Role } from './auth.ts'
import { EXAMPLES, linksExample, PROBLEM_EXAMPLES } from './examples.ts'
import { SHARED } from './schemas.ts'
import { DOCUMENTATION_CSP } from './security.ts'

const config = { role: 'open' } as const

/** Collects the routes' schemas. Stands before the routes. */
export async function describeRoutes(app: FastifyInstance, version: string): Promise<void> {
  for (const schema of SHARED) app.addSchema(schema)
  await app.register(swagger, {
    refResolver: { buildLocalReference: ({ $id }, _, __, at) => String($id ?? `def-${at}`) },
    transform: ({ schema, url, route }) => ({
      url,
      schema: { ...schema, ...leaveOf(schema, route.config?.role), ...tagsOf(schema as Described) },
    }),
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
        { name: 'problems', description: 'What is answered where something is refused or fails' },
        { name: 'probes', description: 'For what runs the process' },
      ],
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
        examples: { ...EXAMPLES, ...PROBLEM_EXAMPLES, links: linksExample(version) },
      },
      security: [{ token: [] }, {}],
    },
  })
}

/** What a route's role says to who reads: no token is needed, or which one, where there are tokens. */
function leaveOf({ description }: { readonly description?: string }, role: Role | 'open' | undefined) {
  if (role === 'open') return { security: [] }
  if (role === undefined) return {}
  const needed = `Where tokens are in force, it takes one of the role \`${role}\`.`
  return { description: description === undefined ? needed : `${description} ${needed}` }
}

interface Described {
  readonly headers?: object
  readonly response?: Readonly<Record<string, object>>
}

const ETAG = { ETag: { type: 'string', description: 'Give it as If-None-Match the next time' } }
const IF_NONE_MATCH = { type: 'string', description: 'The ETag of an earlier answer: 304 where it would be the same' }

/** The headers of an answer that may be 304. */
function tagsOf({ headers, response }: Described) {
  if (response?.[304] === undefined) return {}
  const answers = { ...response, 200: { ...response[200], headers: ETAG }, 304: { ...response[304], headers: ETAG } }
  return {
    headers: { ...headers, ...Type.Object({ 'if-none-match': Type.Optional(Type.Unsafe(IF_NONE_MATCH)) }) },
    response: answers,
  }
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

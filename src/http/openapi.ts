// The document and its pages. All of this is loaded when somebody asks for it first, which in most processes nobody does.
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifySchema,
  type RouteOptions,
} from 'fastify'
import { Type } from 'typebox'
import type { Role } from './auth.ts'
import { EXAMPLES, linksExample, PROBLEM_EXAMPLES } from './examples.ts'
import { SHARED } from './schemas.ts'
import { DOCUMENTATION_CSP } from './security.ts'
import { NO_COMPILERS } from './validation.ts'

/** A route with all that its schema says. */
export type DescribedRoute = RouteOptions & { readonly schema: FastifySchema }

/**
 * An application that answers for `GET /openapi.json` and for what is below `/docs`, and describes `routes`, which it does not
 * serve.
 */
export async function openDocumentation(routes: readonly DescribedRoute[], version: string): Promise<FastifyInstance> {
  const app = Fastify({
    exposeHeadRoutes: false,
    routerOptions: { ignoreTrailingSlash: true },
    schemaController: NO_COMPILERS,
  })
  // They describe; here nothing is validated or serialized by them.
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => (body) => `${JSON.stringify(body)}\n`)
  app.setReplySerializer((body) => `${JSON.stringify(body)}\n`)
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
  // They are served elsewhere; a path such as /docs/../migrations leads here all the same.
  const handler = (_: FastifyRequest, reply: FastifyReply) => reply.code(404).send()
  for (const { method, url, schema, config = {} } of routes) app.route({ method, url, schema, config, handler })
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: DOCUMENTATION_CSP })
  await app.ready()
  return app
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

import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect, it } from 'vitest'
import { CATS } from './support/folder.ts'
import { type Answer, startServer } from './support/server.ts'

interface Document {
  readonly paths: Record<
    string,
    Record<string, { responses: Record<string, { content?: Record<string, { schema: object }> }> }>
  >
}

const committed = JSON.parse(readFileSync(new URL('../openapi/openapi.json', import.meta.url), 'utf8')) as Document

it('serves the committed OpenAPI document', async () => {
  const server = await startServer({ files: CATS })
  const { status, headers, body, text } = await server.get('/openapi.json')
  expect(status).toBe(200)
  expect(headers.get('content-type')).toMatch('application/json')
  expect(text.endsWith('\n')).toBe(true)
  expect(body).toEqual(committed)
  expect(body).toMatchObject({ openapi: '3.1.0' })
})

it('gives each answer in the form that the document describes', async () => {
  const server = await startServer({ files: CATS })
  const all: [string, string, Promise<Answer>][] = []
  const ask = async (method: 'get' | 'post', path: string, template = path.split('?')[0] ?? '') => {
    const answer = method === 'get' ? server.get(path) : server.post(path)
    all.push([method, template, answer])
    await answer
  }
  await ask('get', '/migrations')
  await ask('post', '/migrate?dryRun=true')
  await ask('post', '/migrate?target=1')
  await ask('post', '/migrate')
  await ask('post', '/migrate?from=0')
  await ask('post', '/migrate?target=99')
  await ask('get', '/migrations')
  await ask('get', '/migrations/2', '/migrations/{id}')
  await ask('get', '/migrations/9', '/migrations/{id}')
  await ask('get', '/migrations/x', '/migrations/{id}')
  await ask('post', '/rollback?target=-1')
  await ask('post', '/rollback')
  await ask('get', '/livez')
  await ask('get', '/readyz')
  await ask('get', '/readyz?schema=current')
  const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true } })
  const statuses = new Set<number>()
  for (const [method, path, answered] of all) {
    const { status, headers, body } = await answered
    statuses.add(status)
    const described = committed.paths[path]?.[method]?.responses[String(status)]
    const type = headers.get('content-type')?.split(';')[0] ?? ''
    const schema = described?.content?.[type]?.schema
    expect(schema, `${method} ${path} ${status} ${type}`).toBeDefined()
    expect(ajv.validate(schema ?? {}, body), `${method} ${path}: ${ajv.errorsText()}`).toBe(true)
  }
  expect([...statuses].sort()).toEqual([200, 400, 404, 409, 412, 503])
})

it('shows Swagger UI', async () => {
  const server = await startServer({ files: CATS, env: { ADMIN_TOKEN: 'an-admin-token-of-length' } })
  const page = await server.get('/docs/')
  expect(page.status).toBe(200)
  expect(page.headers.get('content-type')).toMatch('text/html')
  expect(page.text).toMatch('swagger-ui')
  expect((await server.get('/docs/json')).body).toEqual(committed)
})

import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect, it } from 'vitest'
import { CATS, ENDLESS, write } from './support/folder.ts'
import { type Answer, ask as request, startServer } from './support/server.ts'

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
  const ask = async (
    method: 'get' | 'post' | 'delete',
    path: string,
    template = path.split('?')[0] ?? '',
    headers: Record<string, string> = {},
  ) => {
    const answer = request(`${server.url}${path}`, { method: method.toUpperCase(), headers })
    all.push([method, template, answer])
    return await answer
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
  await ask('post', '/migrate?rehearse=true')
  const made = await ask('post', '/baseline?target=1')
  await ask('post', '/baseline?target=1')
  await ask('post', '/baseline')
  await ask('post', '/repair')
  await ask('post', '/migrate')
  await ask('get', '/runs?limit=2')
  await ask('get', '/runs?limit=0')
  await ask('get', `/runs/${made.body.id}`, '/runs/{id}')
  await ask('get', '/runs/nobody', '/runs/{id}')
  await ask('delete', `/runs/${made.body.id}`, '/runs/{id}')
  await ask('delete', '/runs/nobody', '/runs/{id}')
  const { backups } = (await ask('get', '/backups')).body as unknown as { backups: { name: string }[] }
  await ask('post', `/backups/${backups[0]?.name}/restore`, '/backups/{name}/restore')
  await ask('post', `/backups/${backups[0]?.name}/restore?from=7`, '/backups/{name}/restore')
  await ask('post', '/backups/nothing.db/restore', '/backups/{name}/restore')
  await ask('post', '/backups/..%2Fapp.db/restore', '/backups/{name}/restore')
  write(server.migrations, { '0003_never.up.sql': ENDLESS })
  const running = ask('post', '/migrate')
  await server.logged(({ msg }) => msg === '3 never')
  const [run] = (await ask('get', '/runs')).body.runs as { id: string }[]
  await ask('delete', `/runs/${run?.id}`, '/runs/{id}')
  await running
  await ask('get', `/runs/${run?.id}/events`, '/runs/{id}/events')
  await ask('get', `/runs/${run?.id}/events`, '/runs/{id}/events', { 'last-event-id': 'end' })
  await ask('get', '/runs/nobody/events', '/runs/{id}/events')
  write(server.migrations, { '0003_never.up.sql': 'SELECT 1;' })
  await ask('post', '/migrate', '/migrate', { prefer: 'respond-async' })
  await ask('post', '/repair', '/repair', { prefer: 'respond-async', accept: 'text/plain' })
  for (const path of ['/', '/schema', '/metrics', '/backups']) await ask('get', path)
  await ask('get', '/schema', '/schema', { accept: 'text/plain' })
  await ask('get', '/schema', '/schema', { 'if-none-match': '*' })
  await ask('get', '/livez')
  await ask('get', '/readyz')
  await ask('get', '/readyz?schema=99')
  const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true } })
  const statuses = new Set<number>()
  for (const [method, path, answered] of all) {
    const { status, headers, body, text } = await answered
    statuses.add(status)
    const described = committed.paths[path]?.[method]?.responses[String(status)]
    if (status === 204 || status === 304) {
      expect(described, `${method} ${path} ${status}`).toBeDefined()
      expect(text).toBe('')
      continue
    }
    const type = headers.get('content-type')?.split(';')[0] ?? ''
    const schema = described?.content?.[type]?.schema
    expect(schema, `${method} ${path} ${status} ${type}`).toBeDefined()
    expect(ajv.validate(schema ?? {}, /json/.test(type) ? body : text), `${method} ${path}: ${ajv.errorsText()}`).toBe(
      true,
    )
  }
  expect([...statuses].sort()).toEqual([200, 202, 204, 304, 400, 404, 409, 412, 503])
})

it('shows Swagger UI', async () => {
  const server = await startServer({ files: CATS, env: { ADMIN_TOKEN: 'an-admin-token-of-length' } })
  const page = await server.get('/docs/')
  expect(page.status).toBe(200)
  expect(page.headers.get('content-type')).toMatch('text/html')
  expect(page.text).toMatch('swagger-ui')
  expect((await server.get('/docs/json')).body).toEqual(committed)
})

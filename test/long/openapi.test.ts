import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import { expect, it } from 'vitest'
import { ERROR_CODES } from '../../src/core/errors.ts'
import { PROBLEMS } from '../../src/http/problem-list.ts'
import { codesOf, DOCUMENT, FILE, type Media, misfit, type Operation, pointer } from '../support/described.ts'
import { CATS, ENDLESS, write } from '../support/folder.ts'
import { ask as request, startServer } from '../support/server.ts'

it('serves the committed OpenAPI document', async () => {
  const server = await startServer({ files: CATS })
  const { status, headers, body, text } = await server.get('/openapi.json')
  expect(status).toBe(200)
  expect(headers.get('content-type')).toMatch('application/json')
  expect(text.endsWith('\n')).toBe(true)
  expect(body).toEqual(DOCUMENT)
  expect(body).toMatchObject({ openapi: '3.1.0' })
})

it('passes the recommended rules of Redocly, without exception', async () => {
  const source = readFileSync(FILE, 'utf8')
  expect(await complaints(source)).toEqual([])
  // It would be no proof if it passed whatever it is.
  const broken = JSON.parse(source)
  delete broken.paths['/migrate'].post.operationId
  broken.components.examples.migrated.value.kind = 'migrated'
  const rules = (await complaints(JSON.stringify(broken))).map((complaint) => complaint.split(':')[0])
  expect(new Set(rules)).toEqual(new Set(['operation-operationId', 'no-invalid-media-type-examples']))
})

async function complaints(source: string): Promise<string[]> {
  const config = await createConfig({ extends: ['recommended'] })
  const problems = await lintFromString({ source, absoluteRef: FILE, config })
  return problems.map(({ ruleId, message }) => `${ruleId}: ${message}`)
}

/** Every answer of every operation with a body, with where it stands. */
function answers(): { at: readonly string[]; operation: Operation; status: string; type: string; media: Media }[] {
  return Object.entries(DOCUMENT.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) =>
      Object.entries(operation.responses).flatMap(([status, { content = {} }]) =>
        Object.entries(content).map(([type, media]) => {
          const at = ['paths', path, method, 'responses', status, 'content', type]
          return { at, operation, status, type, media }
        }),
      ),
    ),
  )
}

it('shows an example of every answer, each as its schema says', () => {
  const examples = answers().flatMap(({ at, media }) => {
    expect(Object.keys(media.examples ?? {}), at.join(' ')).not.toEqual([])
    return Object.values(media.examples).map(({ $ref }) => ({ at, name: $ref.split('/').at(-1) ?? '' }))
  })
  for (const { at, name } of examples) {
    const { value } = DOCUMENT.components.examples[name] ?? expect.fail(`${name} is no example`)
    expect(misfit(pointer(...at, 'schema'), value), `${name} of ${at.join(' ')}`).toBe(null)
  }
  expect(new Set(examples.map(({ name }) => name))).toEqual(new Set(Object.keys(DOCUMENT.components.examples)))
})

it('shows every problem as an example, under the status that it is told with', () => {
  const shown = answers().filter(({ type }) => type === 'application/problem+json')
  for (const { at, status, media } of shown) {
    for (const [name, { $ref }] of Object.entries(media.examples)) {
      const { value } = DOCUMENT.components.examples[$ref.split('/').at(-1) ?? ''] ?? expect.fail($ref)
      const code = name.split('.')[0] as keyof typeof PROBLEMS
      expect(value, at.join(' ')).toMatchObject({ code, status: Number(status), type: `/problems/${code}` })
      expect(PROBLEMS[code].status).toBe(Number(status))
    }
  }
  expect(new Set(shown.flatMap(({ media }) => codesOf(media)))).toEqual(new Set(ERROR_CODES))
})

it('names each operation once, and asks no token of what is open', () => {
  const operations = Object.entries(DOCUMENT.paths).flatMap(([path, methods]) =>
    Object.values(methods).map((operation) => ({ path, operation })),
  )
  const ids = operations.map(({ operation }) => operation.operationId)
  expect(new Set(ids).size).toBe(ids.length)
  const open = operations.filter(({ operation }) => operation.security?.length === 0).map(({ path }) => path)
  expect(open).toEqual(['/livez', '/readyz', '/problems', '/problems/{code}'])
  for (const { path, operation } of operations) {
    expect(operation.responses[401] === undefined, path).toBe(open.includes(path))
    for (const status of ['204', '304']) expect(operation.responses[status]?.content, path).toBe(undefined)
  }
})

it('is not longer than it has to be', () => {
  expect(readFileSync(FILE).length).toBeLessThan(250_000)
})

it('gives each answer in the form that the document describes, which every test holds it to', async () => {
  const server = await startServer({ files: CATS })
  const statuses = new Set<number>()
  const ask = async (method: 'get' | 'post' | 'delete', path: string, headers: Record<string, string> = {}) => {
    const answer = await request(`${server.url}${path}`, { method: method.toUpperCase(), headers })
    statuses.add(answer.status)
    return answer
  }
  await ask('get', '/migrations')
  await ask('post', '/migrate?dryRun=true')
  await ask('post', '/migrate?target=1')
  await ask('post', '/migrate')
  await ask('post', '/migrate?from=0')
  await ask('post', '/migrate?target=99')
  await ask('get', '/migrations')
  await ask('get', '/migrations/2')
  await ask('get', '/migrations/9')
  await ask('get', '/migrations/x')
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
  await ask('get', `/runs/${made.body.id}`)
  await ask('get', '/runs/nobody')
  await ask('delete', `/runs/${made.body.id}`)
  await ask('delete', '/runs/nobody')
  const { backups } = (await ask('get', '/backups')).body as unknown as { backups: { name: string }[] }
  await ask('post', `/backups/${backups[0]?.name}/restore`)
  await ask('post', `/backups/${backups[0]?.name}/restore?from=7`)
  await ask('post', '/backups/nothing.db/restore')
  await ask('post', '/backups/..%2Fapp.db/restore')
  write(server.migrations, { '0003_never.up.sql': ENDLESS })
  const running = ask('post', '/migrate')
  await server.logged(({ msg }) => msg === '3 never')
  const [run] = (await ask('get', '/runs')).body.runs as { id: string }[]
  await ask('delete', `/runs/${run?.id}`)
  await running
  await ask('get', `/runs/${run?.id}/events`)
  await ask('get', `/runs/${run?.id}/events`, { 'last-event-id': 'end' })
  await ask('get', '/runs/nobody/events')
  write(server.migrations, { '0003_never.up.sql': 'SELECT 1;' })
  await ask('post', '/migrate', { prefer: 'respond-async' })
  await ask('post', '/repair', { prefer: 'respond-async', accept: 'text/plain' })
  for (const path of ['/', '/schema', '/metrics', '/backups']) await ask('get', path)
  await ask('get', '/schema', { accept: 'text/plain' })
  await ask('get', '/schema', { 'if-none-match': '*' })
  await ask('get', '/livez')
  await ask('get', '/readyz')
  await ask('get', '/readyz?schema=99')
  expect([...statuses].sort()).toEqual([200, 202, 204, 304, 400, 404, 409, 412, 503])
})

it('shows Swagger UI', async () => {
  const server = await startServer({ files: CATS, env: { ADMIN_TOKEN: 'an-admin-token-of-length' } })
  const page = await server.get('/docs/')
  expect(page.status).toBe(200)
  expect(page.headers.get('content-type')).toMatch('text/html')
  expect(page.text).toMatch(/swagger-ui[\s\S]*<\/html>\n$/)
  expect((await server.get('/docs?theme=dark')).body).toMatchObject({ status: 400, code: 'invalid-request' })
  expect((await server.get('/docs/json')).body).toEqual(DOCUMENT)
})

it.each([
  ['/docs/../migrations', 404, 'not-found'],
  ['/docs/%2e%2e/livez', 404, 'not-found'],
  ['/docs/\\..\\runs', 404, 'not-found'],
  ['/docs/static/%00', 400, 'invalid-request'],
  ['/docs/static/none.css', 404, 'not-found'],
])('below /docs, %s is answered with a problem', async (path, status, code) => {
  const server = await startServer({ files: CATS })
  // As it stands: a URL of JavaScript's would be made shorter first.
  const curl = spawnSync('curl', ['-sS', '-m', '20', '--path-as-is', `${server.url}${path}`], { encoding: 'utf8' })
  expect({ stderr: curl.stderr, ...(JSON.parse(curl.stdout) as object) }).toMatchObject({ stderr: '', status, code })
})

it('a slash at the end of a path of the documentation means nothing, and a 304 of it has no body', async () => {
  const server = await startServer({ files: CATS })
  expect((await server.get('/openapi.json/')).body).toEqual(DOCUMENT)
  expect((await server.get('/docs/json/')).body).toEqual(DOCUMENT)
  const file = `${server.url}/docs/static/swagger-ui.css`
  const etag = (await request(file)).headers.get('etag')
  // A client of JavaScript's would ask for no cached answer as well.
  const curl = spawnSync('curl', ['-sS', '-i', '-H', `If-None-Match: ${etag}`, file], { encoding: 'utf8' })
  expect(curl.stdout).toMatch(/^HTTP\/1\.1 304 /)
  expect(curl.stdout.toLowerCase()).not.toMatch(/\r\ncontent-(length|type):/)
  expect(curl.stdout).toMatch(/\r\n\r\n$/)
})

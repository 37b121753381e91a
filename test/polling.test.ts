import { describe, expect, it } from 'vitest'
import { CATS, write } from './support/folder.ts'
import { ask, shared, startServer, until } from './support/server.ts'

const served = shared(async (endWith) => {
  const server = await startServer({ files: CATS, endWith })
  const { id } = (await server.post('/migrate')).body
  return { server, id }
})

const PATHS = [
  '/',
  '/migrations',
  '/migrations?state=pending',
  '/migrations/1',
  '/runs',
  '/runs/ID',
  '/backups',
  '/schema',
  '/openapi.json',
]

describe('polling', () => {
  it.each(PATHS)('%s costs nothing while nothing has changed: ETag and 304', async (pattern) => {
    const { server, id } = served()
    const path = pattern.replace('ID', String(id))
    const first = await server.get(path)
    const etag = first.headers.get('etag') ?? ''
    expect(first.status).toBe(200)
    expect(etag).toMatch(/^"[\w-]{20,}"$/)
    expect(first.headers.get('cache-control')).toBe('no-cache')
    for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await server.get(path, { 'if-none-match': tag })
      expect(again).toMatchObject({ status: 304, text: '' })
      expect(again.headers.get('etag')).toBe(etag)
      expect(again.headers.get('cache-control')).toBe('no-cache')
      expect(again.headers.get('vary')).toBe(first.headers.get('vary'))
      // Of a body that is not there they would say nothing; whoever has it has them.
      for (const name of ['content-security-policy', 'x-content-type-options', 'content-type'])
        expect([name, first.headers.has(name), again.headers.has(name)]).toEqual([name, true, false])
    }
    const head = await ask(`${server.url}${path}`, { method: 'HEAD', headers: { 'if-none-match': etag } })
    expect(head.status).toBe(304)
    expect(await server.get(path, { 'if-none-match': '"other"' })).toMatchObject({ status: 200, text: first.text })
  })

  it.each([...PATHS, '/livez', '/readyz', '/metrics'])(
    'HEAD %s has the headers of GET and no body',
    async (pattern) => {
      const { server, id } = served()
      const path = pattern.replace('ID', String(id))
      const [got, head] = [await server.get(path), await ask(`${server.url}${path}`, { method: 'HEAD' })]
      expect(head).toMatchObject({ status: got.status, text: '' })
      // The numbers of the metrics are others each time.
      const names = ['content-type', 'etag', 'cache-control', ...(path === '/metrics' ? [] : ['content-length'])]
      for (const name of names) expect(head.headers.get(name), name).toBe(got.headers.get(name))
    },
  )

  it.each(['/migrations', '/schema'])(
    '%s has another tag as plain text, and says that it depends on Accept',
    async (path) => {
      const { server } = served()
      const [json, text] = [await server.get(path), await server.get(path, { accept: 'text/plain' })]
      expect(text.headers.get('etag')).not.toBe(json.headers.get('etag'))
      for (const { headers } of [json, text]) expect(headers.get('vary')).toMatch(/\baccept\b/i)
      const crossed = await server.get(path, { accept: 'text/plain', 'if-none-match': json.headers.get('etag') ?? '' })
      expect(crossed).toMatchObject({ status: 200, text: text.text })
    },
  )

  it.each(['/livez', '/readyz', '/metrics'])('%s is never kept by anybody', async (path) => {
    const { headers } = await served().server.get(path)
    expect(headers.get('etag')).toBe(null)
    expect(headers.get('cache-control')).toBe('no-store')
  })

  it('has another tag when the directory, the database or the run under way is another', async () => {
    const server = await startServer({ files: CATS })
    const tags = new Set<string | null>()
    const tag = async () => (await server.get('/migrations')).headers.get('etag')
    tags.add(await tag())
    await server.post('/migrate?target=0')
    tags.add(await tag())
    await server.post('/migrate')
    tags.add(await tag())
    const before = await tag()
    write(server.migrations, { '0003_more.up.sql': 'SELECT 1;' })
    await until(async () => (await tag()) !== before)
    tags.add(await tag())
    expect(tags.size).toBe(4)
  })
})

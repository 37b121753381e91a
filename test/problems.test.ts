import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ERROR_CODES } from '../src/core/errors.ts'
import type { Run } from '../src/core/migration.ts'
import { PROBLEMS } from '../src/http/problem-list.ts'
import { DOCUMENT, misfit } from './support/described.ts'
import { CATS } from './support/folder.ts'
import { withProblems } from './support/readme-problems.ts'
import { shared, startServer } from './support/server.ts'

/** What a browser sends. */
const BROWSER = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

describe('the pages of the problems', () => {
  // With tokens in force, and none sent.
  const server = shared((endWith) =>
    startServer({ files: CATS, env: { ADMIN_TOKEN: 'an-admin-token-of-length' }, endWith }),
  )

  it.each(ERROR_CODES)('tell of %s why it comes and what to do, as text and as HTML', async (code) => {
    const { status, title, cause, remedy } = PROBLEMS[code]
    const text = await server().get(`/problems/${code}`)
    expect(text.status).toBe(200)
    expect(text.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    for (const part of [code, `Status: ${status} `, title, cause, remedy]) expect(text.text).toContain(part)
    const html = await server().get(`/problems/${code}`, BROWSER)
    expect(html.status).toBe(200)
    expect(html.headers.get('content-type')).toBe('text/html; charset=utf-8')
    for (const part of [title, cause, remedy]) expect(readable(html.text)).toContain(plain(part))
    expect(wellFormed(html.text)).toBe(true)
  })

  it.each(ERROR_CODES)('show a document of %s as it is answered', async (code) => {
    const { text } = await server().get(`/problems/${code}`)
    const document = JSON.parse(/^\{$.*^\}$/ms.exec(text)?.[0] ?? '') as Record<string, unknown>
    const { status, title, retryable } = PROBLEMS[code]
    expect(document).toMatchObject({ type: `/problems/${code}`, code, status, title, retryable })
    expect(misfit('#/components/schemas/Problem', document)).toBe(null)
    const { run, detail } = document as { run?: { error: unknown }; detail: string }
    if (run !== undefined) expect(run.error).toMatchObject({ code, message: detail })
    const html = await server().get(`/problems/${code}`, BROWSER)
    expect(readable(html.text)).toContain(JSON.stringify(document, null, 2))
  })

  it('are listed, each with a link', async () => {
    const html = await server().get('/problems', BROWSER)
    const links = [...html.text.matchAll(/href="\/problems\/([^"]+)"/g)].map(([, code]) => code)
    expect(links).toEqual(ERROR_CODES)
    expect(wellFormed(html.text)).toBe(true)
    const { text, headers } = await server().get('/problems')
    expect(headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect([...text.matchAll(/^\d{3} ([\w-]+) /gm)].map(([, code]) => code)).toEqual(ERROR_CODES)
  })

  it.each([
    ['*/*', 'text/plain'],
    ['text/plain', 'text/plain'],
    ['application/problem+json', 'text/plain'],
    ['text/html', 'text/html'],
    ['text/html;q=0.5, text/plain', 'text/plain'],
    [BROWSER.accept, 'text/html'],
  ])('are given to who accepts %s as %s', async (accept, type) => {
    for (const path of ['/problems', '/problems/internal']) {
      const { headers } = await server().get(path, { accept })
      expect(headers.get('content-type')).toBe(`${type}; charset=utf-8`)
      expect(headers.get('vary')).toMatch(/\bAccept\b/)
    }
  })

  it('have an ETag for each form, and are not sent again to who has them', async () => {
    for (const path of ['/problems', '/problems/internal']) {
      const tags = new Set<string>()
      for (const headers of [{ accept: '*/*' }, BROWSER]) {
        const etag = (await server().get(path, headers)).headers.get('etag') ?? ''
        tags.add(etag)
        const again = await server().get(path, { ...headers, 'if-none-match': etag })
        expect([again.status, again.text]).toEqual([304, ''])
      }
      expect(tags.size).toBe(2)
    }
  })

  it('let a browser load their own style and nothing else', async () => {
    for (const path of ['/problems', '/problems/internal']) {
      const { text, headers } = await server().get(path, BROWSER)
      const styles = [...text.matchAll(/<style>(.*?)<\/style>/gs)].map(([, style]) => style ?? '')
      expect(styles.length).toBe(1)
      const hash = createHash('sha256')
        .update(styles[0] ?? '')
        .digest('base64')
      const policy = headers.get('content-security-policy') ?? ''
      expect(policy.split('; ')).toEqual(expect.arrayContaining(["default-src 'none'", `style-src 'sha256-${hash}'`]))
      expect(policy).not.toMatch(/unsafe|script-src/)
      expect(text).not.toMatch(/<script|\son\w+=|\sstyle=/)
    }
  })

  it('are where the type of every problem leads', async () => {
    const told = await server().get('/migrations')
    expect(told.status).toBe(401)
    const shown = Object.values(DOCUMENT.components.examples).map(({ value }) => (value as { type?: string }).type)
    const types = new Set([String(told.body.type), ...shown.filter((type) => type !== undefined)])
    expect(types.size).toBe(ERROR_CODES.length)
    for (const type of types) expect((await server().get(type)).status, type).toBe(200)
  })

  it.each(['nothing', 'Internal', 'constructor', '%3Cscript%3E', 'x'.repeat(500)])(
    'are not there for %s, which is no code',
    async (code) => {
      const { status, body } = await server().get(`/problems/${code}`, BROWSER)
      expect(status).toBe(404)
      expect(body).toMatchObject({ code: 'not-found', detail: expect.stringContaining('GET /problems') })
      expect(body.detail?.length).toBeLessThan(100)
    },
  )

  it('take no parameters', async () => {
    for (const path of ['/problems?x=1', '/problems/internal?x=1'])
      expect((await server().get(path)).body).toMatchObject({ status: 400, code: 'invalid-request' })
  })
})

it('no remedy has a command that changes something, pasted as it stands', () => {
  for (const code of ERROR_CODES) {
    const commands = [...PROBLEMS[code].remedy.matchAll(/`([^`]+)`/g)].map(([, command]) => command ?? '')
    for (const command of commands) {
      // A placeholder is refused; a rehearsal is made with a copy, and a repair runs nothing.
      const harmless = /=N\b|\b(ID|NAME)\b|rehearse=true|\/repair$/.test(command)
      if (/-X (POST|DELETE)|sqlite3/.test(command))
        expect({ code, command, harmless }).toMatchObject({ harmless: true })
      expect(command).not.toMatch(/(target|steps)=-?\d/)
    }
  }
})

it('the runs of the examples are such as there can be', () => {
  const examples = Object.values(DOCUMENT.components.examples).map(({ value }) => value as { run?: Run })
  const runs = examples.flatMap(({ run }) => (run === undefined ? [] : [run]))
  expect(runs.length).toBeGreaterThan(8)
  for (const { status, error, from, to, steps, schemaChanges, durationMs } of runs) {
    const at = { status, code: error?.code }
    expect({ ...at, failed: steps.filter((step) => step.status === 'failed').length < 2 }).toEqual({
      ...at,
      failed: true,
    })
    if (from === to)
      expect({ ...at, schemaChanges }).toEqual({ ...at, schemaChanges: { created: [], dropped: [], altered: [] } })
    const killed = ['cancelled', 'timed-out', 'interrupted'].includes(status) || error?.code === 'runner-crashed'
    if (!killed) continue
    // Nobody has measured what was killed, and what the server tells of it is in whole milliseconds.
    expect({ ...at, step: steps.find((step) => step.status === 'failed')?.durationMs }).toEqual({ ...at, step: null })
    expect({ ...at, whole: Number.isInteger(durationMs) }).toEqual({ ...at, whole: true })
  }
})

it('GET / links to the problems', async () => {
  const server = await startServer({ files: CATS })
  expect((await server.get('/')).body.links).toMatchObject({ problems: '/problems' })
})

it('the README tells of every problem what the list says: npm run openapi writes it', () => {
  expect(withProblems(README)).toBe(README)
  for (const code of ERROR_CODES) expect(README).toContain(`| \`${code}\` | ${PROBLEMS[code].status} |`)
})

/** What a reader sees of a page. */
function readable(html: string): string {
  return html
    .replace(/<[^>]*>/g, '')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&')
}

/** What stands between backticks is shown as code. */
function plain(text: string): string {
  return text.replaceAll('`', '')
}

/** Whether a page says what it is, and closes what it opens. */
function wellFormed(html: string): boolean {
  expect(html).toMatch(/^<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">/)
  expect(html).toMatch(/<meta name="viewport" content="width=device-width, initial-scale=1">/)
  expect(html).toMatch(/<title>[^<]+<\/title>/)
  expect(html.replace(/&(amp|lt|gt|quot);/g, '')).not.toMatch(/&/)
  const open: string[] = []
  for (const [, slash, name = ''] of html.matchAll(/<(\/?)([a-z]\w*)[^>]*>/g)) {
    if (['meta', 'br'].includes(name)) continue
    if (slash === '') open.push(name)
    else if (open.pop() !== name) return false
  }
  return open.length === 0
}

import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'

export interface Media {
  readonly schema: object
  readonly examples: Readonly<Record<string, { readonly $ref: string }>>
}

export interface Operation {
  readonly operationId: string
  readonly security?: readonly object[]
  readonly parameters?: readonly Parameter[]
  readonly responses: Readonly<Record<string, Answer>>
}

interface Answer {
  readonly headers?: Readonly<Record<string, object>>
  readonly content?: Readonly<Record<string, Media>>
}

export interface Parameter {
  readonly name: string
  readonly in: 'query' | 'path' | 'header'
  readonly schema: { readonly enum?: readonly string[]; readonly pattern?: string }
}

/** As it is committed, and as the service gives it at `/openapi.json`. */
export interface Document {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly examples: Readonly<Record<string, { readonly value: unknown }>> }
}

export const FILE = new URL('../../openapi/openapi.json', import.meta.url).pathname

export const DOCUMENT = JSON.parse(readFileSync(FILE, 'utf8')) as Document

/** An answer as it came. */
export interface Told {
  readonly status: number
  readonly headers: { get(name: string): string | null | undefined }
  readonly text: string
}

/** What of an answer to `method` and the request target `target` the document does not say; `null` where it says it all. */
export function undescribed(method: string, target: string, answer: Told): string | null {
  const template = templateOf(pathOf(target))
  const operation = template === null ? undefined : DOCUMENT.paths[template]?.[nameOf(method)]
  if (operation !== undefined) return misfitOf(operation, template ?? '', method, answer)
  const { status } = answer
  // The documentation is not in the document.
  if (/^\/(docs|openapi\.json)(\/|$)/i.test(pathOf(target) ?? '') && status < 400) return null
  // CORS answers a preflight.
  if (method === 'OPTIONS' && status === 204) return null
  return REFUSALS.includes(status) ? noProblem(method, answer) : `a ${status} where the document has nothing`
}

/** How what the document does not have may be answered. */
export const REFUSALS: readonly number[] = [400, 401, 403, 404, 405]

/** The path of a request target, decoded; `null` where it cannot be. */
export function pathOf(target: string): string | null {
  try {
    const path = decodeURIComponent(target.replace(/^https?:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, ''))
    // An empty one is the root (RFC 9110, section 4.2.3).
    return path.length > 1 ? path.replace(/\/$/, '') : path || '/'
  } catch {
    // It is no text in percent-encoded UTF-8.
    return null
  }
}

/** The path of the document that `path` is one of. */
export function templateOf(path: string | null): string | null {
  if (path === null) return null
  const templates = Object.keys(DOCUMENT.paths)
  const fits = (template: string) => new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(path)
  return templates.find((template) => template === path) ?? templates.find(fits) ?? null
}

/** The name in the document of the operation that is asked for by `method`. */
export function nameOf(method: string): string {
  return method === 'HEAD' ? 'get' : method.toLowerCase()
}

/** What keeps an answer from being a problem document with its status, of one of these codes. */
export function noProblem(method: string, { status, headers, text }: Told, codes?: readonly string[]): string | null {
  const type = headers.get('content-type')
  if (type !== PROBLEM) return `a ${status} of the type ${type}`
  if (status === 405 && !headers.get('allow')) return 'a 405 without Allow'
  if (method === 'HEAD') return null
  const wrong = unread(text) ?? misfit('#/components/schemas/Problem', JSON.parse(text))
  if (wrong !== null) return wrong
  const told = JSON.parse(text) as { status: number; code: string; type: string }
  if (told.status !== status) return `a ${status} that calls itself ${told.status}`
  return codes === undefined || codes.includes(told.code) ? null : `the document has no ${told.code} here`
}

const PROBLEM = 'application/problem+json; charset=utf-8'

/** What is wrong with `value` by a schema, or by the one that the document has at a pointer. */
export function misfit(schema: object | string, value: unknown): string | null {
  const validate = typeof schema === 'string' ? ajv.getSchema(`${ID}${schema}`) : ajv.compile(schema)
  if (validate === undefined) return `the document has nothing at ${schema}`
  return validate(value) ? null : ajv.errorsText(validate.errors)
}

/** A part of the document by its JSON pointer, as a fragment. */
export function pointer(...parts: readonly string[]): string {
  return `#/${parts.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}`
}

const ID = 'https://schemad.invalid/openapi.json'
const ajv = new Ajv2020({ strict: false, allErrors: true })
formats.default(ajv)
// The document is no schema, and has some in it.
ajv.addSchema({ ...(closed(DOCUMENT) as Document), $id: ID }, ID, false, false)

/** As `part`, with no members but those that its schemas name, where they do not say that there may be others. */
function closed(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(closed)
  if (part === null || typeof part !== 'object') return part
  const within = Object.fromEntries(Object.entries(part).map(([name, value]) => [name, closed(value)]))
  const isObject = within.type === 'object' && within.properties !== undefined
  return isObject && within.additionalProperties === undefined ? { ...within, additionalProperties: false } : within
}

function misfitOf({ responses }: Operation, template: string, method: string, answer: Told): string | null {
  const { status, headers, text } = answer
  const described = responses[String(status)]
  if (described === undefined) return `the document has no ${status} here`
  const header = headerMisfit(described, headers)
  if (header !== null) return header
  const type = headers.get('content-type')?.split(';')[0] ?? null
  if (described.content === undefined) return text === '' && type === null ? null : `a ${status} with a body`
  const media = described.content[type ?? '']
  if (media === undefined) return `the document has no ${status} of the type ${type} here`
  if (type === 'application/problem+json') return noProblem(method, answer, codesOf(media))
  if (method === 'HEAD') return text === '' ? null : 'a HEAD with a body'
  const at = pointer('paths', template, nameOf(method), 'responses', String(status), 'content', type ?? '', 'schema')
  return /json/.test(type ?? '') ? (unread(text) ?? misfit(at, JSON.parse(text))) : misfit(at, text)
}

/** Headers by which HTTP says more than a body: each that comes is described, and each that is described comes. */
const TELLING = ['Allow', 'ETag', 'Location', 'Preference-Applied', 'Retry-After', 'WWW-Authenticate']

function headerMisfit({ headers: described = {} }: Answer, headers: Told['headers']): string | null {
  for (const name of TELLING) {
    const comes = headers.get(name.toLowerCase()) != null
    // A 503 of two codes may have it by one of them.
    if (comes && !(name in described)) return `the header ${name}, which the document does not have`
    if (!comes && name in described && name !== 'Retry-After') return `no ${name}, which the document has`
  }
  return null
}

/** Examples of problems are named by their codes, and what is special may follow after a dot. */
export function codesOf({ examples }: Media): string[] {
  return Object.keys(examples).map((name) => name.split('.')[0] ?? '')
}

function unread(text: string): string | null {
  return text.endsWith('\n') && /^[{[]/.test(text) ? null : 'a body that is no JSON with a newline at its end'
}

import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Response } from './wire.ts'

export interface Parameter {
  readonly name: string
  readonly in: 'query' | 'path' | 'header'
  readonly schema: { readonly enum?: readonly string[]; readonly pattern?: string }
}

export interface Operation {
  readonly parameters?: readonly Parameter[]
  readonly responses: Readonly<Record<string, { content?: Readonly<Record<string, { schema: object }>> }>>
}

/** As the service gives it at `/openapi.json`. */
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true } })

/** Whether `value` is what `schema` describes; else what is wrong with it. */
export function misfit(schema: object, value: unknown): string | null {
  return ajv.validate(schema, value) ? null : ajv.errorsText()
}

/** The path of a request target, decoded; `null` where it cannot be. */
export function pathOf(target: string): string | null {
  try {
    const path = decodeURIComponent(target.replace(/^https?:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, ''))
    return path.length > 1 ? path.replace(/\/$/, '') : path
  } catch {
    // It is no text in percent-encoded UTF-8.
    return null
  }
}

/** The path of the document that `path` is one of. */
export function templateOf({ paths }: Document, path: string | null): string | null {
  if (path === null) return null
  const fits = (template: string) => new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(path)
  return Object.keys(paths).find((template) => template === path) ?? Object.keys(paths).find(fits) ?? null
}

/** What of `response` to an `operation` its description does not say. */
export function undescribed({ responses }: Operation, method: string, response: Response): string | null {
  const { status, headers, body } = response
  const described = responses[String(status)]
  if (described === undefined) return `the document has no ${status} here`
  if (status === 304 || status === 204) return body === '' ? null : `a ${status} with a body`
  const type = headers.get('content-type')?.split(';')[0] ?? ''
  const schema = described.content?.[type]?.schema
  if (schema === undefined) return `the document has no ${type} here`
  if (method === 'HEAD') return null
  return /json/.test(type) ? (unread(body) ?? misfit(schema, JSON.parse(body))) : misfit(schema, body)
}

/** What keeps `response` from being a problem document with its status. */
export function noProblem({ paths }: Document, method: string, { status, headers, body }: Response): string | null {
  const type = headers.get('content-type')
  if (type !== 'application/problem+json; charset=utf-8') return `a ${status} of the type ${type}`
  if (status === 405 && !headers.get('allow')) return 'a 405 without Allow'
  if (method === 'HEAD') return null
  const schema = paths['/migrations']?.get?.responses['400']?.content?.['application/problem+json']?.schema ?? {}
  const wrong = unread(body) ?? misfit(schema, JSON.parse(body))
  return wrong ?? (JSON.parse(body).status === status ? null : `a ${status} that calls itself another`)
}

function unread(body: string): string | null {
  return body.endsWith('\n') && /^[{[]/.test(body) ? null : 'a body that is no JSON with a newline at its end'
}

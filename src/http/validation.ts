import { createRequire } from 'node:module'
import type { Ajv, ErrorObject, ValidateFunction } from 'ajv'

/** What a request is judged by: whether it fits, and what does not. */
interface Judge {
  (part: unknown): boolean
  errors?: ErrorObject[] | null
}

const load = createRequire(import.meta.url)

/**
 * Judges requests by their schemas, each of which is compiled when it is needed first: most queries are empty, and most
 * processes are never asked for most routes. Nothing of a request is removed, completed or converted: what does not fit is
 * refused.
 */
export function judges(): (route: { readonly schema: unknown }) => Judge {
  let compiler: Ajv | null = null
  const compile = (schema: object): ValidateFunction => {
    compiler ??= new (load('ajv') as typeof import('ajv')).Ajv({ addUsedSchema: false })
    return compiler.compile(schema)
  }
  return ({ schema }) => judgeOf(schema as Schema, compile)
}

interface Schema {
  readonly required?: readonly string[]
  readonly additionalProperties?: unknown
  readonly properties?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

function judgeOf(schema: Schema, compile: (schema: Schema) => ValidateFunction): Judge {
  // Headers are texts anyway.
  if (asksForTexts(schema)) return () => true
  const mayBeEmpty = schema.required === undefined || schema.required.length === 0
  let compiled: ValidateFunction | null = null
  const judge: Judge = (part) => {
    if (mayBeEmpty && isEmpty(part)) return true
    compiled ??= compile(schema)
    const fits = compiled(part) as boolean
    judge.errors = compiled.errors ?? null
    return fits
  }
  return judge
}

/** Whether a schema only describes texts that may be there or not, and says nothing of them. */
function asksForTexts({ required, additionalProperties, properties = {} }: Schema): boolean {
  const plain = Object.values(properties).every((one) =>
    Object.keys(one).every((word) => word === 'description' || (word === 'type' && one.type === 'string')),
  )
  return plain && required === undefined && additionalProperties === undefined
}

function isEmpty(part: unknown): boolean {
  for (const _ in part as object) return false
  return true
}

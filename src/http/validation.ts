import type { Ajv, ErrorObject, ValidateFunction } from 'ajv'
import type { SafePromiseLike } from 'fastify'
import { MigrationError } from '../core/errors.ts'

/**
 * What a request is judged by: whether it fits, and in `errors` what does not. While its means are being loaded a promise, which
 * is rejected with those.
 */
interface Judge {
  (part: unknown): boolean | SafePromiseLike<boolean>
  errors?: ErrorObject[] | null
}

type Compile = (schema: Schema) => Promise<ValidateFunction>

/** Stands where Fastify would load compilers of its own at the start, which is half of the time that it takes to load. */
export const NO_COMPILERS = { compilersFactory: { buildValidator: none, buildSerializer: none } }

function none(): never {
  throw new MigrationError('internal', 'a compiler of schemas was asked for, and ours are in its place')
}

/**
 * Judges requests by their schemas, each of which is compiled when it is needed first: most queries are empty, and most
 * processes are never asked for most routes. Nothing of a request is removed, completed or converted: what does not fit is
 * refused.
 */
export function judges(): (route: { readonly schema: unknown }) => Judge {
  let compiler: Ajv | null = null
  const compile = async (schema: Schema): Promise<ValidateFunction> => {
    const { Ajv } = await import('ajv')
    // The schemas are ours: that they are any is for the tests to say, and not worth a compiled schema of schemas here.
    compiler ??= new Ajv({ addUsedSchema: false, validateSchema: false, meta: false })
    return compiler.compile(schema)
  }
  return ({ schema }) => judgeOf(schema as Schema, compile)
}

interface Schema {
  readonly required?: readonly string[]
  readonly additionalProperties?: unknown
  readonly properties?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

function judgeOf(schema: Schema, compile: Compile): Judge {
  // Headers are texts anyway.
  if (asksForTexts(schema)) return () => true
  const mayBeEmpty = schema.required === undefined || schema.required.length === 0
  let compiled: ValidateFunction | null = null
  const judge: Judge = (part) => {
    if (mayBeEmpty && isEmpty(part)) return true
    if (compiled === null) return first(part) as unknown as SafePromiseLike<boolean>
    const fits = compiled(part) as boolean
    judge.errors = compiled.errors ?? null
    return fits
  }
  async function first(part: unknown): Promise<boolean> {
    const fits = await compile(schema).catch((error: unknown) => Promise.reject(ours(error)))
    compiled = fits
    // Others may be judged before who asked hears of it: what is wrong goes with the answer.
    return fits(part) ? true : Promise.reject(fits.errors)
  }
  return judge
}

/** Fastify takes what a judge is rejected with for the client's fault, unless it says otherwise. */
function ours(error: unknown): Error {
  return Object.assign(error instanceof Error ? error : new Error(String(error)), { statusCode: 500 })
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

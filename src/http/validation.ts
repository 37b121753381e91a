import { setImmediate as yieldToOthers } from 'node:timers/promises'
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

/** What judges the requests of all routes. */
export interface Judges {
  /** Give this to Fastify as its compiler. */
  readonly of: (route: { readonly schema: unknown }) => Judge
  /** Compiles what no request has needed yet, so that none waits for it. */
  ready(): Promise<void>
}

/**
 * Judges requests by their schemas, each of which is compiled when it is needed first or nobody waits: most queries are empty,
 * and who waits for a start does not wait for this. Nothing of a request is removed, completed or converted: what does not fit
 * is refused.
 */
export function openJudges(): Judges {
  let compiler: Ajv | null = null
  const compile = async (schema: Schema): Promise<ValidateFunction> => {
    const { Ajv } = await import('ajv')
    // The schemas are ours: that they are any is for the tests to say, and not worth a compiled schema of schemas here.
    compiler ??= new Ajv({ addUsedSchema: false, validateSchema: false, meta: false })
    return compiler.compile(schema)
  }
  const all: Judged[] = []
  return {
    of: ({ schema }) => {
      // Headers are texts anyway.
      if (asksForTexts(schema as Schema)) return () => true
      const judged = judgedBy(schema as Schema, compile)
      all.push(judged)
      return judged.judge
    },
    ready: async () => {
      for (const { make } of all) {
        await make()
        // Requests come first.
        await yieldToOthers()
      }
    },
  }
}

interface Schema {
  readonly required?: readonly string[]
  readonly additionalProperties?: unknown
  readonly properties?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

interface Judged {
  readonly judge: Judge
  /** Compiles the schema, unless it is. */
  readonly make: () => Promise<ValidateFunction>
}

function judgedBy(schema: Schema, compile: Compile): Judged {
  const mayBeEmpty = schema.required === undefined || schema.required.length === 0
  let compiled: ValidateFunction | null = null
  const make = async () => {
    compiled ??= await compile(schema)
    return compiled
  }
  const judge: Judge = (part) => {
    if (mayBeEmpty && isEmpty(part)) return true
    if (compiled === null) return first(part) as unknown as SafePromiseLike<boolean>
    const fits = compiled(part) as boolean
    judge.errors = compiled.errors ?? null
    return fits
  }
  async function first(part: unknown): Promise<boolean> {
    const fits = await make().catch((error: unknown) => Promise.reject(ours(error)))
    // Others may be judged before who asked hears of it: what is wrong goes with the answer.
    return fits(part) ? true : Promise.reject(fits.errors)
  }
  return { judge, make }
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

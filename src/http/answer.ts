// How the document tells of an answer.
import { type Static, type TSchema, Type } from 'typebox'
import type { ExampleName } from './examples.ts'

/** A schema of the document, by its name. */
export const ref = <T extends TSchema>(schema: T) => Type.Unsafe<Static<T>>({ $ref: `${idOf(schema)}#` })

function idOf(schema: TSchema): string {
  return (schema as { $id?: string }).$id ?? ''
}

/** An answer of one media type or several, each with its examples. */
export function answer(
  description: string,
  content: Record<string, readonly [TSchema, ExampleName, ...ExampleName[]]>,
) {
  const media = Object.entries(content).map(([type, [schema, ...examples]]) => [
    type,
    { schema: idOf(schema) ? ref(schema) : schema, examples: exampleRefs(examples) },
  ])
  return { description, content: Object.fromEntries(media) }
}

/** Examples of the document, by their names. */
export function exampleRefs(names: readonly string[]) {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/examples/${name}` }]))
}

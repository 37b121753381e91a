import { init as initCommonJs, parse as parseCommonJs } from 'cjs-module-lexer'
import { init as initModule, parse as parseModule } from 'es-module-lexer'

await Promise.all([initModule, initCommonJs()])

/**
 * The names that a module exports, found by a lexer: the module is not run. TypeScript's types do not count. `null` where
 * it does not parse.
 */
export function exportsOf(source: string, file: string): ReadonlySet<string> | null {
  const [, found, , isModule] = attempt(() => parseModule(source)) ?? []
  if (found === undefined) return null
  if (isModule || file.endsWith('.mjs') || file.endsWith('.mts')) {
    return new Set(found.flatMap((one) => (!('name' in one) || one.typeOnly || one.name === null ? [] : one.name)))
  }
  const { exports } = attempt(() => parseCommonJs(source)) ?? {}
  return exports === undefined ? null : new Set(exports)
}

function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}

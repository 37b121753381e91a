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
  return exports === undefined ? null : new Set([...exports, ...literalExports(source)])
}

/**
 * The functions of a migration in `module.exports = { … }`, of which the lexer sees no methods. One too many is told when it
 * is to run; one too few would be a rollback that nobody knows of.
 */
function literalExports(source: string): string[] {
  if (!/\bmodule\s*\.\s*exports\s*=\s*\{/.test(source)) return []
  return ['up', 'down'].filter((name) => new RegExp(`[{,\\s'"]${name}['"]?\\s*[(:,}]`).test(source))
}

function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch {
    return undefined
  }
}

import { NO_TRANSACTION, skipTrivia } from '../core/sql.ts'

/** `ordinary`: inside our transaction. `maintenance`: a `-- schemad:no-transaction` script, each statement on its own. */
export type Rules = 'ordinary' | 'maintenance'

const ENDS_TRANSACTION = new Set(['BEGIN', 'COMMIT', 'END', 'ROLLBACK'])
/** What a script may say after PRAGMA. */
export const ALLOWED_PRAGMAS: ReadonlySet<string> = new Set([
  'foreign_keys',
  'defer_foreign_keys',
  'foreign_key_check',
  'foreign_key_list',
  'integrity_check',
  'quick_check',
  'table_info',
  'table_xinfo',
  'table_list',
  'index_list',
  'index_info',
  'index_xinfo',
  'legacy_alter_table',
  'user_version',
  'application_id',
])
const MAINTENANCE_PRAGMAS = new Set(['page_size', 'auto_vacuum', 'optimize', 'incremental_vacuum'])
const WORD = /[A-Za-z_][\w$]*/y
const NAME = /"(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^\]]*\]|[\w$\u0080-\uffff]+/y

/** Why a statement may not run, in a sentence that names it and says what to do; `null` where it may. */
export function refusal(told: string, rules: Rules): string | null {
  const { statement, words, at } = opening(told)
  const [first = ''] = words
  // SQLite has compiled it, so it does begin with a word: what is not understood is not let through.
  if (first === '') return 'the beginning of this statement cannot be read; write it without unusual white space'
  if (rules === 'maintenance') return maintenanceRefusal(statement, words, at)
  if (first === 'PRAGMA') return pragmaRefusal(pragmaName(statement, at), ALLOWED_PRAGMAS)
  if (first === 'ROLLBACK' && (words[1] === 'TO' || (words[1] === 'TRANSACTION' && words[2] === 'TO'))) return null
  if (ENDS_TRANSACTION.has(first)) {
    return `${first} is not allowed: each migration runs inside a transaction of its own; remove the statement`
  }
  if (first === 'ATTACH' || first === 'DETACH') {
    return `${first} is not allowed: a migration changes its own database only; remove the statement`
  }
  if (first === 'VACUUM') {
    if (isInto(statement, at)) return VACUUM_INTO
    return `VACUUM cannot run inside a transaction: put it into a migration of its own that begins with the line '${NO_TRANSACTION}'`
  }
  // EXPLAIN PRAGMA acts as PRAGMA does, when it is compiled.
  if (first === 'EXPLAIN')
    return 'EXPLAIN is not allowed: it changes nothing that a migration could want; remove the statement'
  return null
}

/** Whether a statement may have acted on the connection by being compiled alone, as most PRAGMAs do. */
export function actsWhenCompiled(statement: string): boolean {
  const [first] = opening(statement).words
  return first === undefined || first === 'PRAGMA' || first === 'EXPLAIN'
}

function maintenanceRefusal(statement: string, words: readonly string[], at: number): string | null {
  const [first = ''] = words
  if (first === 'PRAGMA') return pragmaRefusal(pragmaName(statement, at), MAINTENANCE_PRAGMAS)
  if (first === 'ANALYZE' || first === 'REINDEX') return null
  if (first === 'VACUUM') {
    return isInto(statement, at) ? VACUUM_INTO : null
  }
  return `${first || 'this statement'} is not allowed after '${NO_TRANSACTION}': only VACUUM, ANALYZE, REINDEX and the PRAGMAs ${[...MAINTENANCE_PRAGMAS].join(', ')} may follow; move it to a migration of its own`
}

const VACUUM_INTO = 'VACUUM INTO is not allowed: it writes another file; remove it'

/** Whether anything but the name of a schema follows `VACUUM`, which ends at `at`: that can be INTO only. */
function isInto(statement: string, at: number): boolean {
  const start = skipTrivia(statement, at)
  const schema = nameAt(statement, start)
  if (schema === null) return start < statement.length
  return schema.name === 'into' || skipTrivia(statement, schema.end) < statement.length
}

function pragmaRefusal(name: string | null, allowed: ReadonlySet<string>): string | null {
  if (name !== null && allowed.has(name)) return null
  return `PRAGMA ${name ?? ''} is not allowed here, since most PRAGMAs outlive the migration; allowed are ${[...allowed].join(', ')}`
}

/** The name of a PRAGMA, without its schema and quotes, in lower case; `null` where it cannot be read. */
function pragmaName(statement: string, at: number): string | null {
  const first = nameAt(statement, skipTrivia(statement, at))
  if (first === null) return null
  const dot = skipTrivia(statement, first.end)
  if (statement[dot] !== '.') return first.name
  return nameAt(statement, skipTrivia(statement, dot + 1))?.name ?? null
}

function nameAt(statement: string, at: number): { name: string; end: number } | null {
  NAME.lastIndex = at
  const found = NAME.exec(statement)?.[0]
  if (found === undefined) return null
  const bare = /^["'`[]/.test(found) ? found.slice(1, -1) : found
  return { name: bare.toLowerCase(), end: at + found.length }
}

/** Up to three words that a statement begins with, in capitals, and where in its text the first of them ends. */
function opening(told: string): { statement: string; words: string[]; at: number } {
  const found = leadingWords(told)
  if (found.words.length > 0 || !told.includes('-- ')) return { statement: told, ...found }
  // While two other statements run on the connection, SQLite puts `-- ` before each line of the text that it tells.
  const statement = told.replace(/^-- /gm, '')
  return { statement, ...leadingWords(statement) }
}

function leadingWords(statement: string): { words: string[]; at: number } {
  const words: string[] = []
  let at = 0
  let end = 0
  while (words.length < 3) {
    end = skipTrivia(statement, end)
    WORD.lastIndex = end
    const word = WORD.exec(statement)?.[0]
    if (word === undefined) break
    end += word.length
    if (words.length === 0) at = end
    words.push(word.toUpperCase())
  }
  return { words, at }
}

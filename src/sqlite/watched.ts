import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { skipTrivia } from '../core/sql.ts'
import { actsWhenCompiled, type Rules, refusal } from './statement.ts'

/** How many characters of a statement are told: it may hold data. */
export const STATEMENT_LENGTH = 200

/** A statement: the how-manieth, where in the script it begins (line from 1) and its first characters. */
export interface Place {
  readonly n: number
  /** `null` in a code module. */
  readonly line: number | null
  readonly text: string
}

/** What better-sqlite3 ends a transaction with, after the statement that has failed. */
const WRAPPER = /^\s*(RELEASE|ROLLBACK)\b/i

const UNBOUND = 'a bound parameter has no value in a script and would be NULL; write the value itself'
const UNBOUND_IN_EXEC = 'a bound parameter has no value in exec and would be NULL; give it one by prepare and run'

/** What one step has executed so far. */
export class Watched {
  readonly #db: Database
  readonly #rules: Rules
  /** `null` for a code module: its statements stand in no script. */
  readonly #script: string | null
  readonly #onStatement: (statement: Watched) => void
  /** What a code module has given to SQLite, and how much of it has been executed. */
  #part: { readonly text: string; end: number } | null = null
  #count = 0
  #start = 0
  #end = 0
  /** A place in the script and its line, further up than any that is asked for next. */
  #mark = { offset: 0, line: 1 }
  #last = ''
  /** A refused statement may have changed the connection when it was compiled: it must not be used again. */
  spoiled = false
  /** What was thrown to stop a statement; `null` where none was stopped. */
  refused: MigrationError | null = null

  constructor(db: Database, rules: Rules, script: string | null, onStatement: (statement: Watched) => void) {
    this.#db = db
    this.#rules = rules
    this.#script = script
    this.#onStatement = onStatement
  }

  /** The number of statements that were let through. */
  get count(): number {
    return this.#count
  }

  hear(text: string): void {
    const located = this.#locate(text)
    // A conflict clause or a trigger may have rolled back; what came after would be outside of any transaction.
    if (this.#rules === 'ordinary' && !this.#db.inTransaction)
      this.#stop('the transaction has ended before the migration did')
    const reason = refusal(text, this.#rules)
    this.spoiled ||= reason !== null && actsWhenCompiled(text)
    if (reason !== null) this.#stop(reason)
    if (!located) this.#stop(this.#script === null ? UNBOUND_IN_EXEC : UNBOUND)
    this.#count += 1
    this.#onStatement(this)
  }

  /** The whole text of the statement that was let through last. */
  get text(): string {
    return this.#last
  }

  /** Where the statement stands that was let through last. */
  place(): Place {
    return {
      n: this.#count,
      line: this.#lineAt(this.#start),
      text: shorten(this.#last),
    }
  }

  /** What of the script SQLite has not been given: nothing but white space and comments when all went well. */
  rest(): string {
    return this.#script?.slice(this.#end) ?? ''
  }

  /**
   * Where `error` came from. SQLite does not tell an error of a statement that ran from one of the next that did not compile;
   * compiling the rest again does. Call it while the transaction is still open.
   */
  failed(error: { code: string; message: string }): Partial<Place> {
    // What a module could not have compiled was never heard of, and the wrapper of its transactions speaks last.
    if (this.#script === null)
      return this.#count === 0 || error.code === 'SQLITE_ERROR' || WRAPPER.test(this.#last)
        ? {}
        : { text: shorten(this.#last) }
    const rest = this.rest()
    if (!this.#failsToCompile(rest, error)) return this.place()
    const start = skipTrivia(this.#script, this.#end)
    return {
      n: this.#count + 1,
      line: this.#lineAt(start),
      text: shorten(this.#script.slice(start)),
    }
  }

  #failsToCompile(rest: string, error: { code: string; message: string }): boolean {
    if (this.#count === 0) return true
    if (skipTrivia(rest, 0) === rest.length) return false
    this.spoiled ||= actsWhenCompiled(rest)
    try {
      this.#db.prepare(rest)
      return false
    } catch (again) {
      return (
        again instanceof Error && again.message === error.message && (again as { code?: string }).code === error.code
      )
    }
  }

  /** Has the statements that `execute` gives to SQLite as one text looked for in that: a code module has no other. */
  within<T>(text: string, execute: () => T): T {
    const before = this.#part
    this.#part = { text, end: 0 }
    try {
      return execute()
    } finally {
      this.#part = before
    }
  }

  /** Finds `text` where the last statement ended; `false` where the script has something else there: an expanded parameter. */
  #locate(text: string): boolean {
    this.#last = text
    if (this.#script === null) return this.#locateInPart(text)
    let at = this.#end
    while (!this.#script.startsWith(text, at) && /[\s;\ufeff]/.test(this.#script[at] ?? 'x')) at += 1
    this.#start = skipTrivia(this.#script, at)
    if (!this.#script.startsWith(text, at)) {
      this.#last = this.#script.slice(this.#start)
      return false
    }
    this.#end = at + text.length
    return true
  }

  #locateInPart(text: string): boolean {
    if (this.#part === null) return true
    const at = skipTrivia(this.#part.text, this.#part.end)
    const bare = text.slice(skipTrivia(text, 0))
    if (isExpanded(bare, this.#part.text, at)) return false
    if (this.#part.text.startsWith(bare, at)) this.#part.end = at + bare.length
    return true
  }

  #stop(reason: string): never {
    const line = this.#lineAt(this.#start)
    this.refused = new MigrationError('forbidden-statement', reason, { line, statement: shorten(this.#last) })
    throw this.refused
  }

  /** Counts on from the place that was asked for last: a script may have a hundred thousand statements. */
  #lineAt(offset: number): number | null {
    if (this.#script === null) return null
    let { line } = this.#mark
    let at = this.#script.indexOf('\n', this.#mark.offset)
    for (; at !== -1 && at < offset; at = this.#script.indexOf('\n', at + 1)) line += 1
    this.#mark = { offset, line }
    return line
  }
}

/** Whether a statement is the one at `at` of a text, where that has a parameter. It may be another's: of a function that the text calls. */
function isExpanded(statement: string, text: string, at: number): boolean {
  if (text.startsWith(statement, at)) return false
  let same = 0
  while (statement[same] === text[at + same]) same += 1
  return /[?:@$#]/.test(text[at + same] ?? '')
}

/** A statement's first characters. */
export function shorten(text: string): string {
  const begin = text.slice(skipTrivia(text, 0)).trimEnd().slice(0, STATEMENT_LENGTH)
  // The cut may go through a character of two halves, which many a JSON parser refuses.
  return begin.replace(/[\uD800-\uDBFF]$/, '').toWellFormed()
}

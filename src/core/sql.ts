/**
 * The index of the first character of `text`, at or after `from`, that means something to SQLite: what is skipped is white
 * space, `;`, a byte-order mark, and comments. An unclosed block comment runs to the end, as it does for SQLite.
 */
export function skipTrivia(text: string, from: number): number {
  let at = from
  while (at < text.length) {
    const next = afterTrivia(text, at)
    if (next === at) return at
    at = next
  }
  return text.length
}

function afterTrivia(text: string, at: number): number {
  if (' \t\n\v\f\r;\ufeff'.includes(text.charAt(at))) return at + 1
  if (text.startsWith('--', at)) return endOf(text, '\n', at + 2)
  if (text.startsWith('/*', at)) return endOf(text, '*/', at + 2)
  return at
}

function endOf(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from)
  return at === -1 ? text.length : at + mark.length
}

/** The first line of a script that has to run outside a transaction. */
export const NO_TRANSACTION = '-- schemad:no-transaction'

/** Whether the script asks to run outside a transaction. */
export function isMaintenance(script: string): boolean {
  const line = /^[^\r\n]*/.exec(script)?.[0] ?? ''
  return line.trimEnd() === NO_TRANSACTION
}

import { isUtf8 } from 'node:buffer'
import { skipTrivia } from '../core/sql.ts'

/** Something in a text that SQLite would silently skip or change, and the byte where it begins. */
export interface Flaw {
  readonly what: string
  readonly offset: number
}

/** The text of `bytes`, without one byte-order mark, or the first thing in it that is not strict UTF-8, or a NUL. */
export function decode(bytes: Buffer): string | Flaw {
  if (!isUtf8(bytes)) return { what: 'is not UTF-8', offset: firstInvalid(bytes) }
  const nul = bytes.indexOf(0)
  if (nul !== -1) return { what: 'has a NUL byte, after which SQLite reads nothing', offset: nul }
  return new TextDecoder('utf-8').decode(bytes)
}

/**
 * What SQLite would get wrong in a script without saying so: a carriage return alone, which ends no comment, and a comment
 * or literal that is never closed. `bom`: the bytes that `decode` has taken off the front.
 *
 * @see https://sqlite.org/lang_comment.html for the unclosed comment
 */
export function flawOf(sql: string, bom: number): Flaw | null {
  let at = 0
  while (at < sql.length) {
    const open = sql.charAt(at)
    const close = CLOSERS[open] ?? (sql.startsWith('/*', at) ? '*/' : sql.startsWith('--', at) ? '\n' : null)
    if (open === '\r' && sql.charAt(at + 1) !== '\n') return flaw(CARRIAGE_RETURN, sql, at, bom)
    if (close === null) {
      at += 1
      continue
    }
    const end = sql.indexOf(close, at + (close === '*/' ? 2 : 1))
    if (close === '\n' || close === '*/') {
      const bare = /\r(?!\n)/.exec(sql.slice(at, end === -1 ? sql.length : end + 1))
      if (bare) return flaw(CARRIAGE_RETURN, sql, at + bare.index, bom)
    }
    if (end === -1 && close !== '\n')
      return flaw(
        close === '*/' ? 'has a comment that is never closed' : `has a ${open} that is never closed`,
        sql,
        at,
        bom,
      )
    at = end === -1 ? sql.length : end + close.length
  }
  return null
}

// A doubled quote closes one literal and opens the next, which comes to the same.
const CLOSERS: Readonly<Record<string, string>> = { "'": "'", '"': '"', '`': '`', '[': ']' }
const CARRIAGE_RETURN = 'has a carriage return without a line feed, which ends no line for SQLite'

/** Whether a script has nothing but white space, comments and semicolons. */
export function isEmpty(sql: string): boolean {
  return skipTrivia(sql, 0) === sql.length
}

function flaw(what: string, sql: string, at: number, bom: number): Flaw {
  return { what, offset: Buffer.byteLength(sql.slice(0, at)) + bom }
}

/** Halves the search for the longest valid prefix; the characters that are whole in it end where the first bad one begins. */
function firstInvalid(bytes: Buffer): number {
  let [valid, invalid] = [0, bytes.length + 1]
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1
    if (wholeCharacters(bytes.subarray(0, middle)) !== null) valid = middle
    else invalid = middle
  }
  return Buffer.byteLength(wholeCharacters(bytes.subarray(0, valid)) ?? '')
}

/** The characters that are whole in `bytes`, less one that is cut at the end; `null` where something is invalid. */
function wholeCharacters(bytes: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: true })
  } catch {
    return null
  }
}

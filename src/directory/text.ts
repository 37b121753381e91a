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
  if (nul !== -1)
    return {
      what: 'has a NUL byte, after which SQLite reads nothing',
      offset: nul,
    }
  const text = bytes.toString()
  return text.startsWith('\ufeff') ? text.slice(1) : text
}

/**
 * What SQLite would get wrong in a script without saying so: a carriage return alone, which ends no comment, and a comment
 * or literal that is never closed. `bom`: the bytes that `decode` has taken off the front.
 *
 * @see https://sqlite.org/lang_comment.html for the unclosed comment
 */
export function flawOf(sql: string, bom: number): Flaw | null {
  const flaw = (what: string, at: number) => ({
    what,
    offset: Buffer.byteLength(sql.slice(0, at)) + bom,
  })
  const next = /['"`[]|--|\/\*|\r(?!\n)/g
  for (let found = next.exec(sql); found !== null; found = next.exec(sql)) {
    const { 0: open, index } = found
    if (open === '\r') return flaw(CARRIAGE_RETURN, index)
    const end = endOf(sql, open, next.lastIndex)
    const comment = open === '--' || open === '/*'
    const bare = comment ? sql.slice(index, end ?? sql.length).search(/\r(?!\n)/) : -1
    if (bare !== -1) return flaw(CARRIAGE_RETURN, index + bare)
    if (end === null)
      return open === '--' ? null : flaw(`has a ${comment ? 'comment' : open} that is never closed`, index)
    next.lastIndex = end
  }
  return null
}

const CARRIAGE_RETURN = 'has a carriage return without a line feed, which ends no line for SQLite'
const CLOSERS: Readonly<Record<string, string>> = {
  '--': '\n',
  '/*': '*/',
  '[': ']',
}

/** Where what `open` has opened is over; `null` where it never is. A quote that is doubled does not close. */
function endOf(sql: string, open: string, from: number): number | null {
  const close = CLOSERS[open] ?? open
  let at = sql.indexOf(close, from)
  while (at !== -1 && close === open && sql[at + 1] === close) at = sql.indexOf(close, at + 2)
  return at === -1 ? null : at + close.length
}

/** Whether a script has nothing but white space, comments and semicolons. */
export function isEmpty(sql: string): boolean {
  return skipTrivia(sql, 0) === sql.length
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

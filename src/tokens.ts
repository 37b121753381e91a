import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { ConfigError, type TokenSource } from './config.ts'
import type { Role, Tokens } from './http/auth.ts'

const LEAST_LENGTH = 16
/** How long a look at the token files is believed. */
const RECHECK_MS = 500

interface Token {
  readonly role: Role
  readonly actor: string
  readonly digest: Buffer
}

/**
 * The tokens of all roles. Files are read again when they have changed; one that cannot be used keeps the tokens that it had.
 *
 * @throws ConfigError for what cannot be used at the start.
 */
export function openTokens(sources: readonly TokenSource[], warn: (message: string) => void): Tokens {
  let read = sources.map((source) => tokensOf(source))
  let tokens = together(read)
  let seen = stampOf(sources)
  let looked = performance.now()

  function refresh(after: number): void {
    if (performance.now() - looked < after) return
    looked = performance.now()
    const stamp = stampOf(sources)
    if (stamp === seen) return
    seen = stamp
    // Each file by itself: one that cannot be used must not keep a token alive that was taken out of another.
    const now = sources.map((source, place) => orElse(() => tokensOf(source), read[place] ?? []))
    const usable = orElse(() => together(now), null)
    if (usable === null) return
    read = now
    tokens = usable
  }

  /** All are compared, so that the time does not tell which came close. */
  function find(digest: Buffer): Token | null {
    return tokens.reduce<Token | null>((found, one) => (timingSafeEqual(one.digest, digest) ? one : found), null)
  }

  function orElse<T, U>(attempt: () => T, otherwise: U): T | U {
    try {
      return attempt()
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      warn(`${error.message}; these tokens stay as they were`)
      return otherwise
    }
  }

  return {
    inForce: tokens.length > 0,
    identify(text) {
      refresh(RECHECK_MS)
      const digest = digestOf(text)
      const known = find(digest)
      // One that was written a moment ago is as good as any other.
      if (known === null) refresh(0)
      return known ?? find(digest)
    },
  }
}

function tokensOf(source: TokenSource): Token[] {
  return linesOf(source).map((line) => tokenFrom(line, source))
}

/** All tokens. Throws ConfigError where two roles share one. */
function together(read: readonly Token[][]): Token[] {
  const tokens = read.flat()
  for (const [place, one] of tokens.entries()) {
    const other = tokens.slice(place + 1).find(({ role, digest }) => role !== one.role && digest.equals(one.digest))
    if (other)
      throw new ConfigError(
        `${one.role.toUpperCase()}_TOKEN and ${other.role.toUpperCase()}_TOKEN: one token is given for both roles; allowed is one role a token`,
      )
  }
  return tokens
}

function linesOf(source: TokenSource): string[] {
  const text = 'text' in source ? source.text : contentOf(source.file, source.variable)
  const lines = text.split(/\r?\n/).flatMap((line) => line.trim() || [])
  if (lines.length > 0) return lines
  throw new ConfigError(
    `${source.variable}${'file' in source ? `=${source.file}` : ''}: there is no token in it; allowed is one a line`,
  )
}

function contentOf(file: string, variable: string): string {
  try {
    // A FIFO would never end.
    if (!statSync(file).isFile()) throw new Error('it is no file')
    return readFileSync(file, 'utf8')
  } catch {
    throw new ConfigError(`${variable}=${file}: the file cannot be read; allowed is a file with tokens, one a line`)
  }
}

function tokenFrom(line: string, { role, variable }: TokenSource): Token {
  const named = /^([A-Za-z0-9_.@-]+):(.*)$/.exec(line)
  const text = (named?.[2] ?? line).trim()
  if (text.length < LEAST_LENGTH)
    throw new ConfigError(`${variable}: a token is too short; allowed are ${LEAST_LENGTH} characters or more`)
  if (!/^[\x21-\x7e]+$/.test(text))
    throw new ConfigError(
      `${variable}: a token has other characters than a header carries; allowed is visible ASCII without spaces`,
    )
  return { role, actor: named?.[1] ?? role, digest: digestOf(text) }
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Changes whenever a token file does, also when a mounted secret's link is swapped. */
function stampOf(sources: readonly TokenSource[]): string {
  return sources.map((source) => ('file' in source ? stampOfFile(source.file) : '')).join()
}

function stampOfFile(file: string): string {
  try {
    const found = statSync(file, { bigint: true })
    return `${found.dev}:${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}`
  } catch (error) {
    return String((error as { code?: string }).code)
  }
}

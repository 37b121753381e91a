import { types } from 'node:util'
import { asMigrationError, type ErrorCode, MigrationError, type RunError } from '../core/errors.ts'
import { ALLOWED_PRAGMAS } from './statement.ts'

/** What SQLite's own refusals mean. The rest is the migration's fault. */
const CODES: readonly (readonly [RegExp, ErrorCode, string])[] = [
  [
    /^SQLITE_(BUSY|LOCKED|PROTOCOL)/,
    'database-locked',
    'another program holds the database; try again when it has finished',
  ],
  [/^SQLITE_FULL/, 'insufficient-storage', 'the disk is full; free some space, then try again'],
  [
    /^SQLITE_IOERR_SHMSIZE/,
    'insufficient-storage',
    'there is no room for the index of the WAL, as on a full disk; free some space, then try again',
  ],
  [
    /^SQLITE_IOERR_GETTEMPPATH/,
    'database-unavailable',
    'there is no folder for temporary files; set SQLITE_TMPDIR to one that can be written',
  ],
  [
    /^SQLITE_IOERR/,
    'internal',
    'the disk failed, or a quota or a limit on the size of files is reached; look at the kernel log and the limits, then try again',
  ],
  [/^SQLITE_(NOTADB|CORRUPT$|CORRUPT_INDEX)/, 'database-unavailable', 'the file is damaged or no database; restore it'],
  [
    /^SQLITE_(READONLY|CANTOPEN|PERM|AUTH)/,
    'database-unavailable',
    'the file or its folder cannot be written; mend its permissions',
  ],
]

/** `error` as one of ours: what SQLite says of the machine by its own code, all else by `otherwise`. */
export function failure(error: unknown, otherwise: ErrorCode): MigrationError {
  if (error instanceof MigrationError) return error
  const message = briefly(error)
  const sqlite = sqliteCode(error)
  if (sqlite === null) return new MigrationError(otherwise, message, {}, { cause: error })
  for (const [pattern, code, advice] of CODES) {
    if (pattern.test(sqlite)) return new MigrationError(code, `${message}: ${advice}`, { sqlite }, { cause: error })
  }
  return new MigrationError(otherwise, message, { sqlite }, { cause: error })
}

/**
 * SQLite's own name for `error`; `null` where it is not SQLite's. Not by its class: a library's user may have another copy of
 * better-sqlite3. And what a module throws may act when it is asked.
 */
export function sqliteCode(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  const code = Object.getOwnPropertyDescriptor(error, 'code')?.value as unknown
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : null
}

/** `error` as it may leave the process: of a fault of our own it says nothing, and the log says it. */
export function tellable(error: MigrationError): MigrationError {
  const { code, message, details, cause } = error
  if (code !== 'internal' || cause === undefined || isOfTheMachine(cause)) return error
  console.error(message, cause)
  return new MigrationError(code, asMigrationError(cause).message, details, { cause })
}

/** Whether SQLite or the kernel said it. */
function isOfTheMachine(cause: unknown): boolean {
  return sqliteCode(cause) !== null || (types.isNativeError(cause) && Object.hasOwn(cause, 'syscall'))
}

/** A message can hold data, and of any length. */
const MOST_MESSAGE = 500

function briefly(error: unknown): string {
  const message = worded(error)
    // Where Node has looked for a module is nobody's business.
    .replace(/\s*\nRequire stack:[\s\S]*$/, '')
    // Node would have the file renamed to an ending that is no migration's, and would name the package.json that it goes by.
    .replace(
      /\s*\nThis file is being treated as an ES module[\s\S]*$/,
      '; a package.json says so: use import and export',
    )
  return message.length > MOST_MESSAGE ? `${message.slice(0, MOST_MESSAGE)}…` : message
}

/** A module may throw anything, also what cannot be made a string. */
function worded(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown)
  } catch {
    return 'it threw something that is no error'
  }
}

/** How SQLite refuses a PRAGMA while it compiles it, before anybody has been told its text. */
const WITHIN_TRANSACTION = /(?:changed|changed from) (?:inside|within) a transaction$/

/** What stands in the way is on the same connection, and nobody else's (https://sqlite.org/rescode.html#locked). */
function ownLock(error: unknown): MigrationError | null {
  const sqlite = sqliteCode(error)
  if (sqlite === null || !sqlite.startsWith('SQLITE_LOCKED')) return null
  return new MigrationError('migration-failed', `${briefly(error)}: by a query of its own`, { sqlite })
}

/** The error of a step: it names the migration, and the place in its file where that is known. */
export function stepFailure(
  error: unknown,
  step: { id: number; name: string; direction: string; file: string | null },
  place: { line?: number | null; text?: string } = {},
): MigrationError {
  const cause = ownLock(error) ?? failure(error, 'migration-failed')
  const details: Omit<RunError, 'code' | 'message'> = {
    id: step.id,
    name: step.name,
    direction: step.direction,
    file: step.file,
    line: place.line ?? null,
    statement: place.text ?? null,
    sqlite: null,
    ...cause.details,
  }
  const advice = WITHIN_TRANSACTION.test(cause.message)
    ? `; allowed PRAGMAs are ${[...ALLOWED_PRAGMAS].join(', ')}`
    : ''
  const where =
    step.file === null ? `${step.id} ${step.name}` : `${step.file}${details.line ? ` line ${details.line}` : ''}`
  return new MigrationError(cause.code, `${where}: ${cause.message}${advice}`, details, {
    cause: cause.cause ?? error,
  })
}

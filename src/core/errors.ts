/**
 * Every reason for which schemad refuses or fails. The list is closed: a new code does not compile until
 * `http/problem-list.ts` has decided what status it is told with, and what is to be done.
 */
export const ERROR_CODES = [
  'invalid-request',
  'unauthorized',
  'forbidden',
  'forbidden-host',
  'cross-site',
  'not-found',
  'method-not-allowed',
  'change-in-progress',
  'checksum-mismatch',
  'no-rollback',
  'rollback-incomplete',
  'history-gap',
  'history-moved',
  'foreign-table',
  'not-empty',
  'run-ended',
  'cancelled',
  'precondition-failed',
  'invalid-migrations',
  'migration-failed',
  'foreign-key-violation',
  'forbidden-statement',
  'timed-out',
  'runner-crashed',
  'internal',
  'database-locked',
  'database-unavailable',
  'shutting-down',
  'insufficient-storage',
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

/** What is known beside the sentence: the migration, the place in its file, the row at fault. JSON only. */
export type ErrorDetails = Readonly<Record<string, unknown>>

/**
 * The one error of schemad: a code for machines, a sentence for people (what, which one, what to do).
 * What a library or the kernel said goes into `cause`, for the log alone.
 */
export class MigrationError extends Error {
  override readonly name = 'MigrationError'
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options: ErrorOptions = {}) {
    super(message.toWellFormed(), options)
    this.code = code
    this.details = details
  }

  /** The error as a run keeps it and as it travels between processes. */
  toJSON(): RunError {
    return { code: this.code, message: this.message, ...this.details }
  }
}

/** An error as data: `run.error`, and what a runner reports. */
export type RunError = {
  readonly code: ErrorCode
  readonly message: string
} & ErrorDetails

/** The error that `data` was made from. */
export function errorFrom(data: RunError): MigrationError {
  const { code, message, ...details } = data
  return new MigrationError(code, message, details)
}

/** `error` as one of ours; anything foreign becomes `internal`, with itself as the cause. */
export function asMigrationError(error: unknown): MigrationError {
  if (error instanceof MigrationError) return error
  return new MigrationError('internal', 'an unexpected error; the log has it', {}, { cause: error })
}

import type { ErrorCode } from '../core/errors.ts'
import { exampleRefs, ref } from './answer.ts'
import { PROBLEMS, type ProblemExampleName } from './problem-list.ts'
import { Problem } from './schemas.ts'

/** By what every operation may be refused that takes no token, and is no probe. */
export const OPEN_REFUSALS = ['invalid-request.parameter', 'forbidden-host'] as const satisfies ProblemExampleName[]

/** What every operation that reads the database may be refused by or fail with. */
export const READ_REFUSALS = [
  ...OPEN_REFUSALS,
  'unauthorized',
  'internal',
  'database-locked',
  'database-unavailable.file',
  'insufficient-storage',
] as const satisfies ProblemExampleName[]

/** What every run may be refused by or fail with. */
export const RUN_REFUSALS = [
  'invalid-request',
  'unauthorized',
  'forbidden',
  'forbidden-host',
  'cross-site',
  'method-not-allowed',
  'change-in-progress',
  'foreign-table',
  'cancelled',
  'precondition-failed',
  'timed-out',
  'runner-crashed',
  'internal',
  'database-locked',
  'database-unavailable',
  'shutting-down',
  'insufficient-storage',
] as const satisfies ProblemExampleName[]

/** What every run that has a plan may be refused by or fail with beside that. */
export const PLAN_REFUSALS = [
  'invalid-migrations',
  'history-gap',
  'history-moved',
  'forbidden-statement',
] as const satisfies ProblemExampleName[]

/** The answers that are problem documents, by their status: those with these codes, or with the code before the dot. */
export function problems(...names: readonly ProblemExampleName[]) {
  const statuses = Object.groupBy(names, (name) => PROBLEMS[codeOf(name)].status)
  return Object.fromEntries(Object.entries(statuses).map(([status, some = []]) => [status, refusal(some)]))
}

function refusal(names: readonly ProblemExampleName[]) {
  const codes = [...new Set(names.map(codeOf))]
  const told = codes.map((code) => `\`${code}\`: ${PROBLEMS[code].title}`)
  const headers = Object.assign({}, ...codes.map(headersOf))
  return {
    description: told.join('; '),
    ...(Object.keys(headers).length > 0 && { headers }),
    content: { 'application/problem+json': { schema: ref(Problem), examples: exampleRefs(names) } },
  }
}

/** The headers by which HTTP itself says what to do. */
function headersOf(code: ErrorCode) {
  const { status, retryable } = PROBLEMS[code]
  const header = (description: string) => ({ type: 'string', description })
  if (status === 401) return { 'WWW-Authenticate': header('`Bearer`, and where') }
  if (status === 405) return { Allow: header('The methods that the path takes') }
  return retryable && status !== 500 ? { 'Retry-After': header('In so many seconds') } : {}
}

/** The code that an example is one of. */
export function codeOf(name: ProblemExampleName): ErrorCode {
  return name.split('.')[0] as ErrorCode
}

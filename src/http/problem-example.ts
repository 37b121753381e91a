import { MigrationError } from '../core/errors.ts'
import { exampleRun } from './example-runs.ts'
import { documentOf } from './problem.ts'
import { FURTHER_EXAMPLES, PROBLEMS, type ProblemExample, type ProblemExampleName } from './problem-list.ts'
import { codeOf } from './refusals.ts'
import type { ProblemDocument } from './schemas.ts'

/** A problem document of that name, as the service would answer it. */
export function exampleOf(name: ProblemExampleName): ProblemDocument {
  const code = codeOf(name)
  const given: ProblemExample = name === code ? PROBLEMS[code].example : FURTHER_EXAMPLES[name as Further]
  const { instance, detail, run, ...details } = given
  const error = { code, message: detail, ...details }
  const made = run && { run: exampleRun({ ...FAILED, ...run, error }) }
  return documentOf(new MigrationError(code, detail, { ...details, ...made }), instance)
}

type Further = keyof typeof FURTHER_EXAMPLES

/** Where and when the examples fail. */
const FAILED = {
  id: '01a207b4-8200-71b2-adbe-c46010678fd7',
  requestId: '01a207b4-81ff-70e0-b525-e011e5bf9d82',
  createdAt: '2026-11-23T09:20:00.000Z',
  startedAt: '2026-11-23T09:20:00.007Z',
  finishedAt: '2026-11-23T09:20:00.047Z',
  durationMs: 39.688,
  // Whatever was rolled back has changed nothing.
  schemaChanges: { created: [], dropped: [], altered: [] },
}

import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import type { StepReport } from '../src/core/migration.ts'
import { reportOf } from '../src/core/outcome.ts'
import { readBack, withFailed } from '../src/sqlite/read-back.ts'

function heard(...statuses: StepReport['status'][]): StepReport[] {
  return statuses.map((status, id) => ({ ...reportOf({ id, name: `m${id}`, direction: 'up' }, status), statements: 1 }))
}

const statuses = (steps: readonly StepReport[]) => steps.map(({ status }) => status)

describe('a run in one transaction that was killed, of which nothing has happened, was at', () => {
  const ways: [string, StepReport[], StepReport['status'][]][] = [
    ['the step that was told to run', heard('done', 'running', 'not-run'), ['not-run', 'failed', 'not-run']],
    [
      'the step after the last that was told to be over',
      heard('done', 'not-run', 'not-run'),
      ['not-run', 'failed', 'not-run'],
    ],
    [
      'the last one when all were told to be over: it was killed in its commit',
      heard('done', 'done', 'done'),
      ['not-run', 'not-run', 'failed'],
    ],
  ]

  it.each(ways)('%s, by what is in the file', (_, steps, told) => {
    const db = new Sqlite(':memory:')
    const read = readBack(db, 'run', steps, true)
    expect(statuses(read)).toEqual(told)
    expect(read.every(({ statements }) => statements === null)).toBe(true)
  })

  it.each(ways)('%s, by what was heard alone', (_, steps, told) => {
    expect(statuses(withFailed(steps, true))).toEqual(told)
  })
})

it('a run whose steps are transactions of their own keeps those that were told to be over', () => {
  expect(statuses(withFailed(heard('done', 'not-run', 'not-run'), false))).toEqual(['done', 'failed', 'not-run'])
  expect(statuses(withFailed(heard('done', 'done'), false))).toEqual(['done', 'done'])
  expect(statuses(withFailed(heard('not-run', 'not-run'), false))).toEqual(['not-run', 'not-run'])
})

import { describe, expect, it } from 'vitest'
import { MigrationError } from '../src/core/errors.ts'
import type { Applied, Directory, Migration } from '../src/core/migration.ts'
import { plan, type PlanRequest as Request } from '../src/core/plan.ts'
import { statusOf } from '../src/core/status.ts'

/** `0` … : a migration with a rollback; `0!`: without. */
function directory(...names: string[]): Directory {
  return { migrations: names.map(migration), problems: [] }
}

function migration(text: string): Migration {
  const id = Number.parseInt(text, 10)
  const source = (name: string) => ({ kind: 'sql', file: `${id}_${name}.sql`, text: `-- ${name}` }) as const
  const down = text.endsWith('!') ? null : { ...source('undo'), name: `undo${id}` }
  return {
    id,
    name: `m${id}`,
    kind: 'sql',
    checksum: `sha256:${id}`,
    up: source('do'),
    down,
  }
}

function applied(id: number, other: Partial<Applied> = {}): Applied {
  const known = {
    name: `m${id}`,
    insertedAt: '2026-11-22 21:41:00',
    checksum: `sha256:${id}`,
    keptDown: false,
  }
  return { id, ...known, durationMs: 1, appliedBy: 'ci', ...other }
}

function migrate(other: Partial<Request & { kind: 'migrate' }> = {}): Request {
  return { kind: 'migrate', target: null, from: null, atomic: false, ...other }
}

function baseline(target: number, from: number | null = null): Request {
  return { kind: 'baseline', target, from }
}

const REPAIR: Request = { kind: 'repair', from: null }

function rollback(other: Partial<Request & { kind: 'rollback' }> = {}): Request {
  return {
    kind: 'rollback',
    target: null,
    steps: null,
    from: null,
    atomic: false,
    ...other,
  }
}

/** The plan as `0 up, 1 up`, or the code of the refusal. */
function planned(
  of: Directory,
  done: readonly (number | Applied)[],
  request: Request,
  foreignTable: string | null = null,
): string {
  const history = {
    applied: done.map((one) => (typeof one === 'number' ? applied(one) : one)),
    foreignTable,
  }
  try {
    return plan(of, history, request)
      .map(({ id, direction }) => `${id} ${direction}`)
      .join(', ')
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error
    return error.code
  }
}

const THREE = directory('0!', '1', '2')
const PROBLEM = {
  ...THREE,
  problems: [{ code: 'gap', file: 'x', message: 'x' }],
} as const
const CHANGED = applied(1, { checksum: 'sha256:other' })

describe('the plan of', () => {
  it.each<[string, Directory, (number | Applied)[], Request, string]>([
    ['migrate on nothing', THREE, [], migrate(), '0 up, 1 up, 2 up'],
    ['migrate on some', THREE, [0], migrate(), '1 up, 2 up'],
    ['migrate on all', THREE, [0, 1, 2], migrate(), ''],
    ['migrate to a target', THREE, [], migrate({ target: 1 }), '0 up, 1 up'],
    ['migrate to the current one', THREE, [0, 1], migrate({ target: 1 }), ''],
    ['migrate to one below the current', THREE, [0, 1, 2], migrate({ target: 0 }), ''],
    ['migrate to an unknown target', THREE, [], migrate({ target: 3 }), 'invalid-request'],
    ['migrate to -1', THREE, [], migrate({ target: -1 }), 'invalid-request'],
    ['migrate from the current one', THREE, [0], migrate({ from: 0 }), '1 up, 2 up'],
    ['migrate from none', THREE, [], migrate({ from: -1 }), '0 up, 1 up, 2 up'],
    ['migrate from another', THREE, [0, 1], migrate({ from: 0 }), 'precondition-failed'],
    ['migrate from none though some are applied', THREE, [0], migrate({ from: -1 }), 'precondition-failed'],
    ['migrate from some though none are applied', THREE, [], migrate({ from: 0 }), 'precondition-failed'],
    ['migrate with a problem', PROBLEM, [], migrate(), 'invalid-migrations'],
    ['migrate with a changed migration', THREE, [0, CHANGED], migrate(), 'checksum-mismatch'],
    [
      'migrate with a changed migration and nothing to do',
      directory('0', '1'),
      [0, CHANGED],
      migrate(),
      'checksum-mismatch',
    ],
    ['migrate with an adopted row', THREE, [applied(0, { checksum: null })], migrate(), '1 up, 2 up'],
    [
      'migrate with an adopted row of another name',
      THREE,
      [applied(0, { checksum: null, name: 'x' })],
      migrate(),
      'checksum-mismatch',
    ],
    ['migrate when the name alone has changed', THREE, [applied(0, { name: 'x' })], migrate(), '1 up, 2 up'],
    ['migrate when ahead', directory('0', '1'), [0, 1, 2, 3], migrate(), ''],
    ['migrate on a history with a hole', THREE, [0, 2], migrate(), 'history-gap'],
    ['migrate on a history that begins late', THREE, [1], migrate(), 'history-gap'],
    ['baseline on nothing', THREE, [], baseline(1), '0 up, 1 up'],
    ['baseline on something', THREE, [0], baseline(1), 'not-empty'],
    ['baseline above the directory', THREE, [], baseline(3), 'invalid-request'],
    ['baseline to -1', THREE, [], baseline(-1), 'invalid-request'],
    ['baseline from another', THREE, [], baseline(1, 0), 'precondition-failed'],
    ['baseline with a problem', PROBLEM, [], baseline(1), 'invalid-migrations'],
    ['repair of a changed migration', THREE, [0, CHANGED, 2], REPAIR, '1 up'],
    ['repair of an adopted row of another name', THREE, [applied(0, { checksum: null, name: 'x' })], REPAIR, '0 up'],
    ['repair of nothing', THREE, [0, 1], REPAIR, ''],
    ['repair when ahead', directory('0', '1'), [0, CHANGED, 2], REPAIR, '1 up'],
    ['repair with a hole', THREE, [0, 2], REPAIR, 'history-gap'],
    ['repair with a problem', PROBLEM, [CHANGED], REPAIR, 'invalid-migrations'],
    ['rollback on nothing', THREE, [], rollback(), ''],
    ['rollback on nothing by many', THREE, [], rollback({ steps: 5 }), ''],
    ['rollback', THREE, [0, 1, 2], rollback(), '2 down'],
    ['rollback by two', THREE, [0, 1, 2], rollback({ steps: 2 }), '2 down, 1 down'],
    ['rollback by more than are applied', THREE, [0, 1], rollback({ steps: 3 }), 'invalid-request'],
    ['rollback to a target', THREE, [0, 1, 2], rollback({ target: 0 }), '2 down, 1 down'],
    ['rollback to the current one', THREE, [0, 1], rollback({ target: 1 }), ''],
    ['rollback to one above the current', THREE, [0, 1], rollback({ target: 2 }), ''],
    ['rollback to an unknown target', THREE, [0, 1], rollback({ target: 7 }), 'invalid-request'],
    [
      'rollback to one that is applied and gone',
      THREE,
      [0, 1, 2, 3, applied(4, { keptDown: true })],
      rollback({ target: 3 }),
      '4 down',
    ],
    ['rollback of everything', directory('0', '1'), [0, 1], rollback({ target: -1 }), '1 down, 0 down'],
    ['rollback without a way', THREE, [0], rollback(), 'no-rollback'],
    [
      'rollback that lacks one in its way',
      directory('0', '1!', '2'),
      [0, 1, 2],
      rollback({ target: -1 }),
      'no-rollback',
    ],
    ['rollback by the log', directory('0'), [0, applied(1, { keptDown: true })], rollback(), '1 down'],
    ['rollback of a missing one without a log', directory('0'), [0, 1], rollback(), 'no-rollback'],
    ['rollback of a changed one', THREE, [0, CHANGED], rollback(), '1 down'],
    ['rollback from another', THREE, [0, 1], rollback({ from: 2 }), 'precondition-failed'],
    ['rollback with a problem', PROBLEM, [0], rollback(), 'invalid-migrations'],
    ['rollback on a history with a hole', THREE, [0, 2], rollback(), 'history-gap'],
  ])('%s', (_, of, done, request, expected) => {
    expect(planned(of, done, request)).toBe(expected)
  })

  it('either verb is refused where a table belongs to another tool', () => {
    expect(planned(THREE, [], migrate(), 'migrations')).toBe('foreign-table')
    expect(planned(THREE, [], rollback(), 'migrations')).toBe('foreign-table')
  })

  it('atomic is refused where a migration cannot run inside a transaction', () => {
    const outside = {
      kind: 'sql',
      file: 'x',
      text: '-- schemad:no-transaction\nVACUUM',
    } as const
    const of = {
      migrations: [{ ...migration('0'), up: outside }, migration('1')],
      problems: [],
    }
    expect(planned(of, [], migrate({ atomic: true }))).toBe('invalid-request')
    expect(planned(of, [], migrate())).toBe('0 up, 1 up')
    expect(planned(of, [0], migrate({ atomic: true }))).toBe('1 up')
  })

  it('a rollback bears the name of its down and takes the directory before the log', () => {
    const history = {
      applied: [applied(0), applied(1, { keptDown: true }), applied(2, { keptDown: true })],
      foreignTable: null,
    }
    const steps = plan(directory('0', '1'), history, rollback({ target: 0 }))
    expect(steps.map(({ name, source }) => [name, source === null])).toEqual([
      ['m2', true],
      ['undo1', false],
    ])
  })

  it('a migration keeps its down SQL for the log', () => {
    const [step] = plan(directory('0'), { applied: [], foreignTable: null }, migrate())
    expect(step).toMatchObject({ checksum: 'sha256:0', keep: '-- undo' })
  })
})

describe('the state is', () => {
  it.each<[string, Directory, Applied[], string | null]>([
    ['invalid', PROBLEM, [applied(0), CHANGED], null],
    ['conflict', THREE, [applied(1)], null],
    ['conflict', THREE, [], 'migrations'],
    ['changed', directory('0', '1'), [applied(0), CHANGED, applied(2)], null],
    ['ahead', directory('0'), [applied(0), applied(1)], null],
    ['pending', THREE, [applied(0)], null],
    ['pending', THREE, [], null],
    ['up-to-date', directory('0'), [applied(0)], null],
  ])('%s', (state, of, done, foreignTable) => {
    expect(statusOf(of, { applied: done, foreignTable }).state).toBe(state)
  })

  it('told of each migration', () => {
    const done = [
      applied(0),
      applied(1, { checksum: 'other', keptDown: true }),
      applied(2, { insertedAt: 'yesterday' }),
    ]
    const status = statusOf(directory('0!', '1!'), {
      applied: done,
      foreignTable: null,
    })
    expect(status).toMatchObject({ current: 2, latest: 1, pending: 0 })
    expect(status.migrations).toEqual([
      {
        id: 0,
        name: 'm0',
        state: 'applied',
        kind: 'sql',
        reversible: false,
        checksum: 'sha256:0',
        appliedAt: '2026-11-22T21:41:00Z',
        durationMs: 1,
        appliedBy: 'ci',
      },
      {
        id: 1,
        name: 'm1',
        state: 'changed',
        kind: 'sql',
        reversible: true,
        checksum: 'sha256:1',
        appliedAt: '2026-11-22T21:41:00Z',
        durationMs: 1,
        appliedBy: 'ci',
      },
      {
        id: 2,
        name: 'm2',
        state: 'missing',
        kind: null,
        reversible: false,
        checksum: 'sha256:2',
        appliedAt: null,
        durationMs: 1,
        appliedBy: 'ci',
      },
    ])
  })
})

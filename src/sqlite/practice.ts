import type { Step } from '../core/migration.ts'
import { reportOf } from '../core/outcome.ts'
import { startClock } from './clock.ts'
import { cutWal, record } from './connection.ts'
import { openGuarded } from './database.ts'
import type { RunRow } from './messages.ts'
import { executeAll, workOf } from './parts.ts'
import { begin, currentIn } from './perform.ts'
import { Progress } from './progress.ts'
import { recordBegin, recordEnd } from './run-record.ts'
import { changesBetween, objectsOf } from './schema-changes.ts'
import { Telling } from './telling.ts'

/**
 * Makes a small run in memory, of which nobody hears: what has been executed once need not be read from its file and compiled
 * while somebody waits for a run.
 */
export function practise(): void {
  const clock = startClock()
  const { startedAt } = clock
  const db = openGuarded(':memory:')
  try {
    const from = begin(db, null, (current) =>
      recordBegin(db, RUN, startedAt, current, { atomic: false, steps: STEPS.map((step) => reportOf(step)) }),
    )
    const before = objectsOf(db)
    const telling = new Telling(
      () => {},
      new Progress(),
      () => {},
    )
    const { steps } = executeAll(db, STEPS.map(workOf), RUN, telling, { renew: () => db })
    const schemaChanges = changesBetween(before, objectsOf(db))
    const end = { steps, from, to: currentIn(db), schemaChanges, error: null, backup: null, ...clock.stop() }
    record(db, () => recordEnd(db, RUN, end), 1)
    cutWal(db)
  } finally {
    db.close()
  }
}

const RUN: RunRow = {
  id: 'practice',
  kind: 'migrate',
  parameters: {},
  atomic: false,
  actor: '',
  requestId: '',
  createdAt: '',
}

const STEPS: readonly Step[] = [
  step(
    'up',
    'CREATE TABLE practice (id INTEGER PRIMARY KEY, parent REFERENCES practice); INSERT INTO practice (id) VALUES (1);',
  ),
  step('down', 'DROP TABLE practice;'),
]

function step(direction: 'up' | 'down', text: string): Step {
  return { id: 0, name: 'practice', direction, source: { kind: 'sql', file: '', text }, checksum: null, keep: null }
}

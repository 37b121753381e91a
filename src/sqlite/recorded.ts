import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import type { StepReport } from '../core/migration.ts'
import { reportOf } from '../core/outcome.ts'
import { logRow, type Work } from './attempt.ts'
import { failure } from './failure.ts'
import { Ledger } from './ledger.ts'
import type { RunResult } from './steps.ts'
import { inTransaction } from './transaction.ts'
import { refuseTriggers } from './untouched.ts'

/**
 * Records `works` as applied without running them, all or none: those of a baseline are new, those of a repair take the name
 * and the checksum of their files. The state is read again inside the transaction.
 */
export function recordSteps(
  db: Database,
  runId: string,
  kind: 'baseline' | 'repair',
  works: readonly Work[],
  onStep: (step: StepReport) => void,
): RunResult {
  const ledger = new Ledger(db)
  const write = (work: Work) => {
    // A rollback that was kept is not lost because the directory has none now.
    const keep = work.keep ?? (kind === 'repair' ? ledger.keptDown(work.id) : null)
    if (kind === 'repair') ledger.rename(work.id, work.name)
    else ledger.mark(work.id, work.name, 'up')
    ledger.log(logRow({ runId }, { ...work, keep }, 'recorded', Date.now(), 0))
  }
  try {
    inTransaction(db, () => {
      refuseTriggers(db)
      refuseMoved(ledger, kind, works)
      works.forEach(write)
    })
  } catch (error) {
    const reports = works.map((work, place) => reportOf(work, place === 0 ? 'failed' : 'not-run'))
    return { steps: reports, error: failure(error, 'internal') }
  }
  const reports = works.map((work) => reportOf(work, 'recorded'))
  reports.forEach(onStep)
  return { steps: reports, error: null }
}

function refuseMoved(ledger: Ledger, kind: 'baseline' | 'repair', works: readonly Work[]): void {
  const moved = works.find(({ id }) => ledger.isApplied(id) !== (kind === 'repair'))
  if (moved === undefined && (kind === 'repair' || ledger.current() === null)) return
  throw new MigrationError(
    'history-moved',
    'another program has changed the history meanwhile; look at it, then post again',
  )
}

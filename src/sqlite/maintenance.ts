import { type Done, forbidden, isDue, logRow, named, rounded, type Session, type Work } from './attempt.ts'
import { guardOf } from './guard.ts'
import { inTransaction } from './transaction.ts'
import { Watched } from './watched.ts'

/** A `-- schemad:no-transaction` script: statements that are safe to run again, then its rows in a commit of their own. */
export function maintain(session: Session, work: Work, script: string): Done {
  const { db, ledger } = session
  if (!isDue(session, work)) return { status: 'skipped', statements: null, durationMs: 0 }
  const started = Date.now()
  const clock = performance.now()
  session.standing.settings = null
  session.left = null
  const watched = new Watched(db, 'maintenance', script, (one) => session.onStatement(one))
  named(work, watched, () => {
    if (guardOf(db) === undefined) throw forbidden('a no-transaction script needs a database that schemad opened')
    using _ = guardOf(db)?.watch(watched) ?? null
    db.exec(script)
  })
  session.spoiled ||= watched.spoiled
  return inTransaction(db, (commit) => {
    if (!isDue(session, work)) return { status: 'skipped', statements: null, durationMs: 0 }
    const durationMs = rounded(performance.now() - clock)
    named(work, undefined, () => {
      ledger.mark(work.id, work.name, work.direction)
      ledger.log(logRow(session, work, 'done', started, durationMs))
    })
    named(work, undefined, commit)
    return { status: 'done', statements: watched.count, durationMs }
  })
}

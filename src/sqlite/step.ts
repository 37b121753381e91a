import type { Database } from 'better-sqlite3'
import { MigrationError } from '../core/errors.ts'
import { isMaintenance, skipTrivia } from '../core/sql.ts'
import { ask } from './ask.ts'
import {
  type Done,
  forbidden,
  isDue,
  isSqliteError,
  logRow,
  named,
  rounded,
  type Session,
  versionOf,
  type Work,
} from './attempt.ts'
import { stepFailure } from './failure.ts'
import { censusBefore, mayHaveForeignKeys, NO_ORPHANS, refuseNewViolations } from './foreign-keys.ts'
import { guardOf } from './guard.ts'
import { maintain } from './maintenance.ts'
import { call, watchExec } from './module.ts'
import { changedSetting, type Settings, settingsOf } from './settings.ts'
import { inTransaction } from './transaction.ts'
import { fingerprint, hasForeignTriggers, refuseTriggers, temporaries } from './untouched.ts'
import { Watched } from './watched.ts'

/** Executes one step in a transaction of its own, its rows in the same commit. Throws when nothing of it has happened. */
export function executeStep(session: Session, work: Work): Done {
  const script = work.body ?? (session.ledger.isApplied(work.id) ? session.ledger.keptDown(work.id) : null)
  if (typeof script === 'string' && isMaintenance(script)) return maintain(session, work, script)
  const { db } = session
  return inTransaction(
    db,
    (commit) => {
      const done = executeInside(session, work)
      const version = versionOf(db)
      session.left = null
      // What fails at the very end is this step's failure too.
      named(work, undefined, commit)
      // Between the steps of a library nobody knows what its user does on this very connection.
      const alone = session.runId !== null
      if (alone && done.status === 'done' && work.direction === 'up') session.left = { version, current: work.id }
      return done
    },
    session.standing,
  )
}

/** Executes one step in a transaction that the caller has opened, and will roll back when this throws. */
export function executeInside(session: Session, work: Work): Done {
  const started = Date.now()
  const clock = performance.now()
  const { db, ledger } = session
  // Whoever has functions has other code that runs between the steps.
  if (typeof work.body === 'function') session.standing.settings = null
  if (!isDue(session, work)) return { status: 'skipped', statements: null, durationMs: 0 }
  const orphans = session.related ? censusBefore(db) : NO_ORPHANS
  const statements = changeOnly(session, work)
  return named(work, undefined, () => {
    // Its own row first: a table of the user's may refer to ours.
    ledger.mark(work.id, work.name, work.direction)
    if (session.related) refuseNewViolations(db, orphans)
    const durationMs = rounded(performance.now() - clock)
    ledger.log(logRow(session, work, 'done', started, durationMs))
    return { status: 'done', statements, durationMs }
  })
}

/** Runs the change, and nothing but the change: all that section 4 of the promise forbids is looked for afterwards. */
function changeOnly(session: Session, work: Work): number | null {
  const { db } = session
  const body = work.body ?? keptDown(session, work)
  if (typeof body === 'string' && isMaintenance(body))
    throw stepFailure(forbidden('it cannot run inside a transaction'), work)
  const script = typeof body === 'string' ? body : null
  const may = reachOf(script)
  const wary = session.wary || may.touchOurs
  const before = wary ? fingerprint(db) : ''
  const temporary = may.leaveTemporary ? temporaries(db) : null
  const legacy = may.set ? isLegacy(db) : null
  const settings = script === null ? settingsOf(db) : null
  if (may.set) session.standing.settings = null
  db.exec(`SAVEPOINT ${session.savepoint}`)
  const statements = perform(session, work, body)
  named(work, undefined, () => {
    refuseEscape(db, session.savepoint)
    if (may.leaveTemporary && temporaries(db) !== temporary)
      throw forbidden('it leaves something TEMP behind; drop it at its end')
    if (wary) refuseTouched(db, before)
    if (settings !== null) refuseSettings(session, settings)
    session.wary ||= wary && hasForeignTriggers(db)
    session.related ||= script === null ? mayHaveForeignKeys(db) : may.relate
  })
  if (legacy !== null && isLegacy(db) !== legacy) db.exec(`PRAGMA legacy_alter_table = ${legacy}`)
  return statements
}

/** What a change can do by its own words. */
interface Reach {
  readonly touchOurs: boolean
  readonly leaveTemporary: boolean
  readonly set: boolean
  readonly relate: boolean
}

/**
 * No word of a script is hidden from SQLite and from this by quoting it. A trigger of an earlier migration can do none of it
 * but write to our tables. A function's statements are not known before they run.
 */
function reachOf(script: string | null): Reach {
  const says = (word: RegExp) => script === null || word.test(script)
  return {
    touchOurs: says(/migration/i),
    leaveTemporary: says(/temp/i),
    set: says(/pragma/i),
    relate: says(/references/i),
  }
}

function isLegacy(db: Database): number {
  return ask(db, 'SELECT legacy_alter_table FROM pragma_legacy_alter_table').pluck().get() as number
}

function keptDown(session: Session, work: Work): string {
  const text = session.ledger.keptDown(work.id)
  if (text !== null) return text
  throw new MigrationError('no-rollback', `neither the directory nor the log has a rollback of migration ${work.id}`)
}

/** Hands the script or the database over, every statement watched where the connection can be. */
function perform(session: Session, work: Work, body: string | ((db: Database) => unknown)): number | null {
  const { db } = session
  const script = typeof body === 'string' ? body : null
  const watched = new Watched(db, 'ordinary', script, (one) => session.onStatement(one))
  try {
    using _ = guardOf(db)?.watch(watched) ?? null
    if (typeof body === 'string') db.exec(body)
    else callWatched(db, body, watched)
  } catch (error) {
    throw stepFailure(error, work, db.open && isSqliteError(error) ? watched.failed(error) : {})
  } finally {
    session.spoiled ||= watched.spoiled
  }
  // A module may have caught what stopped it.
  if (watched.refused !== null) throw stepFailure(watched.refused, work)
  if (guardOf(db) === undefined) return null
  if (script !== null && skipTrivia(watched.rest(), 0) !== watched.rest().length) {
    throw stepFailure(forbidden('SQLite has left a part of the script unexecuted'), work, watched.place())
  }
  return watched.count
}

function callWatched(db: Database, body: (db: Database) => unknown, watched: Watched): void {
  using _ = watchExec(db, watched)
  call(db, body)
}

/** A PRAGMA acts when it is compiled, which no guard sees of a module's prepare; the connection is not used again. */
function refuseSettings(session: Session, before: Settings): void {
  const changed = changedSetting(before, settingsOf(session.db))
  if (changed === null) return
  session.spoiled = true
  throw forbidden(`it changes the connection by PRAGMA ${changed}, which would outlive it; remove that`)
}

/** The savepoint is there only if the transaction that it was set in still is. */
function refuseEscape(db: Database, savepoint: string): void {
  if (!db.open) throw forbidden('it has closed the database, which is not its own; remove the close')
  try {
    db.exec(`RELEASE ${savepoint}`)
  } catch (error) {
    throw new MigrationError(
      'forbidden-statement',
      'it has ended the transaction that it ran in; look at what it left behind, then remove its COMMIT or ROLLBACK',
      {},
      { cause: error },
    )
  }
}

function refuseTouched(db: Database, before: string): void {
  refuseTriggers(db)
  if (fingerprint(db) === before) return
  throw forbidden(
    'it changes the tables that record the migrations; leave migrations, migration_log and migration_runs alone',
  )
}

import type { Database } from 'better-sqlite3'
import { toldError } from '../core/outcome.ts'
import type { Work } from './attempt.ts'
import { removeDatabase } from './backup-files.ts'
import { startClock } from './clock.ts'
import { type Claimed, openAnew, openForRun, renew } from './connection.ts'
import { copyDatabase, copyFailure, openToRead } from './copy.ts'
import { tellable } from './failure.ts'
import { ghostly } from './ghost.ts'
import { Ledger } from './ledger.ts'
import { compareCounts, countRows } from './loss.ts'
import type { Assignment, RunnerResult } from './messages.ts'
import { executeAll, workOf } from './parts.ts'
import { begin } from './perform.ts'
import { changesBetween, objectsOf } from './schema-changes.ts'
import type { Telling } from './telling.ts'

/** Makes the run with a copy of the database, which is gone afterwards. `claimed` is the copy. */
export async function performRehearsal(
  claimed: Claimed,
  { run, steps, source }: Assignment & { type: 'rehearse' },
  telling: Telling,
): Promise<RunnerResult> {
  removeDatabase(claimed.database)
  let db: Database | null = null
  try {
    await copy(source, claimed)
    db = openForRun(claimed)
    const from = begin(db, null, () => {})
    const clock = startClock()
    const [before, rows] = [objectsOf(db), countRows(db)]
    telling.say({ type: 'begun', startedAt: clock.startedAt, from, before, backup: null })
    const named = new Names(rows.keys())
    let on = db
    const { steps: reports, error } = executeAll(db, steps.map(workOf), run, telling, {
      onStatement: (work, { text }) => named.hear(work, text),
      renew: () => {
        on = renew(on, claimed)
        db = on
        return on
      },
    })
    db = on
    const times = clock.stop()
    // A module has left its settings and functions on the other one.
    const fresh = openAnew(db, claimed)
    if (fresh === null) throw error ?? ghostly(db)
    db = fresh
    const after = countRows(db)
    return {
      steps: reports,
      from,
      to: new Ledger(db).current(),
      schemaChanges: changesBetween(before, objectsOf(db)),
      error: toldError(run, reports, error && tellable(error))?.toJSON() ?? null,
      backup: null,
      rowCounts: compareCounts(rows, after),
      warnings: named.losses(rows, after),
      ...times,
    }
  } finally {
    db?.close()
    removeDatabase(claimed.database)
  }
}

async function copy(source: string, { database, lockTimeoutMs }: Claimed): Promise<void> {
  const db = openToRead(source, lockTimeoutMs)
  if (db === null) return
  try {
    await copyDatabase(db, database)
  } catch (error) {
    throw copyFailure(error, 'a rehearsal needs room for a copy of the database beside it; free some space')
  } finally {
    db.close()
  }
}

/** Which tables were named by a statement. */
class Names {
  readonly #unnamed: Map<string, string>

  constructor(tables: Iterable<string>) {
    this.#unnamed = new Map([...tables].map((table) => [table, table.toLowerCase()]))
  }

  hear(_: Work, text: string): void {
    if (this.#unnamed.size === 0) return
    const lower = text.toLowerCase()
    for (const [table, name] of this.#unnamed) if (isNamed(lower, name)) this.#unnamed.delete(table)
  }

  /** A sentence for each table that has lost rows though nothing named it. */
  losses(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string[] {
    return [...this.#unnamed.keys()].flatMap((table) => {
      const [had, has] = [before.get(table) ?? 0, after.get(table) ?? 0]
      if (has >= had) return []
      return `the table ${table} loses ${had - has} of its ${had} rows, though no statement names it: look for a trigger`
    })
  }
}

/** Whether `name` stands in `text`, and not as a part of another name. The empty one, which SQLite allows, stands everywhere. */
function isNamed(text: string, name: string): boolean {
  if (name === '') return true
  const isPart = (at: number) => /[\w$\u0080-\uffff]/.test(text.charAt(at))
  let at = text.indexOf(name)
  while (at !== -1 && (isPart(at - 1) || isPart(at + name.length))) at = text.indexOf(name, at + 1)
  return at !== -1
}

/** A mechanism, taken away from a copy of the source; and the tests that must notice it. */
export interface Mutation {
  readonly mechanism: string
  /** In a file of `src/`, a text that stands there once, and what takes its place. */
  readonly edits: readonly { readonly file: string; readonly find: string; readonly replace: string }[]
  /** The file of tests, and what their titles match. */
  readonly test: string
  readonly titles: string
}

function one(
  mechanism: string,
  file: string,
  [find, replace]: readonly [string, string],
  [test, titles]: readonly [string, string],
): Mutation {
  return { mechanism, edits: [{ file, find, replace }], test, titles }
}

const SQL = 'test/long/faults-sql.test.ts'
const LIBRARY = 'test/library.test.ts'
const RUNS = 'test/long/runs.test.ts'
const COMMIT = 'test/faults/commit.test.ts'
const LOOK = 'test/look.test.ts'

export const MUTATIONS: readonly Mutation[] = [
  one(
    'the guard refuses statements before they run',
    'sqlite/watched.ts',
    ['if (reason !== null) this.#stop(reason)', ''],
    [SQL, 'fault 3: COMMIT;|fault 6: ATTACH'],
  ),
  one(
    'the guard stops what has no transaction any more',
    'sqlite/watched.ts',
    [`this.#rules === 'ordinary' && !this.#db.inTransaction`, 'false'],
    [LIBRARY, 'after a rollback by a conflict'],
  ),
  one(
    'the guard stops bound parameters',
    'sqlite/watched.ts',
    ['if (!located)', 'if (false)'],
    [SQL, 'fault 12: INSERT INTO cats VALUES .7, :name'],
  ),
  one(
    'the guard stops bound parameters of a module',
    'sqlite/watched.ts',
    ['if (isExpanded(bare, this.#part.text, at)) return false', ''],
    ['test/long/modules.test.ts', 'it leaves a parameter of exec'],
  ),
  one(
    'a refused PRAGMA is in force no more: another connection',
    'sqlite/watched.ts',
    ['this.spoiled ||= reason !== null && actsWhenCompiled(text)', ''],
    [LIBRARY, 'uses a connection no more after a forbidden PRAGMA'],
  ),
  one(
    'the allow-list of PRAGMAs',
    'sqlite/statement.ts',
    ['if (name !== null && allowed.has(name)) return null', 'return null'],
    [SQL, 'fault 7: PRAGMA journal_mode|fault 7: PRAGMA ignore_check'],
  ),
  one(
    'the foreign-key check before the commit',
    'sqlite/step.ts',
    ['if (session.related) refuseNewViolations(db, orphans)', ''],
    [SQL, 'that (a migration leaves|a deleted parent leaves) undo'],
  ),
  one(
    'the foreign-key check compares with what was there before',
    'sqlite/foreign-keys.ts',
    ['const fresh = newlyFound(before(), census(db))', 'const fresh = newlyFound(NO_ORPHANS(), census(db))'],
    [SQL, 'that were there before do not hinder another change'],
  ),
  one(
    'foreign keys off before BEGIN, in the library',
    'sqlite/transaction.ts',
    ['{ ...before, foreign_keys: 0,', '{ ...before,'],
    [LIBRARY, 'keeps the children of a parent that is rebuilt'],
  ),
  {
    mechanism: 'foreign keys off before BEGIN, in the service',
    edits: [
      { file: 'sqlite/transaction.ts', find: '{ ...before, foreign_keys: 0,', replace: '{ ...before,' },
      { file: 'sqlite/connection.ts', find: `db.pragma('foreign_keys = OFF')`, replace: '' },
    ],
    test: SQL,
    titles: 'fault 9',
  },
  one(
    'the read inside the transaction: applied by now',
    'sqlite/attempt.ts',
    [`if (work.direction === 'up' && ledger.isApplied(work.id)) return false`, ''],
    [LIBRARY, 'applies each migration once though two connections'],
  ),
  one(
    'the read inside the transaction: moved by now',
    'sqlite/attempt.ts',
    ['if ((current ?? -1) === expected) return true', 'return true'],
    [COMMIT, 'history-moved'],
  ),
  one(
    'the read inside the transaction: others have committed since the step before',
    'sqlite/attempt.ts',
    ['left !== null && left.version === versionOf(db)', 'left !== null'],
    [COMMIT, 'between the steps of a run'],
  ),
  one(
    'the side lock keeps a second run out',
    'sqlite/lock.ts',
    [`side.exec('BEGIN EXCLUSIVE')`, `side.exec('BEGIN')`],
    ['test/engine.test.ts', 'refuses a second run while one holds'],
  ),
  one(
    'the side lock tells who runs',
    'sqlite/lock.ts',
    ['if (isBusy(error)) return true', 'if (isBusy(error)) return false'],
    ['test/engine.test.ts', 'names the run that holds the database'],
  ),
  one(
    'the row of migrations is in the commit of the change',
    'sqlite/step.ts',
    ['ledger.mark(work.id,', `db.exec('COMMIT; BEGIN IMMEDIATE')\n    ledger.mark(work.id,`],
    [COMMIT, 'without the row of migrations there'],
  ),
  one(
    'the row of the log is in the commit of the change',
    'sqlite/step.ts',
    [
      `ledger.log(logRow(session, work, 'done', started, durationMs))`,
      `db.exec('COMMIT; BEGIN IMMEDIATE')\n    ledger.log(logRow(session, work, 'done', started, durationMs))`,
    ],
    [COMMIT, 'without the row of migration_log there'],
  ),
  one(
    'a done step is logged',
    'sqlite/step.ts',
    [`ledger.log(logRow(session, work, 'done', started, durationMs))`, ''],
    [COMMIT, 'a done step has its row'],
  ),
  one(
    'what fails is rolled back',
    'sqlite/transaction.ts',
    [`db.exec('ROLLBACK')`, `db.exec('COMMIT')`],
    [LIBRARY, 'leaves one table and no row when the first'],
  ),
  one(
    'the tether ends a runner whose server has died',
    'sqlite/tether.ts',
    ['kill -KILL 0', 'true'],
    [RUNS, 'takes its runner along, tied'],
  ),
  one(
    'a runner waits for the shell that it has ended',
    'sqlite/runner.ts',
    ['await tether?.cut()', ''],
    [RUNS, 'below one that waits for nobody'],
  ),
  one(
    'the watchdog ends a runner whose server has died',
    'sqlite/watchdog.ts',
    [`process.kill(-process.pid, 'SIGKILL')`, '0'],
    [RUNS, 'takes its runner along, watched over'],
  ),
  one(
    'the watchdog tells what is held back or comes too fast',
    'sqlite/telling.ts',
    ['else this.#untold()', ''],
    ['test/long/events.test.ts', 'tells the statement that stays'],
  ),
  one(
    'a runner past RUN_TIMEOUT is killed',
    'sqlite/execute.ts',
    [`addEventListener('abort', () => runner.kill())`, `addEventListener('abort', () => {})`],
    [RUNS, 'a run past RUN_TIMEOUT'],
  ),
  {
    mechanism: 'every commit is on the disk: synchronous = FULL',
    edits: [
      { file: 'sqlite/transaction.ts', find: ', synchronous: FULL }', replace: ' }' },
      { file: 'sqlite/connection.ts', find: `  db.pragma('synchronous = FULL')`, replace: '' },
    ],
    test: COMMIT,
    titles: 'is on the disk before the next begins',
  },
  one(
    'the savepoint finds a transaction that was ended',
    'sqlite/step.ts',
    ['db.exec(`RELEASE', 'void (`RELEASE'],
    [LIBRARY, 'finds a transaction that was ended'],
  ),
  one(
    'our tables are compared with what they were',
    'sqlite/step.ts',
    ['if (wary) refuseTouched(db, before)', ''],
    [SQL, 'fault 13: (INSERT INTO migrations|UPDATE|DELETE|CREATE INDEX)'],
  ),
  one(
    'our tables are compared where an older trigger may write to them',
    'sqlite/step.ts',
    ['session.wary ||= wary && hasForeignTriggers(db)', ''],
    [SQL, 'fault 13: a trigger of an earlier migration'],
  ),
  one(
    'a trigger on our tables is refused by its name',
    'sqlite/step.ts',
    ['  refuseTriggers(db)\n', ''],
    [SQL, 'fault 13: CREATE TRIGGER'],
  ),
  one(
    'nothing TEMP is left',
    'sqlite/step.ts',
    ['if (may.leaveTemporary && temporaries(db) !== temporary)', 'if (false)'],
    [SQL, 'fault 13: CREATE TEMP TABLE'],
  ),
  one(
    'a restore overwrites nothing that was written since its backup',
    'sqlite/restore.ts',
    ['    refuseWritten(live, version)\n', ''],
    ['test/long/restore.test.ts', 'that takes the write lock meanwhile'],
  ),
  one(
    'a run that changed nothing takes its backup along',
    'sqlite/backup.ts',
    ['return tidied(() => removeBackup(place.folder, name, runId)) ? null : name', 'return null'],
    ['test/long/backups.test.ts', 'fault 35'],
  ),
  one(
    'a connection whose WAL-index is no more the one of its file is closed before another is opened',
    'sqlite/live-connection.ts',
    [
      '    if (this.#open !== null && !(isFile(this.#open, found) && this.#open.index === this.#indexNow())) this.close()\n',
      '',
    ],
    ['test/faults/storage-replaced.test.ts', 'what SQLite keeps beside the file'],
  ),
  one(
    'what a killed run has left in the WAL goes with its record',
    'sqlite/settle.ts',
    ['    cutWal(db)\n', ''],
    ['test/faults/storage-replaced.test.ts', 'holds nothing of a run that was killed'],
  ),
  one(
    'a file that somebody has written to is read anew',
    'sqlite/live-connection.ts',
    [' || found.mtimeMs !== open.mtimeMs', ''],
    ['test/faults/storage-replaced.test.ts', 'is not believed when as much is copied over the file'],
  ),
  one(
    'the name of a backup is on the disk before the first step',
    'sqlite/backup.ts',
    ['      sync(folder)\n', ''],
    ['test/faults/power.test.ts', 'before it has its name'],
  ),
  one(
    'an end that could not be recorded is recorded later',
    'sqlite/execute.ts',
    ['if (!recorded) complete(', 'if (false) complete('],
    ['test/long/aftermath.test.ts', 'is recorded as it was told'],
  ),
  one(
    'the record has the last word when a runner has died',
    'sqlite/read-back.ts',
    ['if (status !== undefined && durationMs !== undefined)', 'if (false)'],
    [RUNS, 'a runner that is killed is told as such'],
  ),
  one(
    'the watchdog tells the statement that keeps a runner busy',
    'sqlite/watchdog.ts',
    ['looks % 2 === 0 && (held[1] === 0 || heldBefore) ? untold() : null', 'null'],
    ['test/long/events.test.ts', 'tells the statement that stays'],
  ),
  one(
    'the watchdog tells the steps that a busy runner holds back',
    'sqlite/watchdog.ts',
    ['if (steps !== null) write(', 'if (false) write('],
    ['test/long/events.test.ts', 'tells the step that stays'],
  ),
  one(
    'a run that was answered at once is found, whatever becomes of it',
    'core/runs.ts',
    [`life.accepted && life.answered === 'at once'`, 'false'],
    ['test/async.test.ts', 'did not get its turn'],
  ),
  one(
    'a token that was written a moment ago counts',
    'tokens.ts',
    ['if (known === null) refresh(0)', ''],
    ['test/roll-out.test.ts', 'are rotated under load'],
  ),
  one(
    'who keeps a connection is told that it ends before it does',
    'http/close.ts',
    ['Server.prototype.close.call(server,', 'server.close('],
    ['test/roll-out.test.ts', 'answers once more who keeps a connection'],
  ),
  one(
    'a look asks for the stamp of each file',
    'directory/files.ts',
    ['same &&= hasState(folder + sep + name, states, at)', ''],
    [LOOK, 'after each of three hundred changes|gets one later'],
  ),
  one(
    'names are listed anew when the folder has changed',
    'directory/directory.ts',
    [' || listed.stamp !== stamp', ''],
    [LOOK, 'after each of three hundred changes'],
  ),
]

import type { ErrorCode } from '../core/errors.ts'
import type { Run } from '../core/migration.ts'

/** What is told of an error: by its answer, its page, the README and the OpenAPI document. A new code has to be decided here. */
interface Told {
  readonly status: number
  /** Whether the same request may go well later. */
  readonly retryable: boolean
  /** Whether the same request may be sent again, where that is not simply no. */
  readonly again?: string
  readonly title: string
  /** Why it comes. The first sentence stands by itself, and so does that of the remedy. */
  readonly cause: string
  /** What to do, with the command that does it. */
  readonly remedy: string
  readonly example: ProblemExample
}

/** A document as the service writes it: its `detail`, and the members that it has beside those of every problem. */
export interface ProblemExample {
  readonly instance: string
  readonly detail: string
  /** What differs from the run of the examples; its error is that of the document. */
  readonly run?: Partial<Run>
  readonly [member: string]: unknown
}

const at = (id: number, name: string, direction: 'up' | 'down' = 'up') => ({ id, name, direction })
const step = (id: number, name: string, direction: 'up' | 'down', status: Run['steps'][number]['status']) => ({
  ...at(id, name, direction),
  status,
  statements: status === 'done' ? 1 : null,
  durationMs: status === 'not-run' ? null : 1.165,
})
const unplaced = { line: null, statement: null, sqlite: null }
const vets = { ...at(3, 'add_vets'), file: '0003_add_vets.up.sql' }
const failed = { status: 'failed', from: 2, to: 2, steps: [step(3, 'add_vets', 'up', 'failed')] } as const
const unbegun = [step(3, 'add_vets', 'up', 'not-run')]
const chips = { ...at(3, 'add_chips'), file: '0003_add_chips.up.sql' }
/** A run that was killed in its middle: nobody knows how long its step took. */
const killed = (status: Run['status'], durationMs = 25_034) => {
  const finishedAt = new Date(Date.parse('2026-11-23T09:20:00.007Z') + durationMs).toISOString()
  const steps = [{ ...step(3, 'add_chips', 'up', 'failed'), durationMs: null }]
  return { status, from: 2, to: 2, steps, finishedAt, durationMs }
}
const atWork = { line: 4, statement: 'UPDATE cats SET chip = upper(chip);', sqlite: null }

export const PROBLEMS = {
  'invalid-request': {
    status: 400,
    retryable: false,
    title: 'Invalid request',
    cause:
      'The request cannot be understood. A parameter is unknown, given twice, missing or out of range, there is a body, a backup cannot be used, or it is no valid HTTP.',
    remedy:
      'Mend what `detail` names and send it again. All parameters belong in the query, and `curl -sS localhost:8080/openapi.json` names them.',
    example: {
      instance: '/migrate?target=99',
      detail: 'target 99 is not in the directory; its migrations are 0 to 2',
    },
  },
  unauthorized: {
    status: 401,
    retryable: false,
    title: 'A valid token is needed',
    cause: 'No token was sent, or one that is not known.',
    remedy:
      "Send one: `curl -sS -H 'Authorization: Bearer …' localhost:8080/migrations`. It is the value of `READ_TOKEN`, `MIGRATE_TOKEN` or `ADMIN_TOKEN`, or a line of the file that `…_FILE` names; after a rotation the file has the new one.",
    example: { instance: '/migrations', detail: 'no token was sent; send one as Authorization: Bearer …' },
  },
  forbidden: {
    status: 403,
    retryable: false,
    title: 'The token does not allow this',
    cause:
      'The token is known, and its role is too small for this. A read token reads; a migrate token migrates too, and cancels what such a token began; an admin token does everything.',
    remedy: "Use a token of the role that `detail` names, in `-H 'Authorization: Bearer …'`.",
    example: {
      instance: '/rollback?target=1',
      detail: 'this needs a token of the role admin, and ci has the role migrate',
    },
  },
  'forbidden-host': {
    status: 403,
    retryable: false,
    title: 'Unknown host',
    cause:
      'No token is in force, and the request names a host that is not known. Any web page could otherwise reach the service under a name of its own (DNS rebinding).',
    remedy:
      'Ask by an IP address or as `localhost`, as in `curl -sS 127.0.0.1:8080/migrations`. To be reached by that name, start the service with tokens, or with the name in `ALLOWED_HOSTS`.',
    example: {
      instance: '/migrations',
      detail: 'the host "schemad.shelter.example" is not ours; name it in ALLOWED_HOSTS or use tokens',
    },
  },
  'cross-site': {
    status: 403,
    retryable: false,
    title: 'Sent from another site',
    cause:
      'A browser says that a page of another site sent this change. It does so by `Sec-Fetch-Site`, or by an `Origin` that is not the `Host`.',
    remedy:
      'If that page may do this, start the service with its origin in `CORS_ORIGINS`. From a shell the same request goes as it is; a proxy that changes `Host` has to leave it.',
    example: {
      instance: '/migrate',
      detail: 'a page of another site sent this; name its origin in CORS_ORIGINS if it may',
    },
  },
  'not-found': {
    status: 404,
    retryable: false,
    title: 'Not found',
    cause:
      'There is no such path, migration, run or backup. A run that had nothing to do is in no record, and old backups are deleted.',
    remedy:
      'Look it up where such things are listed: `curl -sS localhost:8080/migrations`, or `/runs`, `/backups`, `/problems`; `curl -sS localhost:8080/` has the paths.',
    example: { instance: '/migrations/12', detail: 'there is no migration 12; GET /migrations lists them' },
  },
  'method-not-allowed': {
    status: 405,
    retryable: false,
    title: 'Method not allowed',
    cause: 'The path is there and does not take this method.',
    remedy:
      'Use one that the header `Allow` names: what changes something is a `POST`, what only reads a `GET`, as in `curl -sS localhost:8080/migrations`.',
    example: { instance: '/migrate', detail: '/migrate does not take GET; it takes POST' },
  },
  'change-in-progress': {
    status: 409,
    retryable: true,
    title: 'Another change is under way',
    cause:
      'Another run has the database, of this server or of another one, or another rehearsal is being made. `running` names it where it is known.',
    remedy:
      'Wait for it: send the same request with `wait=600`. Watch it with `curl -sSN localhost:8080/runs/ID/events`, or cancel it with `curl -sS -X DELETE localhost:8080/runs/ID`, where ID is `running.id`; a run of another server is cancelled there.',
    example: {
      instance: '/migrate?wait=0',
      detail:
        'another change is under way (migrate 01a2079a-a100-7756-873b-19054e8a71e8 by ci, since 2026-11-23T08:51:44.006Z); wait for it, or post with wait=SECONDS',
      running: {
        id: '01a2079a-a100-7756-873b-19054e8a71e8',
        kind: 'migrate',
        startedAt: '2026-11-23T08:51:44.006Z',
        actor: 'ci',
      },
    },
  },
  'checksum-mismatch': {
    status: 409,
    retryable: false,
    title: 'Applied migrations were changed',
    cause: 'The file of an applied migration is another than the one that was applied; nothing was run.',
    remedy:
      'Restore the files that `migrations` names, and post again. If the edit was meant, record it: `curl -sS -X POST localhost:8080/repair`.',
    example: {
      instance: '/migrate',
      detail:
        'applied migrations are others in the directory now: 1 add_adoptions; restore their files, or POST /repair to record them as they are',
      migrations: [{ id: 1, name: 'add_adoptions' }],
    },
  },
  'no-rollback': {
    status: 409,
    retryable: false,
    title: 'A rollback is missing',
    cause:
      'A migration that would have to be undone has no down, neither in the directory nor in the log; nothing was run.',
    remedy:
      "Add the `.down.sql` that `detail` names and post again, or roll back less: `curl -sS -X POST 'localhost:8080/rollback?target=N'`, where N is `id` of the answer. The other way back is a backup: `curl -sS localhost:8080/backups`.",
    example: {
      instance: '/rollback?target=-1',
      detail: 'migration 0 init_db has no rollback; add a 0_….down.sql or roll back no further than to 0',
      id: 0,
      name: 'init_db',
    },
  },
  'rollback-incomplete': {
    status: 409,
    retryable: false,
    again: 'no: it would undo more',
    title: 'The rollback stopped half way',
    cause:
      'A rollback by `steps` failed after some of its steps were committed. It is told with no 5xx, since a client that repeats it would undo more than was asked for; `reason` is what stopped it.',
    remedy:
      "Go on with the target that `detail` names: `curl -sS -X POST 'localhost:8080/rollback?target=N'`. How it stands tells `curl -sS localhost:8080/migrations`.",
    example: {
      instance: '/rollback?steps=2',
      detail:
        '1 of 2 steps were rolled back, then: the runner ended with SIGKILL; if nobody did this, look whether memory ran out; what was not committed was rolled back; look at the history and go on with target=0',
      ...at(1, 'forget_adoptions', 'down'),
      file: '0001_forget_adoptions.down.sql',
      line: 1,
      statement: 'DROP TABLE adoptions;',
      sqlite: null,
      reason: 'runner-crashed',
      run: {
        kind: 'rollback',
        status: 'failed',
        from: 2,
        to: 1,
        steps: [
          step(2, 'burn_notes', 'down', 'done'),
          { ...step(1, 'forget_adoptions', 'down', 'failed'), durationMs: null },
        ],
        schemaChanges: { created: [], dropped: ['table notes'], altered: [] },
        durationMs: 40,
        backup: 'app.db-41f2f299-20261123T092000012Z-2-01a207b4-8200-71b2-adbe-c46010678fd7.db',
        actor: 'ops',
      },
    },
  },
  'history-gap': {
    status: 409,
    retryable: false,
    title: 'The history has a hole',
    cause:
      'The table `migrations` lacks the row of a migration, though it has a later one; somebody has deleted it by hand.',
    remedy:
      "See with `curl -sS localhost:8080/schema` whether what it did is there, and put the row back: `sqlite3 app.db \"INSERT INTO migrations VALUES (ID, 'NAME', datetime('now'))\"`, where ID is `id` of the answer, and NAME that of its file. Where it is not there, restore a backup.",
    example: {
      instance: '/migrate',
      detail:
        'migration 1 is not recorded as applied, though a later one is; find out who removed its row from migrations and put it back',
      id: 1,
    },
  },
  'history-moved': {
    status: 409,
    retryable: false,
    again: 'not before somebody has looked',
    title: 'The history was changed meanwhile',
    cause: 'Another program has changed the table `migrations` while the run was under way; its step was rolled back.',
    remedy:
      'Look how it stands with `curl -sS localhost:8080/migrations`, and ask again if it is still wanted, for a rollback by its `target`. Find the program, and let one alone migrate.',
    example: {
      instance: '/rollback?steps=1',
      detail:
        'the current migration is 3 and not 2 any more: another program has changed the history; look at it, then post again',
      ...at(2, 'burn_notes', 'down'),
      run: {
        kind: 'rollback',
        status: 'failed',
        from: 3,
        to: 3,
        steps: [step(2, 'burn_notes', 'down', 'failed')],
        actor: 'ops',
      },
    },
  },
  'foreign-table': {
    status: 409,
    retryable: false,
    title: 'A table belongs to another tool',
    cause:
      'The database has a table with the name of one of schemad’s, `migrations`, `migration_log` or `migration_runs`, and with other columns; it was not touched.',
    remedy:
      'Rename that table, `sqlite3 app.db "ALTER TABLE NAME RENAME TO other_NAME"`, where NAME is `table` of the answer, or give schemad another database by `DATABASE_URL`. What the other tool has applied can be recorded: `curl -sS -X POST \'localhost:8080/baseline?target=N\'`.',
    example: {
      instance: '/migrate',
      detail:
        "the table migrations has other columns than schemad's and belongs to another tool; rename it or use another database",
      table: 'migrations',
    },
  },
  'not-empty': {
    status: 409,
    retryable: false,
    again: 'no: there is nothing to do',
    title: 'Migrations are applied already',
    cause: 'A baseline is for a database without a history, and this one has one; nothing was recorded.',
    remedy:
      'Look at it with `curl -sS localhost:8080/migrations`; it most likely needs no baseline, and what is pending is applied as ever.',
    example: {
      instance: '/baseline?target=1',
      detail: 'migrations up to 2 are applied already; a baseline is for a database without a history',
      current: 2,
    },
  },
  'run-ended': {
    status: 409,
    retryable: false,
    again: 'no: there is nothing to cancel',
    title: 'The run has ended',
    cause: 'The run that was to be cancelled has ended already.',
    remedy:
      'See how with `curl -sS localhost:8080/runs/ID`. If what it did is not wanted, look how it stands now with `curl -sS localhost:8080/migrations`; the way back is a rollback to a `target`, or the backup that the run names.',
    example: {
      instance: '/runs/01a2079a-a100-7756-873b-19054e8a71e8',
      detail: 'run 01a2079a-a100-7756-873b-19054e8a71e8 has ended already: it is succeeded',
    },
  },
  cancelled: {
    status: 409,
    retryable: false,
    again: 'not before somebody has looked',
    title: 'The run was cancelled',
    cause:
      'Somebody has cancelled the run, or its client left before its turn; `detail` says which. The step that it was at was rolled back, those before it stay.',
    remedy:
      'Ask who did it why, look how it stands with `curl -sS localhost:8080/migrations`, and ask again if it is still wanted, for a rollback by its `target`.',
    example: {
      instance: '/migrate',
      detail: 'the run was cancelled by ops; what was not committed was rolled back',
      ...chips,
      ...atWork,
      run: killed('cancelled'),
    },
  },
  'precondition-failed': {
    status: 412,
    retryable: false,
    title: 'The current migration is another',
    cause: 'The current migration is not the one that `from` names: somebody has migrated or rolled back since.',
    remedy:
      "Look how it stands with `curl -sS localhost:8080/migrations`, decide anew, and send what is `current` as `from`. Who it was tells `curl -sS 'localhost:8080/runs?limit=1'`.",
    example: {
      instance: '/migrate?from=0',
      detail: 'the current migration is 2 and not 0; look at the history, then ask again',
      current: 2,
    },
  },
  'invalid-migrations': {
    status: 422,
    retryable: false,
    title: 'The migrations directory has problems',
    cause:
      'The migrations directory has problems, which `problems` names with their files; nothing was run. An empty or absent one is nearly always a forgotten mount.',
    remedy:
      'Mend the files or the mount, and post again; the server sees it by itself. It is done when `curl -sS localhost:8080/migrations` has no `problems` any more.',
    example: {
      instance: '/migrate',
      detail: 'migration 3 is missing before 0004_add_vets.up.sql; the ids must be 0, 1, 2, … without a gap',
      problems: [
        {
          code: 'gap',
          file: '0004_add_vets.up.sql',
          message: 'migration 3 is missing before 0004_add_vets.up.sql; the ids must be 0, 1, 2, … without a gap',
        },
      ],
    },
  },
  'migration-failed': {
    status: 422,
    retryable: false,
    title: 'A migration failed and was rolled back',
    cause: 'A statement of a migration failed, or its code threw. It was rolled back, and those before it stay.',
    remedy:
      "Mend the file at the place that `file`, `line` and `statement` name, and post again. `curl -sS -X POST 'localhost:8080/migrate?rehearse=true'` tries it with a copy first.",
    example: {
      instance: '/migrate',
      detail: '0003_add_vets.up.sql line 2: no such table: vet',
      ...vets,
      line: 2,
      statement: 'INSERT INTO vet VALUES (1);',
      sqlite: 'SQLITE_ERROR',
      run: failed,
    },
  },
  'foreign-key-violation': {
    status: 422,
    retryable: false,
    title: 'A migration left orphans and was rolled back',
    cause:
      'After a migration, rows were without their parents that had them before; it was rolled back. `violations` names the first of them.',
    remedy:
      "Let the migration move or delete those rows too, and post again. `curl -sS -X POST 'localhost:8080/migrate?rehearse=true'` tries it with a copy first.",
    example: {
      instance: '/migrate',
      detail: '0003_add_vets.up.sql: rows are left without their parents: adoptions row 1 has no parent in cats',
      ...vets,
      ...unplaced,
      violations: [{ table: 'adoptions', rowid: 1, parent: 'cats' }],
      run: failed,
    },
  },
  'forbidden-statement': {
    status: 422,
    retryable: false,
    title: 'A migration has a forbidden statement and was rolled back',
    cause:
      'A migration has a statement that could not be undone with it, such as `COMMIT`, `ATTACH` or a lasting `PRAGMA`, or it touches schemad’s own tables; it was rolled back.',
    remedy:
      'Remove the statement at the place that `file` and `line` name, and post again. `VACUUM` and its like may stand in a script of their own whose first line is `-- schemad:no-transaction`.',
    example: {
      instance: '/migrate',
      detail:
        '0003_add_vets.up.sql line 1: BEGIN is not allowed: each migration runs inside a transaction of its own; remove the statement',
      ...vets,
      line: 1,
      statement: 'BEGIN;',
      sqlite: null,
      run: failed,
    },
  },
  'timed-out': {
    status: 422,
    retryable: false,
    title: 'The run took too long and was rolled back',
    cause:
      'The run took longer than `RUN_TIMEOUT` and was killed. The step that it was at was rolled back, those before it stay.',
    remedy:
      'Split that migration, or restart the service with a longer `RUN_TIMEOUT`, and post again. Where the time went tells `curl -sS localhost:8080/runs/ID` by its steps.',
    example: {
      instance: '/migrate',
      detail: 'the run took longer than 3600 s, was killed and rolled back; raise RUN_TIMEOUT or split the migration',
      ...chips,
      ...atWork,
      run: killed('timed-out', 3_600_022),
    },
  },
  'runner-crashed': {
    status: 500,
    retryable: true,
    title: 'The runner died; what was not committed was rolled back',
    cause:
      'The process that made the run has died, most likely of too little memory. The step that it was at was rolled back; what `run` tells was read back from the record.',
    remedy:
      'Send the same request again: what is committed is not done twice. If `dmesg` tells that memory ran out, give the container more before.',
    example: {
      instance: '/migrate',
      detail:
        'the runner ended with SIGKILL; if nobody did this, look whether memory ran out; what was not committed was rolled back',
      ...chips,
      ...atWork,
      run: killed('failed'),
    },
  },
  internal: {
    status: 500,
    retryable: true,
    title: 'Internal error',
    cause: 'Something broke that is nobody’s mistake outside: a fault of schemad, or a disk that fails.',
    remedy:
      'Search the log for the `X-Request-Id` of the answer; it has the cause, and the kernel’s log has that of a disk. Then `curl -sS localhost:8080/migrations` tells how it stands, and the same request may be sent again.',
    example: { instance: '/migrate', detail: 'an unexpected error; the log has it' },
  },
  'database-locked': {
    status: 503,
    retryable: true,
    title: 'The database is locked',
    cause:
      'Another program has held the database for longer than `LOCK_TIMEOUT`, or has written to it while a restore was prepared.',
    remedy:
      'Let it end its transaction, and send the same request again, as `curl --retry 10` does by itself. `fuser -v app.db` names who has the file open; for a restore, stop what writes to it.',
    example: {
      instance: '/migrate',
      detail: 'database is locked: another program holds the database; try again when it has finished',
      sqlite: 'SQLITE_BUSY',
      run: { ...failed, steps: unbegun, finishedAt: '2026-11-23T09:20:05.021Z', durationMs: null },
    },
  },
  'database-unavailable': {
    status: 503,
    retryable: true,
    title: 'The database is unavailable',
    cause:
      'The database, or a file or folder beside it, cannot be read and written, is damaged, or was replaced; `detail` names it.',
    remedy:
      'Mend its mount and its permissions until `curl -sS localhost:8080/readyz` says ok. If it is damaged, stop the application and whatever posts, move it with its `-wal` and `-shm` away, and restore the newest backup: `curl -sS -X POST localhost:8080/backups/NAME/restore`.',
    example: {
      instance: '/migrate',
      detail: '/data/app.db is no file that can be read and written; mend its permissions or its mount',
    },
  },
  'shutting-down': {
    status: 503,
    retryable: true,
    title: 'The server is shutting down',
    cause:
      'The server is about to end and begins nothing new. A run that outlasts `SHUTDOWN_TIMEOUT` is killed, and its step rolled back.',
    remedy:
      'Send the same request again when it is back, as `curl --retry 30 --retry-connrefused` does by itself. What a run had done by then tells `curl -sS localhost:8080/runs/ID`.',
    example: {
      instance: '/migrate',
      detail: 'the server had to shut down before the run was over; it was killed and rolled back',
      ...chips,
      ...atWork,
      run: killed('interrupted'),
    },
  },
  'insufficient-storage': {
    status: 507,
    retryable: false,
    title: 'No space left',
    cause:
      'There is no room for the change, for the backup before it, or for the copy of a rehearsal or a restore; a step that had begun was rolled back.',
    remedy:
      'Free some space, of which `df -h` tells, and send the same request again. `BACKUP_DIR` may be another disk, and a smaller `BACKUP_KEEP` keeps fewer; `0` does without backups.',
    example: {
      instance: '/migrate',
      detail:
        '/data/backups has 3.1 MiB free, and a copy of the database needs 41.0 MiB; without a backup in /data/backups nothing is run; free some space, set BACKUP_DIR, or set BACKUP_KEEP=0 to do without',
      run: { ...failed, steps: unbegun, durationMs: null },
    },
  },
} as const satisfies Record<ErrorCode, Told>

/** Further examples, for operations that a code is told otherwise by: `code.what`. */
export const FURTHER_EXAMPLES = {
  'invalid-request.parameter': {
    instance: '/migrations?sate=…',
    detail: 'unknown parameter sate; look it up in /openapi.json',
  },
  'invalid-request.schema': {
    instance: '/readyz?schema=newest',
    detail: 'schema must be current, or the id of a migration',
  },
  'invalid-request.limit': { instance: '/runs?limit=500', detail: 'limit is 500; it goes from 1 to 100' },
  'invalid-request.backup': {
    instance: '/backups/app.db-41f2f299-20261123T091412012Z-2-01a207af-32a0-73fe-a2ea-ecdc86b62e08.db/restore',
    detail:
      'app.db-41f2f299-20261123T091412012Z-2-01a207af-32a0-73fe-a2ea-ecdc86b62e08.db cannot be restored: it is damaged or no database; nothing was changed',
  },
  'forbidden.run': {
    instance: '/runs/01a207af-32a0-73fe-a2ea-ecdc86b62e08',
    detail:
      'run 01a207af-32a0-73fe-a2ea-ecdc86b62e08 was begun with a token of the role admin; it takes an admin token to cancel it',
  },
  'not-found.run': {
    instance: '/runs/01a2079a-a100-7756-873b-19054e8a71e9',
    detail: 'there is no run 01a2079a-a100-7756-873b-19054e8a71e9; GET /runs lists them',
  },
  'not-found.backup': {
    instance: '/backups/monday.db/restore',
    detail: 'there is no backup monday.db; GET /backups lists them',
  },
  'not-found.problem': {
    instance: '/problems/out-of-coffee',
    detail: 'there is no problem out-of-coffee; GET /problems lists them',
  },
  'change-in-progress.run': {
    instance: '/runs/01a2079a-a100-7756-873b-19054e8a71e8',
    detail: 'run 01a2079a-a100-7756-873b-19054e8a71e8 is one of another server; ask that one',
  },
  'database-unavailable.file': {
    instance: '/migrations',
    detail: '/data/app.db: file is not a database: the file is damaged or no database; restore it',
    sqlite: 'SQLITE_NOTADB',
  },
} as const satisfies Record<`${ErrorCode}.${string}`, ProblemExample>

export type ProblemExampleName = ErrorCode | keyof typeof FURTHER_EXAMPLES

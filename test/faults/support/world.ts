import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import Sqlite from 'better-sqlite3'
import { expect, onTestFinished } from 'vitest'
import { type Files, folderWith, temporaryFolder } from '../../support/folder.ts'
import { query, type Server, startServer } from '../../support/server.ts'
import { NO_BACKUPS } from './files.ts'
import { appliedByLog, glanceAt } from './state.ts'

const CATS = (name: string, check: string) =>
  `CREATE TABLE "${name}" (id INTEGER PRIMARY KEY, name TEXT NOT NULL${check}, weight REAL)`

/** Each of several statements, each with its rollback: small ones, a table rebuild, and the big one. */
const MIGRATIONS: readonly (readonly [up: string, down: string])[] = [
  [
    `${CATS('cats', '')};
CREATE TABLE toys (id INTEGER PRIMARY KEY, cat_id INTEGER NOT NULL REFERENCES cats ON DELETE CASCADE, text TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO cats SELECT i, 'cat ' || i, i FROM n;
INSERT INTO toys (cat_id, text) SELECT id, 'toy of ' || name FROM cats;`,
    'DROP TABLE toys;\nDROP TABLE cats;',
  ],
  [
    `${CATS('new_cats', " CHECK (name <> '')")};
INSERT INTO new_cats SELECT id, name, weight FROM cats;
DROP TABLE cats;
ALTER TABLE new_cats RENAME TO cats;
CREATE INDEX cats_name ON cats (name);`,
    `${CATS('old_cats', '')};
INSERT INTO old_cats SELECT id, name, weight FROM cats;
DROP TABLE cats;
ALTER TABLE old_cats RENAME TO cats;`,
  ],
  [
    `CREATE TABLE weighings (id INTEGER PRIMARY KEY, cat_id INTEGER NOT NULL, grams INTEGER NOT NULL, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
  INSERT INTO weighings SELECT i, i % 2000 + 1, 0, 'weighed for the time ' || i || substr(hex(zeroblob(60)), 1, i % 100) FROM n;
CREATE INDEX weighings_of_cat ON weighings (cat_id, note);
UPDATE weighings SET grams = 3000 + id % 2000, note = note || '.';
UPDATE cats SET weight = weight + 1;`,
    'UPDATE cats SET weight = weight - 1;\nDELETE FROM weighings WHERE id % 2 = 1;\nDROP TABLE weighings;',
  ],
  [
    `CREATE VIEW heavy AS SELECT * FROM cats WHERE weight > 100;
UPDATE toys SET text = upper(text);
CREATE TRIGGER no_toys AFTER DELETE ON toys BEGIN SELECT 1; END;`,
    'DROP TRIGGER no_toys;\nUPDATE toys SET text = replace(lower(text), char(9), char(9));\nDROP VIEW heavy;',
  ],
]

/** The place of the big one. */
const BIG = 2
export const LAST = MIGRATIONS.length - 1

const FILES: Files = Object.fromEntries(
  MIGRATIONS.flatMap(([up, down], id) => [
    [`${id}_m.up.sql`, up],
    [`${id}_m.down.sql`, down],
  ]),
)

export const isBig = (from: number, to: number) => Math.min(from, to) < BIG && Math.max(from, to) >= BIG

/** A database with servers and an application on it. */
export class World {
  readonly database = join(temporaryFolder(), 'app.db')
  readonly #migrations = folderWith(FILES)
  readonly #states: string[] = []
  #application: ChildProcess | null = null
  #acknowledged = 0
  server!: Server

  /** Starts all, and learns what the state after each migration is, up and down. */
  async begin(): Promise<void> {
    const db = new Sqlite(this.database)
    db.exec('CREATE TABLE visits (id INTEGER PRIMARY KEY, text TEXT NOT NULL)')
    db.close()
    await this.startServer()
    this.#states.push(glanceAt(this.database).digest)
    for (let target = 0; target <= LAST; target += 1) {
      await this.server.post(`/migrate?target=${target}`)
      this.#states.push(glanceAt(this.database).digest)
    }
    for (let target = LAST - 1; target >= -1; target -= 1) {
      await this.server.post(`/rollback?target=${target}`)
      expect(this.#states[target + 1], `down to ${target}`).toBe(glanceAt(this.database).digest)
    }
    expect(new Set(this.#states).size).toBe(LAST + 2)
    this.#startApplication()
  }

  async startServer(): Promise<void> {
    const env = { ...NO_BACKUPS, LOCK_TIMEOUT: '20' }
    this.server = await startServer({ migrations: this.#migrations, database: this.database, env })
    // Each line that is waited for is one more.
    this.server.process.setMaxListeners(0)
  }

  /** What is not as it must be, whatever was killed; and the current id. */
  look(): { wrong: { corrupt?: string; halfApplied?: string; lost?: string }; current: number } {
    const wrong: { corrupt?: string; halfApplied?: string; lost?: string } = {}
    // The count is taken first: what comes after it is more, and never less.
    const acknowledged = this.#acknowledged
    const { integrity, applied, digest } = glanceAt(this.database)
    if (integrity !== 'ok') wrong.corrupt = String(integrity)
    const logged = appliedByLog(this.database)
    if (digest !== this.#states[applied.length] || String(logged) !== String(applied)) {
      wrong.halfApplied = `with ${applied} applied, by the log ${logged}`
    }
    const [row] = query(this.database, 'SELECT count(*) AS n, max(id) AS last FROM visits') as Counted[]
    if ((row?.n ?? 0) < acknowledged || row?.n !== (row?.last ?? 0)) wrong.lost = `${row?.n} of ${acknowledged} visits`
    return { wrong, current: applied.length - 1 }
  }

  get visits(): number {
    return this.#acknowledged
  }

  async end(): Promise<void> {
    expect(this.#application?.exitCode, 'the application goes on').toBe(null)
    this.#application?.kill('SIGKILL')
    await this.server.stop()
  }

  #startApplication(): void {
    const entry = new URL('./application.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [entry, this.database], { stdio: ['pipe', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    createInterface(child.stdout).on('line', (line) => {
      this.#acknowledged = Number(line)
    })
    this.#application = child
  }
}

interface Counted {
  readonly n: number
  readonly last: number | null
}

// An application that waits until a run of a kind is under way, then writes a row in a transaction of some milliseconds.
import Sqlite from 'better-sqlite3'
import { hold, pause } from './hold.ts'

const [, , file, kind, ms] = process.argv
const db = new Sqlite(file, { timeout: 10_000 })
const begun = db.prepare(`SELECT 1 FROM migration_runs WHERE kind = ? AND status = 'running'`)
console.log('ready')
// Not by a timer: the moment is short.
while (begun.get(kind) === undefined);
hold(db)
db.exec(`INSERT INTO cats (name) VALUES ('acknowledged')`)
pause(Number(ms))
db.exec('COMMIT')
db.close()

// An application beside the service: it writes a row, says its number when it is committed, and goes on. It ends with its parent.
import { setTimeout as delay } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'

const ROWS_A_CONNECTION = 10
const PAUSE_MS = 10

process.stdin.on('end', () => process.exit()).resume()
for (;;) {
  // Without anybody's connection the WAL is recovered by the next who comes, and not only continued.
  const db = new Sqlite(process.argv[2], { timeout: 20_000 })
  const insert = db.prepare('INSERT INTO visits (text) VALUES (?)')
  for (let row = 0; row < ROWS_A_CONNECTION; row += 1) {
    console.log(insert.run(`visit at ${Date.now()}`).lastInsertRowid)
    await delay(PAUSE_MS)
  }
  db.close()
}

// The limit: nothing but what has to be done. Prints how long that took without the start of this process, in milliseconds.
import { open, scripts } from './database.mjs'

const [, , direction, folder, file] = process.argv
const began = performance.now()
const db = open(file)
db.exec('CREATE TABLE IF NOT EXISTS migrations (id INTEGER PRIMARY KEY, name TEXT NOT NULL)')
const row =
  direction === 'up'
    ? db.prepare('INSERT INTO migrations (id, name) VALUES (:id, :name)')
    : db.prepare('DELETE FROM migrations WHERE id = :id AND :name IS NOT NULL')
const steps = scripts(folder, direction)
for (const { id, name, sql } of direction === 'up' ? steps : steps.reverse()) {
  db.exec('BEGIN IMMEDIATE')
  db.exec(sql)
  row.run({ id, name })
  db.exec('COMMIT')
}
db.close()
console.log(performance.now() - began)

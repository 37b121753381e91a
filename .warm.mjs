// A step of the Dockerfile: migrates something, and back, by what was built. An image that cannot is not made, and of one that
// can, the first start finds in NODE_COMPILE_CACHE what Node has compiled for that: https://nodejs.org/api/module.html#module-compile-cache
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

/** By then the first runner has loaded all that it may need, in milliseconds. */
const READY_MS = 1_000

const folder = mkdtempSync(join(tmpdir(), 'schemad-'))
writeFileSync(join(folder, '0000_cats.up.sql'), 'CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n')
writeFileSync(join(folder, '0000_cats.down.sql'), 'DROP TABLE cats;\n')
const server = spawn(process.execPath, ['dist/main.js'], {
  env: { ...process.env, HOST: '127.0.0.1', PORT: '0', DATABASE_URL: join(folder, 'app.db'), MIGRATIONS_DIR: folder },
  stdio: ['ignore', 'pipe', 'inherit'],
})
const [line] = await once(createInterface(server.stdout), 'line')
const url = /http:\S+/.exec(JSON.parse(line).msg)?.[0]
await delay(READY_MS)
for (const [method, path] of [
  ['GET', '/readyz'],
  ['GET', '/migrations'],
  ['POST', '/migrate'],
  ['GET', '/migrations'],
  ['POST', '/rollback'],
  ['GET', '/metrics'],
]) {
  const answer = await fetch(`${url}${path}`, { method })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
}
server.kill('SIGTERM')
const [code] = await once(server, 'exit')
if (code !== 0) throw new Error(`it has ended with ${code}`)
rmSync(folder, { recursive: true })
const compiled = readdirSync(process.env.NODE_COMPILE_CACHE ?? '', { recursive: true })
if (compiled.length === 0) throw new Error('nothing was kept of what was compiled')

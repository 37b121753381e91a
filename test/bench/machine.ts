import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { median } from './measure.ts'
import { peerVersions } from './peers.ts'
import { newPlace } from './places.ts'
import { run } from './processes.ts'

/** Where the figures come from, as lines of Markdown. */
export async function describeMachine(): Promise<string> {
  const [first] = cpus()
  const peers = Object.entries(peerVersions()).map(([name, version]) => `${name} ${version}`)
  return [
    `- ${first?.model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GB, Linux ${release()}`,
    `- ${syncMs().toFixed(2)} ms for a write and its sync on the disk`,
    `- schemad ${ourVersion()}, Node ${process.versions.node}, SQLite ${sqliteVersion()}, ${await curlVersion()}`,
    `- ${peers.join(', ')}`,
  ].join('\n')
}

function ourVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function sqliteVersion(): unknown {
  const db = new Sqlite(':memory:')
  const version = db.prepare('SELECT sqlite_version()').pluck().get()
  db.close()
  return version
}

async function curlVersion(): Promise<string> {
  return (await run('curl', ['--version'])).stdout.split(' ').slice(0, 2).join(' ')
}

/** Most of the time of a small migration is this, on many a disk. */
function syncMs(): number {
  using place = newPlace()
  const file = openSync(join(place.folder, 'synced'), 'w')
  const page = Buffer.alloc(4096)
  const samples = Array.from({ length: 100 }, () => {
    const began = performance.now()
    writeSync(file, page)
    fdatasyncSync(file)
    return performance.now() - began
  })
  closeSync(file)
  return median(samples)
}

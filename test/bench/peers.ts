import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './processes.ts'

const SOURCE = new URL('peers/', import.meta.url).pathname
/** Outside the project's own dependencies, and gone with them. */
const INSTALLED = new URL('../../node_modules/.cache/bench/', import.meta.url).pathname
const OUR_DEPENDENCIES = new URL('../../package.json', import.meta.url).pathname
const LOCK = 'package-lock.json'
/** Is not there before an installation has ended well. */
const DONE = join('node_modules', '.package-lock.json')

/** Installs the peers where that has not been done yet with this lock, and copies their scripts beside them. */
export async function installPeers(): Promise<void> {
  refuseOtherVersions()
  const installed = existsSync(join(INSTALLED, DONE)) && textOf(INSTALLED, LOCK) === textOf(SOURCE, LOCK)
  cpSync(SOURCE, INSTALLED, { recursive: true })
  if (installed) return
  console.error('installing the peers …')
  // No scripts: all of them have their binaries in their packages. The npm package `sqlite` is no peer, since its driver has not.
  const words = ['ci', '--ignore-scripts', '--no-audit', '--no-fund']
  await run('npm', words, { env: process.env, cwd: INSTALLED })
}

/** Throws where a peer that we use ourselves is there in another version. */
function refuseOtherVersions(): void {
  const [ours, theirs] = [dependenciesOf(textOf(OUR_DEPENDENCIES)), dependenciesOf(textOf(SOURCE, 'package.json'))]
  for (const name of ['better-sqlite3', 'fastify']) {
    if (ours[name] === theirs[name]) continue
    throw new Error(`${name} is ${ours[name]} here and ${theirs[name]} in test/bench/peers; make it the same`)
  }
}

/** The version of each peer. */
export function peerVersions(): Record<string, string> {
  return dependenciesOf(textOf(SOURCE, 'package.json'))
}

/** The words of a command that runs a script of ours, beside the peers. */
export function script(name: string, ...words: readonly string[]): [string, string[]] {
  return [process.execPath, [join(INSTALLED, `${name}.mjs`), ...words]]
}

/** The program itself: the one that npm puts on the PATH starts a Node only to start it. */
export function dbmateProgram(): string {
  const platform = `@dbmate/${process.platform}-${process.arch}`
  const program = join(INSTALLED, 'node_modules', platform, 'bin', 'dbmate')
  if (existsSync(program)) return program
  throw new Error(`there is no ${program}; add ${platform} to test/bench/peers/package.json`)
}

/** The load generator's command. */
export function autocannon(...words: readonly string[]): [string, string[]] {
  return [process.execPath, [join(INSTALLED, 'node_modules', 'autocannon', 'autocannon.js'), ...words]]
}

function textOf(...path: readonly string[]): string {
  return readFileSync(join(...path), 'utf8')
}

type Versions = Readonly<Record<string, string>>

function dependenciesOf(text: string): Versions {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(text) as Record<string, Versions>
  return { ...dependencies, ...devDependencies, ...optionalDependencies }
}

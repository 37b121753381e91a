import { setTimeout as wait } from 'node:timers/promises'
import type { Run } from '../../src/core/migration.ts'
import { newFolder } from './places.ts'
import { childrenOf, processorMs } from './proc.ts'
import { type Ran, run, type Server, startServer } from './processes.ts'

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname

/** What Node has compiled is kept, as in the image; who starts first fills it. */
const COMPILED = newFolder()

/** The compiled service in a process of its own. */
export interface Service extends Server {
  /** The process, its runners, and what they have started. */
  processes(): number[]
  /** Resolves when the spare runner is there and loaded: nobody has computed for a while. */
  idle(): Promise<void>
  /** One request by one curl. */
  get(path: string): Promise<Ran>
  post(path: string): Promise<Ran>
}

export interface ServiceOptions {
  readonly migrations: string
  readonly database: string
  /** `0` where it is not said: of what they cost there is a row of their own. */
  readonly backups?: number
  /** The program that it runs in; this process's own where it is not said. */
  readonly node?: string
}

export async function startService({
  migrations,
  database,
  backups = 0,
  node = process.execPath,
}: ServiceOptions): Promise<Service> {
  const server = await startServer(node, [MAIN], {
    DATABASE_URL: `sqlite:${database}`,
    MIGRATIONS_DIR: migrations,
    BACKUP_KEEP: String(backups),
    NODE_COMPILE_CACHE: COMPILED,
    PORT: '0',
  })
  const { url, pid } = server
  const processes = () => [pid, ...childrenOf(pid).flatMap((runner) => [runner, ...childrenOf(runner)])]
  return {
    ...server,
    processes,
    idle: () => untilIdle(processes),
    get: (path) => curl(`${url}${path}`),
    post: (path) => curl('-X', 'POST', `${url}${path}`),
  }
}

/** The run that an answer is. */
export function runIn({ stdout }: Ran): Run {
  return JSON.parse(stdout) as Run
}

/** One request. A refusal fails, and its body says why. */
export function curl(...words: readonly string[]): Promise<Ran> {
  return run('curl', ['-sS', '--fail-with-body', ...words])
}

/** How often in a row nobody must have computed, and how long between two looks, in milliseconds. */
const [STILL, LOOK_MS] = [3, 100]
const MOST_LOOKS = 300
/** The server, a runner that waits, and the shell that ends that with it. */
const AT_REST = 3

async function untilIdle(processes: () => number[]): Promise<void> {
  let before = ''
  for (let still = 0, looks = 0; still < STILL; looks += 1) {
    if (looks > MOST_LOOKS) throw new Error('the service does not come to rest')
    await wait(LOOK_MS)
    const all = processes()
    const now = all.map((pid) => `${pid}:${processorMs(pid)}`).join()
    still = all.length === AT_REST && now === before ? still + 1 : 0
    before = now
  }
}

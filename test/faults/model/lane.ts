import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { folderWith, temporaryFolder, write } from '../../support/folder.ts'
import { computing, isAlive, type Server, startServer, until } from '../../support/server.ts'
import { runningByRecord } from '../support/state.ts'
import type { Model } from './model.ts'
import { filesOf } from './scripts.ts'

/** Two servers on one database and one directory, of which one at a time is spoken to. */
export interface Lane {
  readonly migrations: string
  readonly database: string
  readonly server: Server
  /** The other server's turn. */
  swap(): void
  /** Puts another server into the place of the one that has ended. */
  replace(): Promise<void>
  /** Leaves nothing in the directory and no database. */
  empty(): Promise<void>
  /** After a failure, with whatever still runs. */
  renew(): Promise<void>
}

export async function openLane(endWith: (end: () => void) => void): Promise<Lane> {
  const migrations = folderWith({}, endWith)
  const folder = temporaryFolder(endWith)
  const database = join(folder, 'app.db')
  const start = () => startServer({ migrations, database, endWith })
  let [server, other] = await Promise.all([start(), start()])

  async function empty(): Promise<void> {
    clear(migrations)
    clear(folder)
    for (const one of [server, other]) {
      // A POST looks at once; a GET may show what was there a moment ago.
      await one.post('/migrate?dryRun=true')
      await until(async () => (await one.get('/migrations')).body.current === null)
    }
  }

  return {
    migrations,
    database,
    get server() {
      return server
    },
    swap: () => {
      ;[server, other] = [other, server]
    },
    replace: async () => {
      server = await start()
      // The record of what has died is completed: nobody writes any more when the next model begins.
      await until(() => !existsSync(database) || runningByRecord(database) === 0)
    },
    empty,
    renew: async () => {
      for (const {
        process: { exitCode, signalCode },
        log,
      } of [server, other])
        if (exitCode !== null || signalCode !== null)
          console.error(`a server has ended: ${exitCode ?? signalCode}`, log.slice(-3))
      const runners = [server, other].flatMap((one) => one.children())
      await Promise.all([server, other].map((one) => one.stop('SIGKILL')))
      await until(() => !runners.some(isAlive))
      ;[server, other] = await Promise.all([start(), start()])
    },
  }
}

function clear(folder: string): void {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true })
}

/** Makes the directory what the model says. */
export function lay({ migrations }: Lane, { directory }: Model): void {
  const wanted = Object.assign({}, ...directory.map((one, id) => filesOf(id, one))) as Record<string, string>
  for (const name of readdirSync(migrations)) if (wanted[name] === undefined) rmSync(join(migrations, name))
  for (const [name, text] of Object.entries(wanted)) {
    const path = join(migrations, name)
    if (!existsSync(path) || readFileSync(path, 'utf8') !== text) write(migrations, { [name]: text })
  }
}

/** The runner in the middle of step `id`, which has no end: it has computed for a while since the step was told. */
export async function runnerAt({ server, database }: Lane, id: number): Promise<number> {
  await until(() => server.log.some(({ msg, status }) => String(msg).startsWith(`${id} `) && status === undefined))
  return await computing({ ...server, database })
}

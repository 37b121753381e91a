import { expect, it } from 'vitest'
import { folderWith } from '../support/folder.ts'
import { childrenOf, startServer, until } from '../support/server.ts'
import { NO_BACKUPS } from './support/files.ts'
import { forking, forkingHere, STRACE, trace, withStrace, wrapper } from './support/strace.ts'
import * as sweep from './support/sweep.ts'

/** What can become of a call, in strace's words. `+` is: of all that follow, too. */
const KINDS = [
  { kind: 'SIGKILL', inject: 'signal=KILL', onwards: '' },
  { kind: 'EIO', inject: 'error=EIO', onwards: '' },
  { kind: 'EIO for ever', inject: 'error=EIO', onwards: '+' },
  { kind: 'ENOSPC', inject: 'error=ENOSPC', onwards: '' },
  { kind: 'ENOSPC for ever', inject: 'error=ENOSPC', onwards: '+' },
] as const

/** What may be told when `call` fails so: SQLite calls a disk full only when a write says it. */
function codesOf(inject: (typeof KINDS)[number]['inject'], call: sweep.Call, keep: number, lines: readonly string[]) {
  if (inject === 'signal=KILL') return [null, 'runner-crashed']
  // Of the index of the WAL it says the same whatever happens, and mostly the disk is full.
  const index = lines.some((line) => /pwrite64\(\d+<[^>]*-shm>.*INJECTED/.test(line))
  if (inject === 'error=EIO') return [null, 'internal', ...(index ? ['insufficient-storage'] : [])]
  if (call === 'pwrite64') return [null, 'insufficient-storage']
  // A backup is synced by us, and we believe the kernel.
  return [null, 'internal', ...(call === 'fsync' && keep > 0 ? ['insufficient-storage'] : [])]
}

/** How many trials are made at the same time. */
const AT_ONCE = 2
const ALL = sweep.UPS.length

it.skipIf(STRACE === null).each([
  ['delete', 0],
  ['wal', 0],
  ['wal', 1],
] as const)(
  withStrace(
    'fault 21, 27, 28: every write, sync, truncate or unlink may fail, or kill, from journal mode %s on, BACKUP_KEEP=%i',
  ),
  async (mode, keep) => {
    const base = sweep.prepare(mode)
    const figures = new Figures()
    await forkingHere(wrapper(), async () => {
      const { states, calls } = await sweep.undisturbed(base, keep)
      const trials = KINDS.filter(({ onwards }) => (mode === 'wal' && keep === 0) || onwards === '').flatMap((kind) =>
        sweep.CALLS.filter((call) => kind.kind !== 'SIGKILL' || call !== 'pwrite64' || keep > 0).flatMap((call) =>
          Array.from({ length: calls[call] }, (_, n) => ({ ...kind, call, n: n + 1 })),
        ),
      )
      await sweep.pooled(trials, AT_ONCE, ({ kind, call, n, inject, onwards }) =>
        sweep.inFolder(async (folder) => {
          const traced = trace(['-y', `-e trace=${call}`, `-e inject=${call}:${inject}:when=${n}${onwards}`], folder)
          const database = sweep.copyOf(base, folder)
          const { engine, post } = sweep.poster(database, traced.environment, { keep })
          const told = await post()
          await figures.count(`${kind} at ${call} ${n}`, told.code, traced.lines(), async () => {
            expect(codesOf(inject, call, keep, traced.lines())).toContain(told.code)
            const seen = (await engine.read('patient')).applied.length
            expect(sweep.expectWhole(database, states)).toBe(seen)
            await engine.close()
            // When nobody has it open any more, the next who opens it must find the same.
            const next = sweep.poster(database, traced.environment, { keep })
            const applied = (await next.engine.read('patient')).applied.length
            expect(applied, 'read again after the last connection was closed').toBe(seen)
            expect(sweep.expectWhole(database, states)).toBe(applied)
            sweep.expectTrue(told, applied, ALL)
            sweep.expectGoneOn(await next.post(), database, states, applied)
            // The run that changed nothing has none.
            expect(sweep.expectBackups(database, states)).toBe(keep)
            await next.engine.close()
            return applied
          })
        }),
      )
      console.log(figures.line(`journal mode ${mode} before${keep > 0 ? ', with a backup' : ''}`, calls))
    })
    await until(() => childrenOf(process.pid).length === 0)
    figures.expectZeroes()
  },
)

it.skipIf(STRACE === null).each(['delete', 'wal'] as const)(
  withStrace('fault 21: a server whose runner is killed at any write answers truly, from journal mode %s on'),
  async (mode) => {
    const base = sweep.prepare(mode)
    const figures = new Figures()
    const program = wrapper()
    const { states } = await forkingHere(program, () => sweep.undisturbed(base))
    const migrations = folderWith(sweep.SWEEP_FILES)
    const start = async (folder: string, ...inject: string[]) => {
      const traced = trace(['-e trace=pwrite64', ...inject], folder)
      const database = sweep.copyOf(base, folder)
      const env = { ...NO_BACKUPS, ...traced.environment, ...forking(program, folder) }
      return { traced, database, server: await startServer({ migrations, database, env }) }
    }
    // Fewer than without a server: it has the database open, so the runner does not take the WAL away.
    let writes = 0
    await sweep.inFolder(async (folder) => {
      const { traced, server } = await start(folder)
      expect((await server.post('/migrate')).status).toBe(200)
      await server.stop()
      writes = traced.lines().filter((line) => line.includes('pwrite64(')).length
    })
    const trials = Array.from({ length: writes }, (_, n) => n + 1)
    await sweep.pooled(trials, AT_ONCE, (n) =>
      sweep.inFolder(async (folder) => {
        const { traced, database, server } = await start(folder, `-e inject=pwrite64:signal=KILL:when=${n}`)
        const answer = await server.post('/migrate')
        const told = sweep.toldBy(answer)
        await figures.count(`SIGKILL at pwrite64 ${n}`, told.code, traced.lines(), async () => {
          expect(answer.status).toBe(told.code === null ? 200 : 500)
          expect([null, 'runner-crashed']).toContain(told.code)
          const seen = (await server.get('/migrations')).body.current as number | null
          const applied = sweep.expectWhole(database, states)
          expect(applied - 1).toBe(seen ?? -1)
          sweep.expectTrue(told, applied, ALL)
          sweep.expectGoneOn(sweep.toldBy(await server.post('/migrate')), database, states, applied)
          return applied
        })
        await server.stop()
        expect(childrenOf(server.process.pid ?? 0)).toEqual([])
      }),
    )
    console.log(figures.line(`over HTTP, journal mode ${mode} before`, { pwrite64: writes }))
    figures.expectZeroes()
  },
)

/** What came of the trials. */
class Figures {
  readonly #told = new Map<string, number>()
  readonly #broken: string[] = []
  #trials = 0
  #hit = 0
  #middle = 0

  /** Counts a trial, and what of it was not as promised: the others are made all the same. */
  async count(name: string, code: string | null, lines: readonly string[], check: () => Promise<number>) {
    this.#trials += 1
    const what = code ?? 'succeeded'
    this.#told.set(what, (this.#told.get(what) ?? 0) + 1)
    if (lines.some((line) => /INJECTED|killed by SIGKILL/.test(line))) this.#hit += 1
    try {
      const applied = await check()
      if (applied > 0 && applied < ALL) this.#middle += 1
    } catch (error) {
      this.#broken.push(`${name}, told ${what}: ${(error as Error).message}`)
      console.warn(this.#broken.at(-1))
    }
  }

  line(state: string, calls: Readonly<Record<string, number>>): string {
    const counted = Object.entries(calls).map(([call, n]) => `${n} ${call}`)
    const told = [...this.#told].map(([what, n]) => `${n} ${what}`)
    return `${state}: ${counted.join(', ')} = ${this.#trials} runs, ${this.#hit} hit, ${this.#middle} ended between two migrations; told: ${told.join(', ')}; ${this.#broken.length} not as promised`
  }

  expectZeroes(): void {
    expect(this.#broken).toEqual([])
    expect(this.#hit).toBeGreaterThanOrEqual(this.#trials * 0.95)
    expect(this.#middle).toBeGreaterThan(0)
  }
}

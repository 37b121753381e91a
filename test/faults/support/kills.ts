import { expect } from 'vitest'
import type { Run } from '../../../src/core/migration.ts'
import { type Answer, isAlive, query, type Server, until } from '../../support/server.ts'
import { isBig, LAST, type World } from './world.ts'

/** What the kills came to. */
export class Tally {
  runners = 0
  servers = 0
  /** Of these, those that had been given a run and had not answered. */
  atWork = 0
  /** Of these, those whose run had begun and whose end nobody had heard. */
  inMiddle = 0
  /** Committed, and the server had not heard it when the runner, or it itself, died. */
  unheard = 0
  readonly corrupt: string[] = []
  readonly halfApplied: string[] = []
  readonly lost: string[] = []
  readonly untrue: string[] = []
}

/** Numbers from 0 to 1, the same for the same seed: https://en.wikipedia.org/wiki/Linear_congruential_generator */
export function random(seed: number): () => number {
  let state = BigInt(seed)
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) % 2n ** 64n
    return Number(state >> 11n) / 2 ** 53
  }
}

/** The share of the kills that are aimed at the run itself. */
const WITHIN = 0.9
/** What a runner still does when it has measured the time of its run: the end is recorded, the connection closed. */
const LAST_WORDS_MS = 2

/** One after the other, posts to the world's server that are sometimes disturbed, and what must hold after each. */
export class Client {
  readonly #world: World
  readonly #tally: Tally
  readonly #next: () => number
  /** How long a run takes here, without and with the big step; in milliseconds. */
  readonly #usual = [50, 200] as [number, number]
  #current = -1

  constructor(world: World, tally: Tally, next: () => number) {
    this.#world = world
    this.#tally = tally
    this.#next = next
  }

  /** A post that nobody disturbs: it must do what was asked for, whatever was before. */
  async undisturbed(): Promise<void> {
    const { path, target, big } = this.#choose()
    const answer = await this.#world.server.post(path)
    const ms = Number(answer.body.durationMs ?? this.#usual[big]) + LAST_WORDS_MS
    this.#usual[big] = 0.7 * this.#usual[big] + 0.3 * ms
    this.#note('untrue', answer.status === 200 && answer.body.to === idOrNull(target) ? '' : answer.text)
    this.#look(`after ${path}`)
    this.#note('untrue', this.#current === target ? '' : `${path} led to ${this.#current}`)
  }

  /** A post whose runner is killed at some moment. */
  async runnerKilled(): Promise<void> {
    const { path, target, big } = this.#choose()
    const { server } = this.#world
    // What is waited for is of this post.
    server.log.length = 0
    const before = this.#current
    // The one that waits is the one that works then.
    const runner = await onlyChild(server)
    let answered = false
    const posted = server.post(path).finally(() => {
      answered = true
    })
    await this.#moment(big, posted)
    const killed = kill(runner)
    this.#tally.runners += killed
    this.#tally.atWork += answered ? 0 : killed
    const answer = await posted
    this.#look(`after the runner of ${path} was killed`)
    const run = answer.status === 200 ? (answer.body as unknown as Run) : (answer.body.run ?? null)
    if (answer.status !== 200) {
      const known = `${answer.status} ${answer.body.code}`
      const expected = ['500 runner-crashed', ...(path.includes('steps') ? ['409 rollback-incomplete'] : [])]
      this.#note('untrue', expected.includes(known) ? '' : `${path}: ${answer.text}`)
    } else if (this.#current !== target) this.#tally.lost.push(`${path} was told to be done: ${answer.text}`)
    if (run === null) this.#note('untrue', this.#current === before ? '' : `${path} has done something untold`)
    else this.#compare(run, answer)
    await until(() => !isAlive(runner))
  }

  /** A post whose server is killed at some moment, and the server after it. */
  async serverKilled(): Promise<void> {
    const { path, target, big } = this.#choose()
    const { server } = this.#world
    // What is waited for is of this post.
    server.log.length = 0
    const before = this.#current
    const posted = server.post(path).catch((error: unknown) => {
      if (error instanceof TypeError) return null
      throw error
    })
    await this.#moment(big, posted)
    const family = server.children()
    await server.stop('SIGKILL')
    this.#tally.servers += 1
    const answer = await posted
    await until(() => !family.some(isAlive))
    await this.#world.startServer()
    let seen = await this.#world.server.get('/migrations')
    await until(async () => {
      if (seen.body.code === 'database-locked') seen = await this.#world.server.get('/migrations')
      return seen.body.code !== 'database-locked'
    })
    this.#look(`after the server was killed in ${path}`)
    this.#note('untrue', seen.body.current === idOrNull(this.#current) ? '' : `GET /migrations: ${seen.body.current}`)
    if (answer?.status === 200 && this.#current !== target) this.#tally.lost.push(`${path}: ${answer.text}`)
    const unended = query(this.#world.database, `SELECT 1 FROM migration_runs WHERE status = 'running'`).length
    this.#tally.atWork += answer === null ? 1 : 0
    this.#tally.inMiddle += answer === null && (unended > 0 || this.#current !== before) ? 1 : 0
    this.#tally.unheard += answer === null && this.#current === target ? 1 : 0
  }

  /** What the answer says of its run against what the log says of it. */
  #compare(run: Run, { text }: Answer): void {
    const sql = `SELECT migration_id AS id, outcome FROM migration_log WHERE run_id = '${run.id}' ORDER BY migration_log.id`
    const told = run.steps.flatMap(({ id, status }) => (status === 'not-run' ? [] : [{ id, outcome: status }]))
    const logged = query(this.#world.database, sql)
    this.#note('untrue', JSON.stringify(logged) === JSON.stringify(told) ? '' : `${JSON.stringify(logged)}: ${text}`)
    this.#note('untrue', run.to === idOrNull(this.#current) ? '' : `at ${this.#current}: ${text}`)
    const heard = this.#world.server.log.filter((line) => line.runId === run.id && line.status === 'done').length
    const unheard = told.filter(({ outcome }) => outcome === 'done').length > heard
    this.#tally.unheard += unheard ? 1 : 0
    this.#tally.inMiddle += unheard || run.status !== 'succeeded' ? 1 : 0
  }

  #choose(): { path: string; target: number; big: 0 | 1 } {
    const others = Array.from({ length: LAST + 2 }, (_, place) => place - 1).filter((id) => id !== this.#current)
    const one = () => others[Math.floor(this.#next() * others.length)] ?? -1
    // Small runs are over before most kills: the big one is in most of them.
    const [first, second] = [one(), one()]
    const target = isBig(this.#current, first) ? first : second
    const down = target < this.#current
    const by = down && this.#next() < 0.3 ? `steps=${this.#current - target}` : `target=${target}`
    const path = `/${down ? 'rollback' : 'migrate'}?${by}&wait=30`
    return { path, target, big: isBig(this.#current, target) ? 1 : 0 }
  }

  /** Somewhere in the run, which takes as long as it did lately; sometimes in the time before it, or between. */
  async #moment(big: 0 | 1, posted: Promise<unknown>): Promise<void> {
    const ms = this.#next() * this.#usual[big]
    if (this.#next() < WITHIN) {
      const begun = this.#world.server.logged(({ msg }) => /begins$/.test(String(msg)))
      await Promise.race([begun, posted])
    }
    await new Promise((resolve) => setTimeout(resolve, ms))
  }

  #look(when: string): void {
    const { wrong, current } = this.#world.look()
    for (const kind of ['corrupt', 'halfApplied', 'lost'] as const) this.#note(kind, wrong[kind] ?? '', when)
    this.#current = current
  }

  #note(kind: 'corrupt' | 'halfApplied' | 'lost' | 'untrue', what: string, when = ''): void {
    if (what !== '') this.#tally[kind].push(`${when} ${what}`.trim())
  }
}

/** The process beside the server, when there is one and no more. */
export async function onlyChild(server: Server): Promise<number> {
  let found: number[] = []
  await until(() => {
    found = server.children()
    return found.length === 1
  })
  return found[0] as number
}

/** 1 when there was somebody to kill. */
export function kill(pid: number): 0 | 1 {
  try {
    process.kill(pid, 'SIGKILL')
    return 1
  } catch (error) {
    // It has ended by itself.
    expect((error as NodeJS.ErrnoException).code).toBe('ESRCH')
    return 0
  }
}

function idOrNull(id: number): number | null {
  return id === -1 ? null : id
}

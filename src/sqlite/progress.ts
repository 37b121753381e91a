import type { StatementReport, StepReport } from '../core/migration.ts'
import { type Place, STATEMENT_LENGTH } from './watched.ts'

/** The most statements that the main thread tells in a second; the watchdog tells no more than that of those that stay. */
const TOLD_A_SECOND = 5

/** The most steps that are held back. */
const MOST_HELD = 256

/** Where in the memory that threads share the parts of a statement stand; `version` is odd while they are written. */
export const LAYOUT = {
  version: 0,
  told: 1,
  id: 2,
  n: 3,
  line: 4,
  length: 5,
  /** How often what was held back has been told, and how many steps there are now. */
  flushes: 6,
  held: 7,
  /** In bytes, as the next ones. */
  numbersEnd: 32,
  clockAt: 32,
  textAt: 40,
  heldAt: 40 + 2 * STATEMENT_LENGTH,
  bytes: 40 + 2 * STATEMENT_LENGTH + MOST_HELD * 4 * Float64Array.BYTES_PER_ELEMENT,
} as const

/** The statuses of steps that are held back: what stands in the memory is the place of one here. */
export const HELD_STATUSES = ['running', 'done', 'skipped', 'recorded'] as const satisfies StepReport['status'][]

/**
 * What is executed at this moment. The first statements of a second are told at once. Of those that come too fast, the
 * watchdog tells the one that stays: the main thread runs no JavaScript while SQLite is busy with it. The same goes for steps
 * that are held back.
 */
export class Progress {
  readonly memory = new SharedArrayBuffer(LAYOUT.bytes)
  readonly #numbers = new Int32Array(this.memory, 0, LAYOUT.numbersEnd / Int32Array.BYTES_PER_ELEMENT)
  readonly #clock = new Float64Array(this.memory, LAYOUT.clockAt, 1)
  readonly #bytes = Buffer.from(this.memory)
  readonly #held = new Float64Array(this.memory, LAYOUT.heldAt, MOST_HELD * 4)
  readonly #told: number[] = []

  /** A step begins. */
  begin(): void {
    this.#clock[0] = sharedNow()
  }

  /** A statement of step `id` is about to be executed. Gives it where it is to be told now. */
  note(id: number, place: Place): StatementReport | null {
    Atomics.add(this.#numbers, LAYOUT.version, 1)
    this.#write(id, place)
    const version = Atomics.add(this.#numbers, LAYOUT.version, 1) + 1
    const now = performance.now()
    if (this.#told.length >= TOLD_A_SECOND && now - (this.#told[0] ?? 0) < 1000) return null
    if (this.#told.push(now) > TOLD_A_SECOND) this.#told.shift()
    Atomics.store(this.#numbers, LAYOUT.told, version)
    return { id, ...place, elapsedMs: Math.round(sharedNow() - (this.#clock[0] ?? 0)) }
  }

  /** Keeps a step that is not told yet where the watchdog finds it. `false` where there is no room for another. */
  hold(id: number, status: StepReport['status'], statements: number | null, durationMs: number | null): boolean {
    const place = Atomics.load(this.#numbers, LAYOUT.held)
    const known = (HELD_STATUSES as readonly string[]).indexOf(status)
    if (place === MOST_HELD || known === -1) return false
    // What is no number stands for what is not known.
    this.#held.set([id, known, statements ?? Number.NaN, durationMs ?? Number.NaN], 4 * place)
    Atomics.store(this.#numbers, LAYOUT.held, place + 1)
    return true
  }

  /** What was held back has been told. */
  release(): void {
    Atomics.add(this.#numbers, LAYOUT.flushes, 1)
    Atomics.store(this.#numbers, LAYOUT.held, 0)
  }

  #write(id: number, { n, line, text }: Place): void {
    this.#numbers[LAYOUT.id] = id
    this.#numbers[LAYOUT.n] = n
    this.#numbers[LAYOUT.line] = line ?? 0
    this.#numbers[LAYOUT.length] = text.length
    this.#bytes.write(text, LAYOUT.textAt, 'utf16le')
  }
}

/** Milliseconds of a clock that is the same in all threads, which `performance.now` is not. */
function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

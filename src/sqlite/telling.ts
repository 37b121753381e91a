import type { StepReport } from '../core/migration.ts'
import type { Work } from './attempt.ts'
import type { FromRunner, ToldStep } from './messages.ts'
import type { Progress } from './progress.ts'
import type { Watched } from './watched.ts'

/** For how long steps that come fast are gathered, in milliseconds: a message costs more than a small step. */
const GATHER_MS = 20

/**
 * By what a run tells its server how it goes along. A step is told at once, unless others were told just before; those that are
 * held back while a statement takes its time are told by the watchdog.
 */
export class Telling {
  readonly #say: (message: FromRunner) => void
  readonly #progress: Progress
  readonly #untold: () => void
  #held: ToldStep[] = []
  #toldAt = Number.NEGATIVE_INFINITY

  /** @param untold hears, at least once, that the watchdog is to tell what `progress` holds. */
  constructor(say: (message: FromRunner) => void, progress: Progress, untold: () => void) {
    this.#say = say
    this.#progress = progress
    this.#untold = untold
  }

  /** Sends `message`, and before it what is held back. */
  say(message: FromRunner): void {
    this.flush()
    this.#say(message)
  }

  /** Tells how a step stands, now or a little later. */
  step({ id, status, statements, durationMs }: StepReport): void {
    this.#held.push([id, status, statements, durationMs])
    if (status === 'running') this.#progress.begin()
    const room = this.#progress.hold(id, status, statements, durationMs)
    if (!room || performance.now() - this.#toldAt >= GATHER_MS) this.flush()
    else if (status === 'running') this.#untold()
  }

  /** Tells, unless others were told just before, that a statement of `work` is about to be executed. */
  statement(work: Work, watched: Watched): void {
    const statement = this.#progress.note(work.id, watched.place())
    if (statement !== null) this.say({ type: 'statement', statement })
    else this.#untold()
  }

  /** Tells what is held back. */
  flush(): void {
    if (this.#held.length === 0) return
    this.#say({ type: 'steps', steps: this.#held })
    this.#held = []
    this.#progress.release()
    this.#toldAt = performance.now()
  }
}

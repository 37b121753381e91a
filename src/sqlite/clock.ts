import { rounded } from './attempt.ts'

/** When something began, and, when it is stopped, how long it took. */
export interface Clock {
  /** Milliseconds since 1970. */
  readonly started: number
  /** ISO 8601, UTC. */
  readonly startedAt: string
  stop(): { readonly startedAt: string; readonly finishedAt: string; readonly durationMs: number }
}

export function startClock(): Clock {
  const started = Date.now()
  const clock = performance.now()
  const startedAt = new Date(started).toISOString()
  const stop = () => ({
    startedAt,
    finishedAt: new Date().toISOString(),
    durationMs: rounded(performance.now() - clock),
  })
  return { started, startedAt, stop }
}

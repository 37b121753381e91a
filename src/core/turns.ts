/** Who waits gets a turn in the order of arrival; one has it at a time. */
export interface Turns {
  /** Whether a turn could be had at once. */
  free(): boolean
  /**
   * Resolves when it is the caller's turn, with the function that ends it; with `null` when `waitMs` was over before. Calls
   * `queued` when it has to wait.
   *
   * @throws the reason of `signal` when that is aborted first.
   */
  take(waitMs: number, signal: AbortSignal, queued: () => void): Promise<(() => void) | null>
  /** Refuses all who wait, and all who come. */
  close(reason: Error): void
}

interface Waiting {
  readonly begin: (end: (() => void) | null) => void
  readonly refuse: (reason: unknown) => void
}

export function openTurns(): Turns {
  const queue: Waiting[] = []
  let taken = false
  let closed: Error | null = null

  function pass(): void {
    const next = queue.shift()
    taken = next !== undefined
    next?.begin(turn())
  }

  function turn(): () => void {
    let ended = false
    return () => {
      if (!ended) pass()
      ended = true
    }
  }

  return {
    free: () => !taken && closed === null,
    take(waitMs, signal, queued) {
      if (closed !== null) return Promise.reject(closed)
      if (signal.aborted) return Promise.reject(signal.reason)
      if (!taken) {
        taken = true
        return Promise.resolve(turn())
      }
      if (waitMs <= 0) return Promise.resolve(null)
      return new Promise((resolve, reject) => {
        const leave = () => {
          const place = queue.indexOf(waiting)
          if (place !== -1) queue.splice(place, 1)
          clearTimeout(timer)
          signal.removeEventListener('abort', gone)
        }
        const waiting: Waiting = {
          begin: (end) => {
            leave()
            resolve(end)
          },
          refuse: (reason) => {
            leave()
            reject(reason)
          },
        }
        const gone = () => waiting.refuse(signal.reason)
        const timer = setTimeout(() => waiting.begin(null), waitMs)
        signal.addEventListener('abort', gone)
        queue.push(waiting)
        queued()
      })
    },
    close(reason) {
      closed = reason
      for (const waiting of [...queue]) waiting.refuse(reason)
    },
  }
}

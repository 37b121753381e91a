import type { Run, StatementReport, StepReport } from './migration.ts'

/** What is heard of a run by who watches it: the run as it stands first, its end last. */
export type Progress =
  | { readonly type: 'run' | 'end'; readonly run: Run }
  | { readonly type: 'step'; readonly step: StepReport }
  | { readonly type: 'statement'; readonly statement: StatementReport }

export type Watcher = (progress: Progress) => void

/** How often it is asked how a run of another server stands, in milliseconds. */
const ASK_MS = 500

/**
 * Follows `run`, which another server makes, by what the record says of it: its steps one by one, and its end. Returns the
 * function that ends it. `fail` is called when the record cannot be asked any more.
 */
export function follow(
  run: Run,
  find: (id: string) => Promise<Run>,
  hear: Watcher,
  fail: (error: unknown) => void,
): () => void {
  let known = run
  let timer: NodeJS.Timeout | null = null
  const ask = async () => {
    const now = await find(run.id)
    if (timer === null) return
    for (const step of changed(known.steps, now.steps)) hear({ type: 'step', step })
    known = now
    if (now.status !== 'running') return hear({ type: 'end', run: now })
    timer = setTimeout(again, ASK_MS)
  }
  const again = () => void ask().catch((error: unknown) => timer && fail(error))
  timer = setTimeout(again, ASK_MS)
  return () => {
    if (timer !== null) clearTimeout(timer)
    timer = null
  }
}

function changed(before: readonly StepReport[], now: readonly StepReport[]): readonly StepReport[] {
  return now.filter(({ status }, place) => status !== 'not-run' && status !== before[place]?.status)
}

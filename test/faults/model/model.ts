/** What a script does: all of it, an error in its second statement, or no end. */
export type Way = 'good' | 'bad' | 'endless'

/** The files of a migration, whose id is its place in the directory. */
export interface Migration {
  readonly name: string
  /** Tells texts apart that do the same. */
  readonly edition: number
  readonly up: Way
  readonly down: Way | null
}

export interface Model {
  readonly directory: Migration[]
  /** Taken away from the end of the directory, the last one last. */
  readonly removed: Migration[]
  /** What ran, what the record says of it now, and the down that the record keeps. */
  readonly applied: { readonly ran: Migration; readonly recorded: Migration; readonly kept: Way | null }[]
  readonly runs: { readonly kind: Request['kind']; status: 'running' | 'succeeded' | 'failed' | 'interrupted' }[]
}

export type Request =
  | { readonly kind: 'migrate'; readonly target: number | null; readonly atomic: boolean }
  | { readonly kind: 'rollback'; readonly target: number | null; readonly steps: number; readonly atomic: boolean }
  | { readonly kind: 'repair'; readonly target: null; readonly atomic: true }

export interface Step {
  readonly id: number
  readonly way: Way | null
}

export interface Answer {
  readonly status: number
  readonly code: string | null
  readonly steps: readonly { readonly id: number; readonly status: string }[]
}

/** Two migrations and no database. */
export function firstModel(): Model {
  const first: Migration = { name: 'cats', edition: 0, up: 'good', down: 'good' }
  return { directory: [first, first], removed: [], applied: [], runs: [] }
}

/** The steps that `request` leads to, or why it is refused. */
export function plan(model: Model, request: Request): Answer | readonly Step[] {
  const { directory, applied } = model
  const { kind, target } = request
  const [present, count] = [directory.length, applied.length]
  if (present === 0) return refusal(422, 'invalid-migrations')
  if (target !== null && target >= present) return refusal(400, 'invalid-request')
  const changed = changedIn(model)
  if (kind === 'repair') return changed.map((id) => ({ id, way: 'good' }))
  if (kind === 'migrate') {
    if (changed.length > 0) return refusal(409, 'checksum-mismatch')
    return between(count, (target ?? present - 1) + 1).map((id) => ({ id, way: directory[id]?.up ?? null }))
  }
  if (target === null && count > 0 && request.steps > count) return refusal(400, 'invalid-request')
  const undone = between(Math.max(0, (target ?? count - request.steps - 1) + 1), count).reverse()
  const steps = undone.map((id) => ({ id, way: directory[id]?.down ?? applied[id]?.kept ?? null }))
  return steps.some(({ way }) => way === null) ? refusal(409, 'no-rollback') : steps
}

/** Does `steps` and gives the answer; a step without an end ends with its runner, or with the whole server. */
export function execute(model: Model, request: Request, steps: readonly Step[], killed: 'runner' | 'server'): Answer {
  if (steps.length === 0) return { status: 200, code: null, steps: [] }
  const failing = steps.findIndex(({ way }) => way !== 'good')
  const before = failing === -1 ? steps.length : failing
  const done = failing !== -1 && request.atomic ? 0 : before
  for (const { id } of steps.slice(0, done)) act(model, request.kind, id)
  for (const run of model.runs) if (run.status === 'running') run.status = 'interrupted'
  const ended = steps[failing]?.way === 'endless' ? killed : null
  model.runs.push({
    kind: request.kind,
    status: failing === -1 ? 'succeeded' : ended === 'server' ? 'running' : 'failed',
  })
  const incomplete = request.kind === 'rollback' && request.target === null && done > 0
  const [status, code] = failing === -1 ? [200, null] : ended === null ? FAILED : incomplete ? INCOMPLETE : CRASHED
  const well = request.kind === 'repair' ? 'recorded' : 'done'
  const told = steps.map(({ id }, at) => ({ id, status: at < done ? well : at === failing ? 'failed' : 'not-run' }))
  return { status, code, steps: told }
}

const FAILED = [422, 'migration-failed'] as const
const INCOMPLETE = [409, 'rollback-incomplete'] as const
const CRASHED = [500, 'runner-crashed'] as const

function act({ directory, applied }: Model, kind: Request['kind'], id: number): void {
  const [files, was] = [directory[id], applied[id]]
  if (kind === 'rollback') applied.pop()
  else if (files && kind === 'migrate') applied.push({ ran: files, recorded: files, kept: files.down })
  else if (files && was) applied[id] = { ...was, recorded: files, kept: files.down ?? was.kept }
}

/** How the directory and what is applied stand to each other. */
export function statusOf({ directory, applied }: Model) {
  const migrations = between(0, Math.max(directory.length, applied.length)).map((id) => {
    const [files, was] = [directory[id], applied[id]]
    const state = !was ? 'pending' : !files ? 'missing' : isChanged(files, was.recorded) ? 'changed' : 'applied'
    const reversible = Boolean(files?.down ?? was?.kept)
    return { id, text: files ?? was?.recorded, state, kind: files ? 'sql' : null, reversible }
  })
  const has = (state: string) => migrations.some((one) => one.state === state)
  const state = ['changed', 'missing', 'pending', 'applied'].find(has) ?? 'applied'
  return {
    current: applied.length === 0 ? null : applied.length - 1,
    latest: directory.length === 0 ? null : directory.length - 1,
    pending: migrations.filter((one) => one.state === 'pending').length,
    state: directory.length === 0 ? 'invalid' : (TOP[state] ?? state),
    migrations,
  }
}

const TOP: Readonly<Record<string, string>> = { missing: 'ahead', applied: 'up-to-date' }

/** The applied migrations of which the directory has another text than the record speaks of. */
export function changedIn({ directory, applied }: Model): number[] {
  return between(0, applied.length).filter((id) => isChanged(directory[id], applied[id]?.recorded))
}

function isChanged(files: Migration | undefined, recorded: Migration | undefined): boolean {
  if (!files || !recorded) return false
  return files.up !== recorded.up || files.edition !== recorded.edition
}

function refusal(status: number, code: string): Answer {
  return { status, code, steps: [] }
}

/** The whole numbers from `first` to the one before `end`. */
export function between(first: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - first) }, (_, at) => first + at)
}

import type { Problem } from '../core/migration.ts'

/** What the name of a file says of it. */
export interface Entry {
  readonly file: string
  readonly id: number
  readonly name: string
  readonly role: 'up' | 'down' | 'code'
}

const OURS = /\.(sql|ts|mts|js|mjs)$/i
const SQL = /^(\d+)_([A-Za-z0-9_-]+)\.(up|down)\.sql$/
const CODE = /^(\d+)_([A-Za-z0-9_-]+)\.(?:ts|mts|js|mjs)$/

/** Whether a file is meant for us: by its ending, in any case of its letters. Anything else may lie in the directory too. */
export function isMeant(file: string): boolean {
  return OURS.test(file) && !file.startsWith('.') && !/\.d\.[cm]?ts$/i.test(file)
}

/** Whether it is the name of a migration in code. */
export function isModule(file: string): boolean {
  return CODE.test(file)
}

/** What the name says, or what is wrong with it. */
export function entryOf(file: string): Entry | Problem {
  const [, digits, name, ending] = SQL.exec(file) ?? CODE.exec(file) ?? []
  if (digits !== undefined && name !== undefined && Number.isSafeInteger(Number(digits))) {
    return {
      file,
      id: Number(digits),
      name,
      role: ending === undefined ? 'code' : (ending as 'up' | 'down'),
    }
  }
  const example = /\.sql$/i.test(file) ? '0001_add_dogs.up.sql or 0001_remove_dogs.down.sql' : '0001_add_dogs.ts'
  return {
    code: 'bad-name',
    file,
    message: `${file} is no name of a migration; name it like ${example}, of letters, digits, _ and -, or take it away`,
  }
}

/** The files of one migration. */
export interface Files {
  readonly id: number
  readonly up: Entry
  readonly down: Entry | null
}

/** Puts the files of each migration together, in the order of the ids, and tells what does not fit. */
export function pair(entries: readonly Entry[]): {
  migrations: Files[]
  problems: Problem[]
} {
  const sorted = [...entries].sort((a, b) => a.id - b.id || (a.file < b.file ? -1 : 1))
  const ups = firsts(sorted.filter(({ role }) => role !== 'down'))
  const downs = firsts(sorted.filter(({ role }) => role === 'down'))
  const migrations = [...ups.first.values()].map((up) => ({
    id: up.id,
    up,
    down: downs.first.get(up.id) ?? null,
  }))
  const orphans = [...downs.first.values()].filter(({ id }) => !ups.first.has(id)).map(orphan)
  return {
    migrations,
    problems: [...ups.problems, ...downs.problems, ...orphans, ...gaps(migrations.map(({ up }) => up))],
  }
}

function firsts(entries: readonly Entry[]): {
  first: Map<number, Entry>
  problems: Problem[]
} {
  const first = new Map<number, Entry>()
  const problems: Problem[] = []
  for (const entry of entries) {
    const other = first.get(entry.id)
    if (other === undefined) first.set(entry.id, entry)
    else problems.push(duplicate(entry, other))
  }
  return { first, problems }
}

function duplicate({ file, id, role }: Entry, other: Entry): Problem {
  const [what, advice] =
    role === 'down' ? ['rollback', 'take one of them away'] : ['migration', 'give the later one the next free id']
  return {
    code: 'duplicate-id',
    file,
    message: `${file} and ${other.file} are both ${what} ${id}; ${advice}`,
  }
}

function orphan({ file, id }: Entry): Problem {
  return {
    code: 'orphan-down',
    file,
    message: `${file} rolls back migration ${id}, which is not there; add it or take the file away`,
  }
}

function gaps(ups: readonly Entry[]): Problem[] {
  return ups.flatMap(({ file, id }, place) => {
    const expected = place === 0 ? 0 : (ups[place - 1]?.id ?? 0) + 1
    if (id === expected) return []
    const missing =
      id - expected === 1 ? `migration ${expected} is missing` : `migrations ${expected} to ${id - 1} are missing`
    const dated = file.length >= 14 && id > 19_700_101_000_000 ? '; ids are 0, 1, 2, …, not dates' : ''
    return [
      {
        code: 'gap',
        file,
        message: `${missing} before ${file}; the ids must be 0, 1, 2, … without a gap${dated}`,
      } as const,
    ]
  })
}

import { type Dirent, statfsSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import type { Problem } from '../core/migration.ts'
import { RACY_MS, TIMED } from '../core/timed.ts'
import { entryOf, isMeant } from './names.ts'

/**
 * The state of a folder: as long as it is the same, so are the names in it. `null` where that cannot be said, as after a change
 * a moment ago: the kernel's clock is coarse. Throws what keeps it from being asked.
 */
export function stampOfFolder(folder: string): string | null {
  const now = Date.now()
  const { dev, ino, mtimeNs, ctimeNs } = statSync(folder, { bigint: true })
  if (now - Number(ctimeNs / 1_000_000n) < RACY_MS || !TIMED.has(statfsSync(folder).type)) return null
  return `${dev}:${ino}:${mtimeNs}:${ctimeNs}`
}

/** The files of a folder that are meant for us, in the order of their names. */
export async function list(folder: string): Promise<Dirent[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  // A folder is left alone, unless somebody could take it for a migration.
  const files = entries.filter(
    (entry) => isMeant(entry.name) && !(entry.isDirectory() && 'code' in entryOf(entry.name)),
  )
  return files.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Why the folder `path` cannot be listed. */
export function unlisted(path: string, { code }: { readonly code?: string }): Problem {
  const absent = code === 'ENOENT' || code === 'ENOTDIR'
  const message = absent
    ? `${path} is no directory; mount it there, or set MIGRATIONS_DIR`
    : `${path} cannot be listed (${code}); mend its permissions`
  return {
    code: absent ? 'no-directory' : 'unreadable',
    file: path,
    message,
  }
}

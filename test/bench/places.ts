import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder for one thing, gone when it is disposed of. */
export interface Place extends Disposable {
  readonly folder: string
  readonly database: string
}

const ROOT = mkdtempSync(join(tmpdir(), 'schemad-bench-'))
let places = 0

/** A new, empty folder, for as long as all of this takes. */
export function newFolder(): string {
  places += 1
  const folder = join(ROOT, String(places))
  mkdirSync(folder)
  return folder
}

export function newPlace(): Place {
  const folder = newFolder()
  return {
    folder,
    database: join(folder, 'app.db'),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** Removes all that was left behind. */
export function removeAll(): void {
  rmSync(ROOT, { recursive: true, force: true })
}

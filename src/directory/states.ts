import { statSync } from 'node:fs'
import { inodeOf } from '../core/inode.ts'

/**
 * Device, inode, size and the two times, in milliseconds. A number tells moments apart that lie a quarter of a microsecond from
 * each other, which is nothing beside the time for which a file is racy.
 */
type State = readonly [dev: number, ino: number, size: number, mtimeMs: number, ctimeMs: number]

/** A file's state, or what is wrong with it. */
export type Stamp = State | string

/** Whether a file that had one stamp and has the other now is unchanged. */
export function isSameStamp(one: Stamp, other: Stamp): boolean {
  if (typeof one === 'string' || typeof other === 'string') return one === other
  return one.every((number, place) => number === other[place])
}

/** The states of files one after the other. */
export type States = Float64Array

/** How many make a state. */
export const NUMBERS = 5

/** Whether the file `path` has the state that stands at the place `at`. */
export function hasState(path: string, states: States, at: number): boolean {
  try {
    const found = statSync(path, NO_THROW)
    return (
      found !== undefined &&
      found.ctimeMs === states[at + 4] &&
      found.mtimeMs === states[at + 3] &&
      found.size === states[at + 2] &&
      inodeOf(found.ino, () => statSync(path, { bigint: true }).ino) === states[at + 1] &&
      found.dev === states[at]
    )
  } catch {
    // What is wrong with it is told by who asks it for itself.
    return false
  }
}

/** Not to find a file is no error. */
export const NO_THROW = { throwIfNoEntry: false } as const

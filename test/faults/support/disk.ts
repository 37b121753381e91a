import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { temporaryFolder } from '../../support/folder.ts'

/** What keeps this user from mounting a file system, found by mounting one; `null` where nothing does. */
export const NO_MOUNT: string | null = reasonNotToMount()

/** For a title: nothing where file systems can be mounted, else why the test is skipped. */
export const UNLESS_MOUNTED = NO_MOUNT === null ? '' : ` (skipped, since nothing can be mounted here: ${NO_MOUNT})`

function reasonNotToMount(): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'schemad-'))
  try {
    mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder)
    execFileSync('umount', [folder])
    return null
  } catch (error) {
    return firstLine((error as { stderr?: Buffer }).stderr?.toString() || String(error))
  } finally {
    rmdirSync(folder)
  }
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? ''
}

function mount(...words: string[]): void {
  execFileSync('mount', words, { stdio: 'pipe' })
}

/** A file system of its own that has room for `kib` KiB, gone with the test. */
export interface Disk {
  readonly folder: string
  /** The bytes that can still be written. */
  free(): number
  /** Leaves room for `bytes` bytes, and for no more, by a file of that size that is needed for it. */
  leave(bytes: number): void
  /** Makes it read-only, or writable again, as long as nothing holds a file for writing. */
  remount(how: 'ro' | 'rw'): void
}

export function disk(kib: number): Disk {
  const folder = temporaryFolder()
  mount('-t', 'tmpfs', '-o', `size=${kib}k,mode=777`, 'tmpfs', folder)
  // A server that is being ended may still have a file open: so the folder lets go now, and the kernel when it can.
  onTestFinished(() => void execFileSync('umount', ['--lazy', folder]))
  const ballast = join(folder, 'ballast')
  const free = () => {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  }
  return {
    folder,
    free,
    leave: (bytes) => {
      rmSync(ballast, { force: true })
      fill(ballast, free() - bytes)
    },
    remount: (how) => mount('-o', `remount,${how}`, folder),
  }
}

function fill(file: string, bytes: number): void {
  if (bytes <= 0) return
  const fd = openSync(file, 'wx')
  try {
    for (let left = bytes; left > 0; ) left -= writeSync(fd, Buffer.alloc(Math.min(left, 1 << 20), 1))
  } finally {
    closeSync(fd)
  }
}

/**
 * Lays an overlayfs over two disks that tells their files apart by inodes too large for a number. Gives its folder and that of
 * the lower disk, or why it cannot be had.
 */
export function overlay(): { lower: string; folder: string } | string {
  const [lower, above, folder] = [disk(256).folder, disk(256).folder, temporaryFolder()]
  const [upper, work] = [folderIn(above, 'upper'), folderIn(above, 'work')]
  try {
    mount('-t', 'overlay', '-o', `xino=on,lowerdir=${lower},upperdir=${upper},workdir=${work}`, 'overlay', folder)
  } catch (error) {
    return firstLine((error as { stderr?: Buffer }).stderr?.toString() || String(error))
  }
  onTestFinished(() => void execFileSync('umount', ['--lazy', folder]))
  return { lower, folder }
}

/** Lays a read-only view of `path`, a file or a folder, over it. Gives what takes it away again. */
export function readOnlyView(path: string): () => void {
  let there = true
  mount('--bind', path, path)
  mount('-o', 'remount,bind,ro', path)
  const takeAway = () => {
    if (there) execFileSync('umount', ['--lazy', path])
    there = false
  }
  onTestFinished(takeAway)
  return takeAway
}

/** The size of a file, 0 where there is none. */
export function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}

/** A new folder in `folder`. */
export function folderIn(folder: string, name: string): string {
  const made = join(folder, name)
  mkdirSync(made)
  return made
}

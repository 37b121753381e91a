import { type FSWatcher, readFileSync, realpathSync, statfsSync, statSync, watch } from 'node:fs'
import { sep } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'

/**
 * Tells whether anything in a folder can have changed, without asking the kernel about each file: it tells by itself, by
 * inotify (https://man7.org/linux/man-pages/man7/inotify.7.html), what becomes of the files that are in the folder. Where that
 * is not the whole truth, it says that something can have.
 */
export class FolderWatcher {
  readonly #folder: string
  #watched: { readonly watcher: FSWatcher; readonly identity: string } | null = null
  #heard = true

  constructor(folder: string) {
    this.#folder = folder
  }

  /** What changes from now on is heard. */
  begin(): void {
    this.#heard = false
    const identity = identityOf(this.#folder)
    if (this.#watched !== null && this.#watched.identity === identity) return
    this.close()
    if (identity === null || !tellsAll(this.#folder)) return
    try {
      const watcher = watch(this.#folder, { persistent: false }, () => {
        this.#heard = true
      })
      watcher.on('error', () => this.close())
      this.#watched = { watcher, identity }
    } catch {
      // There are no more to be had; then it is done without.
    }
  }

  /** Whether nothing has changed since `begin`. What had changed when it was called counts. */
  async isQuiet(): Promise<boolean> {
    if (this.#watched === null || this.#heard) return false
    // What was told before is heard when the event loop has once gone all the way round.
    await turn()
    await turn()
    return !this.#heard && this.#watched !== null && this.#watched.identity === identityOf(this.#folder)
  }

  close(): void {
    this.#watched?.watcher.close()
    this.#watched = null
  }
}

/** The folder that the path leads to now; `null` where it leads to none. */
function identityOf(folder: string): string | null {
  try {
    const found = statSync(folder, { bigint: true })
    return found.isDirectory() ? `${found.dev}:${found.ino}` : null
  } catch {
    return null
  }
}

/** File systems that only this kernel changes: ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS, F2FS and bcachefs (statfs(2)). */
const LOCAL = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010, 0xca451a4e])

/** Whether all that can happen to regular files in `folder` is told, as long as they have no other name. */
function tellsAll(folder: string): boolean {
  try {
    if (process.platform !== 'linux' || !LOCAL.has(statfsSync(folder).type)) return false
    // What is mounted over a file is changed where it comes from.
    const below = `${realpathSync(folder)}${sep}`
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    return !mounts.some((mount) => unescaped(mount.split(' ')[4] ?? '').startsWith(below))
  } catch {
    return false
  }
}

/** A path as the kernel writes it in `/proc`: with octal numbers for white space. */
function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

import { statfsSync, statSync } from 'node:fs'
import { RACY_MS } from './files.ts'

/** File systems that give a folder another time whenever a name in it comes or goes: ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS, F2FS and bcachefs (statfs(2)). */
const TIMED = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010, 0xca451a4e])

/**
 * The state of a folder: as long as it is the same, so are the names in it. `null` where that cannot be said, as after a change
 * a moment ago: the kernel's clock is coarse. Throws what keeps it from being asked.
 */
export function stampOfFolder(folder: string): string | null {
  const now = Date.now()
  const { dev, ino, mtimeNs, ctimeNs } = statSync(folder, { bigint: true })
  if (BigInt(now) - ctimeNs / 1_000_000n < RACY_MS || !TIMED.has(statfsSync(folder).type)) return null
  return `${dev}:${ino}:${mtimeNs}:${ctimeNs}`
}

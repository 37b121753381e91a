/**
 * The types of file systems that give a folder another time whenever a name in it comes or goes: ext4, XFS, Btrfs, tmpfs,
 * overlayfs, ZFS, F2FS and bcachefs (statfs(2)).
 */
export const TIMED: ReadonlySet<number> = new Set([
  0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010, 0xca451a4e,
])

/** What was changed so shortly before, in milliseconds, may be changed again without another time: the kernel's clock is coarse. */
export const RACY_MS = 50

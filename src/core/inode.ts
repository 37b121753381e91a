/** The largest prime number that a number holds exactly: a number of 64 bits and its neighbours have other remainders. */
const PRIME = 9_007_199_254_740_881n

/**
 * What tells a file from all others of its device. `exact` gives the inode in all its digits: some file systems have such as no
 * number holds, as overlayfs does with `xino` (https://docs.kernel.org/filesystems/overlayfs.html#inode-properties), and then
 * a thousand of them would look the same.
 */
export function inodeOf(inode: number, exact: () => bigint): number {
  return Number.isSafeInteger(inode) ? inode : Number(exact() % PRIME)
}

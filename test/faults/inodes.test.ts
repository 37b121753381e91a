import { renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { inodeOf } from '../../src/core/inode.ts'
import { openDirectory } from '../../src/directory/directory.ts'
import { temporaryFolder } from '../support/folder.ts'
import { NO_MOUNT, overlay, UNLESS_MOUNTED } from './support/disk.ts'

it('an inode that no number holds is told apart from its neighbours and from the same number of another layer', () => {
  const never = () => {
    throw new Error('it is exact')
  }
  expect([0, 1, Number.MAX_SAFE_INTEGER].map((inode) => inodeOf(inode, never))).toEqual([0, 1, Number.MAX_SAFE_INTEGER])
  const large = [1n, 2n].flatMap((layer) => Array.from({ length: 2_000 }, (_, n) => (layer << 62n) + BigInt(n)))
  const told = large.map((inode) => inodeOf(Number(inode), () => inode))
  expect(new Set(large.map(Number)).size).toBeLessThan(10)
  expect(new Set(told).size).toBe(large.length)
})

it.skipIf(NO_MOUNT !== null)(
  `a link that leads to another file with the same times and size is a changed migration${UNLESS_MOUNTED}`,
  async ({ skip }) => {
    const mounted = overlay()
    if (typeof mounted === 'string') return skip(`an overlayfs cannot be mounted: ${mounted}`)
    const { lower, folder } = mounted
    const [one, two] = twins(lower)
    const [seen, other] = [statSync(join(folder, one)), statSync(join(folder, two))]
    // A number does not tell them apart, nor does anything else.
    expect([seen.ino, seen.dev, seen.size, seen.ctimeMs]).toEqual([other.ino, other.dev, other.size, other.ctimeMs])
    expect(seen.ino).toBeGreaterThan(Number.MAX_SAFE_INTEGER)
    const migrations = temporaryFolder()
    const link = join(migrations, '0000_x.up.sql')
    symlinkSync(join(folder, one), link)
    const directory = openDirectory(migrations)
    const text = async () => (await directory.look()).migrations[0]?.up.text
    for (let looks = 0; looks < 3; looks += 1) {
      await delay(60)
      expect(await text()).toBe('SELECT 1;')
    }
    symlinkSync(join(folder, two), `${link}.next`)
    renameSync(`${link}.next`, link)
    expect(await text()).toBe('SELECT 2;')
  },
)

/** Two files with other contents, which the kernel's clock has given the same times. */
function twins(folder: string): [string, string] {
  for (let tries = 0; tries < 1_000; tries += 1) {
    const names: [string, string] = [`one${tries}`, `two${tries}`]
    const times = names.map((name, place) => {
      writeFileSync(join(folder, name), `SELECT ${place + 1};`)
      const { mtimeNs, ctimeNs } = statSync(join(folder, name), { bigint: true })
      return `${mtimeNs} ${ctimeNs}`
    })
    if (times[0] === times[1]) return names
    for (const name of names) rmSync(join(folder, name))
  }
  throw new Error('the clock of the kernel is too fine')
}

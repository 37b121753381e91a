// Rows of what a backup costs.
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Growing, startGrowing } from './growing.ts'
import { inRounds } from './measure.ts'
import { newPlace, type Place } from './places.ts'
import type { Row } from './rows.ts'
import { runIn } from './service.ts'
import { type Line, linesOf } from './table.ts'
import { same } from './verify.ts'
import { fill } from './work.ts'

/** One small migration with a backup before it, against the same without. The oldest backup is not deleted in it. */
export const backups: Row = {
  name: 'backup',
  lines: async ({ backups, rounds }) => {
    const lines: Line[] = []
    for (const megabytes of backups) lines.push(...(await compared(megabytes, rounds.few)))
    return lines
  },
}

const KEPT = 5

async function compared(megabytes: number, rounds: number): Promise<Line[]> {
  using ours = newPlace()
  using theirs = newPlace()
  for (const { database } of [ours, theirs]) fill(database, megabytes)
  await using withBackups = await startGrowing(ours, 1, KEPT)
  await using without = await startGrowing(theirs, 1)
  takeBackup(ours, megabytes)
  const samples = await inRounds(rounds, {
    [`BACKUP_KEEP=${KEPT}`]: () => oneBackedUp(withBackups, ours, megabytes),
    'BACKUP_KEEP=0': async () => (await without.one()).ms,
  })
  const work = `a backup of ${megabytes.toLocaleString('en')} MB and one small migration`
  return linesOf(work, samples, { 'BACKUP_KEEP=0': 'itself, without the backup' }, null)
}

async function oneBackedUp(growing: Growing, place: Place, megabytes: number): Promise<number> {
  const answer = await growing.one()
  same('the answer', 'its backup', runIn(answer).backup, takeBackup(place, megabytes))
  return answer.ms
}

/** Deletes the only backup, and gives its name: five of a large database may be more than the disk has. */
function takeBackup(place: Place, megabytes: number): string | undefined {
  const folder = join(place.folder, 'backups')
  const files = readdirSync(folder)
  same(folder, 'how many backups it has', files.length, 1)
  for (const file of files.map((name) => join(folder, name))) {
    same(file, 'whether it is whole', statSync(file).size >= megabytes * 1_000_000, true)
    rmSync(file)
  }
  return files[0]
}

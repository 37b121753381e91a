// Rows of what a backup costs.
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { inRounds, type Side } from './measure.ts'
import { newPlace, type Place } from './places.ts'
import type { Row } from './rows.ts'
import { runIn, type Service, startService } from './service.ts'
import { type Line, linesOf } from './table.ts'
import { SCHEMAD } from './tools.ts'
import { same, verifySmall } from './verify.ts'
import { fill, writeSmall } from './work.ts'

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
  await using withBackups = await startFilled(ours, megabytes, KEPT)
  await using without = await startFilled(theirs, megabytes, 0)
  const sides = {
    [`BACKUP_KEEP=${KEPT}`]: oneMore(withBackups, ours, megabytes),
    'BACKUP_KEEP=0': oneMore(without, theirs, 0),
  }
  // The first makes the tables of the service too.
  for (const side of Object.values(sides)) await side()
  const samples = await inRounds(rounds, sides)
  const work = `a backup of ${megabytes.toLocaleString('en')} MB and one small migration`
  return linesOf(work, samples, { 'BACKUP_KEEP=0': 'itself, without the backup' }, null)
}

async function startFilled(place: Place, megabytes: number, backups: number): Promise<Service> {
  fill(place.database, megabytes)
  const migrations = join(place.folder, 'migrations')
  writeSmall(migrations, 'pairs', 1)
  return await startService({ migrations, database: place.database, backups })
}

/** Applies one more each time. */
function oneMore(service: Service, { folder, database }: Place, least: number): Side {
  let count = 0
  return async () => {
    writeSmall(join(folder, 'migrations'), 'pairs', count + 1, count)
    count += 1
    await service.idle()
    const answer = await service.post('/migrate')
    verifySmall(database, SCHEMAD.ledger, count)
    same('the answer', 'whether it names a backup', runIn(answer).backup !== null, least > 0)
    if (least > 0) takeBackup(join(folder, 'backups'), least)
    return answer.ms
  }
}

/** Deletes the only backup: five of a large database may be more than the disk has. */
function takeBackup(folder: string, megabytes: number): void {
  const files = readdirSync(folder)
  same(folder, 'how many backups it has', files.length, 1)
  for (const file of files.map((name) => join(folder, name))) {
    same(file, 'whether it is whole', statSync(file).size >= megabytes * 1_000_000, true)
    rmSync(file)
  }
}

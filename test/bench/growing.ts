import { join } from 'node:path'
import type { Place } from './places.ts'
import type { Ran } from './processes.ts'
import { runIn, type Service, startService } from './service.ts'
import { SCHEMAD } from './tools.ts'
import { same, verifySmall } from './verify.ts'
import { type Form, writeSmall } from './work.ts'

/** A service with a directory that grows. */
export interface Growing {
  readonly service: Service
  /** Adds a small migration, waits until the spare runner is loaded, applies it by one curl, and verifies that. */
  one(): Promise<Ran>
}

/** Starts it over the database of `place`, with so many small migrations applied. */
export async function startGrowing(place: Place, applied: number, backups = 0): Promise<Growing & AsyncDisposable> {
  const migrations = join(place.folder, 'migrations')
  const write = grower(migrations, 'pairs', applied)
  const service = await startService({ migrations, database: place.database, backups })
  await service.post('/migrate')
  return {
    service,
    one: async () => {
      const count = write()
      await service.idle()
      const answer = await service.post('/migrate')
      same('the answer', 'its steps', runIn(answer).steps.length, 1)
      verifySmall(place.database, SCHEMAD.ledger, count)
      return answer
    },
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  }
}

/** Writes `count` small migrations, and one more at each call, which gives how many there are. */
export function grower(folder: string, form: Form, count: number): () => number {
  writeSmall(folder, form, count)
  let written = count
  return () => {
    writeSmall(folder, form, written + 1, written)
    written += 1
    return written
  }
}

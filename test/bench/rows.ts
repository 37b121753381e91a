import { again, againMany, status } from './again.ts'
import { backups } from './backups.ts'
import { large, pending, rollback, small } from './changes.ts'
import { meanwhile } from './meanwhile.ts'
import { reading, unchanged } from './reading.ts'
import { memory, starting } from './resting.ts'
import type { Scale } from './scale.ts'
import type { Line } from './table.ts'

/** A part of the table: one comparison, or several with one preparation. */
export interface Row {
  /** What `--only` looks in. */
  readonly name: string
  readonly lines: (scale: Scale) => Promise<readonly Line[]>
}

/** In the order of the table. */
export const ROWS: readonly Row[] = [
  small,
  again,
  againMany,
  large,
  rollback,
  status,
  reading,
  unchanged,
  starting,
  memory,
  pending,
  meanwhile,
  backups,
]

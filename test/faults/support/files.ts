import type { Files } from '../../support/folder.ts'

/** `count` small migrations, each of a table with a row, and the rollback of each. */
export function numbered(count: number): Files {
  const pairs = Array.from({ length: count }, (_, id) => [
    [`${id}_make_t${id}.up.sql`, `CREATE TABLE t${id} (x);\nINSERT INTO t${id} VALUES (${id});\n`],
    [`${id}_drop_t${id}.down.sql`, `DROP TABLE t${id};\n`],
  ])
  return Object.fromEntries(pairs.flat())
}

/** Backups would only disturb what is counted here. */
export const NO_BACKUPS = { BACKUP_KEEP: '0' }

import type { Database } from 'better-sqlite3'
import type { SchemaChanges } from '../core/migration.ts'
import { userObjects } from './live-schema.ts'

/** Each object of a schema, as `table cats`, with the SQL that made it. */
export type Objects = Readonly<Record<string, string>>

/** The user's objects. */
export function objectsOf(db: Database): Objects {
  return Object.fromEntries(userObjects(db).map(({ type, name, sql }) => [`${type} ${name}`, sql ?? '']))
}

/** What lies between two schemas, each list sorted. */
export function changesBetween(before: Objects, after: Objects): SchemaChanges {
  const created = Object.keys(after).filter((name) => !Object.hasOwn(before, name))
  const dropped = Object.keys(before).filter((name) => !Object.hasOwn(after, name))
  const altered = Object.keys(after).filter((name) => Object.hasOwn(before, name) && before[name] !== after[name])
  return {
    created: created.sort(),
    dropped: dropped.sort(),
    altered: altered.sort(),
  }
}

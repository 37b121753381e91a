import type { Database } from 'better-sqlite3'
import type { SchemaChanges } from '../core/migration.ts'
import { userObjectLines } from './live-schema.ts'

/** A schema as text, which is sent and kept as it is: a line for each object, as `["table cats","CREATE TABLE cats (id)"]`. */
export type Objects = string

/** The user's objects. */
export function objectsOf(db: Database): Objects {
  return userObjectLines(db)
}

/** What lies between two schemas, each list sorted. */
export function changesBetween(before: Objects, after: Objects): SchemaChanges {
  const [old, now] = [before, after].map((text) => new Set(text.split('\n'))) as [Set<string>, Set<string>]
  const [gone, come] = [namesOf(old.difference(now)), namesOf(now.difference(old))]
  return {
    created: [...come.difference(gone)].sort(),
    dropped: [...gone.difference(come)].sort(),
    altered: [...come.intersection(gone)].sort(),
  }
}

/** The objects of lines; no line stands for an empty schema. */
function namesOf(lines: ReadonlySet<string>): Set<string> {
  return new Set([...lines].filter(Boolean).map((line) => (JSON.parse(line) as [string])[0]))
}

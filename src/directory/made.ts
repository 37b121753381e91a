import type { Directory, Problem } from '../core/migration.ts'
import { type Content, migrationOf } from './content.ts'
import { type Entry, pair } from './names.ts'

/** What is known of a file. */
interface Known {
  readonly entry: Entry | Problem
  readonly content: Content | Problem
}

/** The migrations that the files of the directory `path` make, and all that is wrong with them. */
export function directoryOf(path: string, known: ReadonlyMap<string, Known>): Directory {
  const contents = [...known.values()]
  const wrong = contents.flatMap(({ content }) => ('code' in content ? [content] : []))
  const entries = contents.flatMap(({ entry }) => ('code' in entry ? [] : [entry]))
  if (contents.length === 0) {
    const message = `${path} has no migrations in it; is it mounted? the first is named 0000_….up.sql`
    return {
      migrations: [],
      problems: [{ code: 'no-migrations', file: path, message }],
    }
  }
  const paired = pair(entries)
  const contentOf = (file: string) => {
    const content = known.get(file)?.content
    return content === undefined || 'code' in content ? undefined : content
  }
  const migrations = paired.migrations.flatMap((files) => migrationOf(files, contentOf) ?? [])
  return { migrations, problems: [...wrong, ...paired.problems] }
}

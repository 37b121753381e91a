import { hash } from 'node:crypto'
import { join } from 'node:path'
import { MigrationError } from '../core/errors.ts'
import type { Migration, Problem, Source } from '../core/migration.ts'
import type { exportsOf } from './exports.ts'
import type { Entry, Files } from './names.ts'
import { decode, type Flaw, flawOf, isEmpty } from './text.ts'

/** What a file holds, as far as a migration needs it. */
export interface Content {
  readonly source: Source
  readonly checksum: string
  /** Of a module, the names that it exports. */
  readonly exports: ReadonlySet<string>
}

let lexer: { readonly exportsOf: typeof exportsOf } | null = null

/** Loads what reads modules, whose WebAssembly takes its time to be compiled. Before it has, `contentOf` reads scripts only. */
export async function readModules(): Promise<void> {
  lexer ??= await import('./exports.ts')
}

/** What `bytes` hold, or what is wrong with them. */
export function contentOf(entry: Entry, bytes: Buffer, folder: string): Content | Problem {
  const text = decode(bytes)
  if (typeof text !== 'string') return badText(entry.file, text)
  return entry.role === 'code' ? moduleOf(entry, text, bytes, folder) : scriptOf(entry, text, bytes)
}

/** The migration that its files make. */
export function migrationOf(
  { id, up, down }: Files,
  contentOf: (file: string) => Content | undefined,
): Migration | null {
  const content = contentOf(up.file)
  if (content === undefined) return null
  const { source, checksum, exports } = content
  const script = down === null ? undefined : contentOf(down.file)
  const own = source.kind === 'code' && exports.has('down') ? { ...source, name: up.name } : null
  return {
    id,
    name: up.name,
    kind: source.kind,
    checksum,
    up: source,
    down: script !== undefined && down !== null ? { ...script.source, name: down.name } : own,
  }
}

function scriptOf({ file, role }: Entry, text: string, bytes: Buffer): Content | Problem {
  const flaw = flawOf(text, bytes.length - Buffer.byteLength(text))
  if (flaw !== null) return badText(file, flaw)
  if (role === 'up' && isEmpty(text)) {
    return {
      code: 'empty',
      file,
      message: `${file} has no statement in it; write one, or take the file away`,
    }
  }
  return {
    source: { kind: 'sql', file, text },
    checksum: checksumOf(text),
    exports: new Set(),
  }
}

function moduleOf({ file }: Entry, text: string, bytes: Buffer, folder: string): Content | Problem {
  if (lexer === null)
    throw new MigrationError('internal', `${file} was to be read before there was anything to read it with`)
  const exports = lexer.exportsOf(text, file)
  if (exports === null)
    return {
      code: 'bad-text',
      file,
      message: `${file} does not parse; run it by itself to see where`,
    }
  if (!exports.has('up'))
    return {
      code: 'empty',
      file,
      message: `${file} exports no function up; export one`,
    }
  const sha256 = hash('sha256', bytes, 'hex')
  return {
    source: { kind: 'code', file, path: join(folder, file), sha256, text },
    checksum: checksumOf(text),
    exports,
  }
}

/** Line ends do not count: git may change them. */
function checksumOf(text: string): string {
  return `sha256:${hash('sha256', text.replaceAll('\r\n', '\n'), 'hex')}`
}

function badText(file: string, { what, offset }: Flaw): Problem {
  return {
    code: 'bad-text',
    file,
    message: `${file} ${what}, at byte ${offset}; mend it and save it as UTF-8`,
  }
}

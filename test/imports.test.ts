import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join, relative } from 'node:path'
import { expect, it } from 'vitest'

const SRC = new URL('../src', import.meta.url).pathname

/** What each folder may import: other folders of src, and packages. */
const ALLOWED: Readonly<Record<string, { readonly folders: string[]; readonly packages: RegExp }>> = {
  core: { folders: ['core'], packages: /^$/ },
  directory: { folders: ['core', 'directory'], packages: /^(node:.*|es-module-lexer|cjs-module-lexer)$/ },
  sqlite: { folders: ['core', 'sqlite'], packages: /^(node:.*|better-sqlite3)$/ },
  http: {
    folders: ['core', 'http'],
    packages: /^(node:.*|fastify|@fastify\/.*|typebox|helmet|negotiator|ajv|prom-client)$/,
  },
}

function imports(): { file: string; folder: string; from: string }[] {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  return files.flatMap((file) => {
    const text = readFileSync(join(SRC, file), 'utf8')
    const found = text.matchAll(/^(?:import|export)\s(?:[^'"]*?\sfrom\s)?'([^']+)'|\bimport\('([^']+)'\)/gm)
    return [...found].map((match) => ({
      file,
      folder: file.includes('/') ? (file.split('/')[0] ?? '') : '',
      from: match[1] ?? match[2] ?? '',
    }))
  })
}

it('each folder imports only what its promise allows', () => {
  const broken = imports().filter(({ file, folder, from }) => {
    const allowed = ALLOWED[folder]
    if (allowed === undefined) return false
    if (!from.startsWith('.')) return !allowed.packages.test(from)
    const target = relative(SRC, join(SRC, file, '..', from)).split('/')[0] ?? ''
    return !allowed.folders.includes(target)
  })
  expect(broken).toEqual([])
})

it('every folder has a promise, and imports name their files with .ts', () => {
  const folders = readdirSync(SRC, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  expect(folders.map(({ name }) => name).sort()).toEqual(Object.keys(ALLOWED).sort())
  expect(imports().filter(({ from }) => from.startsWith('.') && !from.endsWith('.ts'))).toEqual([])
  expect(imports().filter(({ from }) => builtinModules.includes(from))).toEqual([])
  expect(imports().length).toBeGreaterThan(100)
})

it('nothing imports main but the command, and nothing but config reads the environment', () => {
  const importers = imports().filter(({ from }) => from.endsWith('/main.ts'))
  expect(importers.map(({ file }) => file)).toEqual(['command.ts'])
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  const readers = files.filter((file) => readFileSync(join(SRC, file), 'utf8').includes('process.env'))
  expect(readers).toEqual(['config.ts'])
})

import { spawnSync } from 'node:child_process'
import { existsSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../support/folder.ts'

const MODULES = new URL('../../node_modules', import.meta.url).pathname
const OPTIONS = '--noEmit --strict --skipLibCheck --target es2024 --module nodenext --types node --pretty false'

export interface Typed {
  readonly apiVersion: string
  readonly kind: string
}

/** Throws unless Kubernetes' own schema of its kind takes the manifest; fields that it does not know, it overlooks. */
export async function validate(manifest: Typed): Promise<void> {
  const { apiVersion, kind } = manifest
  const path = `kubernetes-models/${apiVersion}/${kind}`
  if (!existsSync(join(MODULES, `${path}.js`))) throw new Error(`Kubernetes has no ${kind} in ${apiVersion}`)
  const { [kind]: Kind } = (await import(path)) as Record<string, Model>
  if (Kind === undefined) throw new Error(`${path} has no ${kind}`)
  new Kind(manifest).validate()
}

type Model = new (manifest: Typed) => { validate(): void }

/** What the compiler says of manifests written as literals of their types: a field that does not exist is an error. */
export function compile(manifests: readonly Typed[]): string {
  const folder = temporaryFolder()
  symlinkSync(MODULES, join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const literals = manifests.map(
    (manifest, place) =>
      `const m${place}: import('kubernetes-models/${manifest.apiVersion}/${manifest.kind}').I${manifest.kind} = ${JSON.stringify(manifest)}`,
  )
  writeFileSync(join(folder, 'manifests.ts'), `${literals.join('\n')}\nexport {}\n`)
  const compiler = [join(MODULES, 'typescript/bin/tsc'), ...OPTIONS.split(' '), 'manifests.ts']
  const done = spawnSync(process.execPath, compiler, { cwd: folder, encoding: 'utf8' })
  if (done.status !== 0 && done.stdout === '') throw new Error(`the compiler did not run: ${done.stderr}`)
  return done.stdout
}

// `npm run build`: what is published and put into the image. A start loads a few files instead of hundreds.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'rolldown'

const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))

/** Those that are installed beside it: one of them is native, some are loaded when they are needed, and some have files of their own. */
const installed = new RegExp(`^(${Object.keys(dependencies).join('|')})(/|$)`)

/** The licenses of the packages that are taken in: they ask for that. */
const licenses = {
  name: 'licenses',
  generateBundle(_, bundle) {
    const modules = Object.values(bundle).flatMap(({ moduleIds = [] }) => moduleIds)
    const folders = new Set(modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id) ?? []))
    const source = [...folders].sort().map((folder) => {
      const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name))
      if (file === undefined) throw new Error(`${folder} has no license`)
      return `${folder.replace(/^.*node_modules\//, '')}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`
    })
    this.emitFile({ type: 'asset', fileName: 'licenses.txt', source: source.join('\n\n') })
  },
}

/** The command is for any Node, and loads the rest only where that can be. */
const besides = {
  name: 'besides',
  resolveId: (id) => (id === './command.ts' ? { id: './command.js', external: true } : null),
}

const shared = { platform: 'node', external: installed, logLevel: 'warn' }

await build([
  {
    ...shared,
    input: {
      index: 'src/index.ts',
      main: 'src/main.ts',
      command: 'src/command.ts',
      runner: 'src/sqlite/runner.ts',
    },
    plugins: [licenses],
    output: { dir: 'dist', format: 'esm', chunkFileNames: 'part-[hash].js' },
  },
  { ...shared, input: 'src/bin.cts', plugins: [besides], output: { file: 'dist/bin.cjs', format: 'cjs' } },
])

// `npm run build`: what is published and put into the image. A start loads a few files instead of hundreds.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'rolldown'

const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))

/** Those that are installed beside it: one of them is native, some are loaded when they are needed, and some have files of their own. */
const installed = Object.keys(dependencies)

/** What Fastify would load were it given no compilers of schemas. */
const unasked = ['@fastify/ajv-compiler', '@fastify/fast-json-stringify-compiler']

const external = new RegExp(`^(${[...installed, ...unasked].join('|')})(/|$)`)

/** The licenses of the packages that are taken in: they ask for that. */
const licenses = {
  name: 'licenses',
  generateBundle(_, bundle) {
    const modules = Object.values(bundle).flatMap(({ moduleIds = [] }) => moduleIds)
    const folders = new Set(modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id) ?? []))
    const source = [...folders].sort().map((folder) => {
      const read = (file) => readFileSync(join(folder, file), 'utf8').trim()
      const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name))
      const terms = file === undefined ? named(JSON.parse(read('package.json'))) : read(file)
      return `${folder.replace(/^.*node_modules\//, '')}\n\n${terms}\n`
    })
    this.emitFile({ type: 'asset', fileName: 'licenses.txt', source: source.join('\n\n') })
  },
}

/** Of a package that has no file for it, as far as it says. */
function named({ name, license, author }) {
  if (license === undefined || author === undefined) throw new Error(`${name} has no license`)
  return `${license}, by ${author.name ?? author}`
}

/** The command is for any Node, and loads the rest only where that can be. */
const besides = {
  name: 'besides',
  resolveId: (id) => (id === './command.ts' ? { id: './command.js', external: true } : null),
}

const shared = { platform: 'node', external, logLevel: 'warn' }

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

// Takes each mechanism away, in a copy of the source, and asks whether the tests that are named for it notice.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MUTATIONS as ALL, type Mutation } from './mutations.ts'

/** All, or those whose mechanism has the words that are given. */
const MUTATIONS = ALL.filter(({ mechanism }) => mechanism.includes(process.argv.slice(2).join(' ')))

const ROOT = new URL('../../..', import.meta.url).pathname
const COPIED = ['src', 'test', 'migrations', 'openapi', 'package.json', 'tsconfig.json', 'README.md', 'Dockerfile']
/** A test of a mutated source may wait for what never comes. */
const TEST_MS = 30_000
/** How often a test may fail without a mutation, as some do on a machine that is busy with other things. */
const RETRIES = 2

/** Titles by how the tests ended, of those that ran. */
interface Ends {
  readonly passed: readonly string[]
  readonly failed: readonly string[]
}

process.exitCode = main()

function main(): number {
  const tree = mkdtempSync(join(tmpdir(), 'schemad-mutate-'))
  try {
    for (const name of COPIED) cpSync(join(ROOT, name), join(tree, name), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'))
    const unsound = [...misplaced(), ...failing(tree)]
    for (const reason of unsound) console.log(reason)
    if (unsound.length > 0) return 1
    const survivors = MUTATIONS.filter((mutation) => survives(tree, mutation))
    console.log(`\n${MUTATIONS.length} mechanisms taken away, ${survivors.length} not noticed`)
    return survivors.length === 0 ? 0 : 1
  } finally {
    rmSync(tree, { recursive: true, force: true })
  }
}

/** The texts that are not where they are looked for, exactly once. */
function misplaced(): string[] {
  return MUTATIONS.flatMap(({ mechanism, edits }) =>
    edits.flatMap(({ file, find }) => {
      const times = readFileSync(join(ROOT, 'src', file), 'utf8').split(find).length - 1
      return times === 1 ? [] : [`${mechanism}: src/${file} has ${times} times what should be there once: ${find}`]
    }),
  )
}

/** What fails, or does not run, without any mutation. */
function failing(tree: string): string[] {
  const byFile = Map.groupBy(MUTATIONS, ({ test }) => test)
  return [...byFile].flatMap(([file, mutations]) => {
    const { passed, failed } = run(tree, file, mutations.map(({ titles }) => titles).join('|'), RETRIES)
    const absent = mutations.filter(({ titles }) => !passed.some((title) => new RegExp(titles).test(title)))
    return [
      ...failed.map((title) => `fails without a mutation: ${file}: ${title}`),
      ...absent.map(({ mechanism, titles }) => `${mechanism}: no test of ${file} has passed that matches ${titles}`),
    ]
  })
}

/** Whether all tests pass without the mechanism. Prints which do not. */
function survives(tree: string, { mechanism, edits, test, titles }: Mutation): boolean {
  const paths = [...new Set(edits.map(({ file }) => file))]
  for (const { file, find, replace } of edits) {
    const path = join(tree, 'src', file)
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(find, () => replace),
    )
  }
  const { failed } = run(tree, test, titles)
  for (const file of paths) cpSync(join(ROOT, 'src', file), join(tree, 'src', file))
  const fell = failed.length === 0 ? ['SURVIVED'] : failed.map((title) => `fell: ${title}`)
  console.log(
    [mechanism, `    ${paths.map((file) => `src/${file}`).join(', ')}`, ...fell.map((line) => `    ${line}`)].join(
      '\n',
    ),
  )
  return failed.length === 0
}

/** Runs the tests of `file` whose titles match, in the copy. */
function run(tree: string, file: string, titles: string, retries = 0): Ends {
  const report = join(tree, 'report.json')
  rmSync(report, { force: true })
  const suite = /^test\/(long|faults)\//.exec(file)?.[1] ?? 'vitest'
  const config = join(tree, `test/${suite}.config.ts`)
  const vitest = join(tree, 'node_modules', 'vitest', 'vitest.mjs')
  const words = [
    'run',
    file,
    '-t',
    titles,
    '--reporter=json',
    `--outputFile=${report}`,
    `--testTimeout=${TEST_MS}`,
    `--retry=${retries}`,
  ]
  const { stderr } = spawnSync(process.execPath, [vitest, ...words, '--config', config], {
    cwd: tree,
    encoding: 'utf8',
  })
  endLeftovers(tree)
  const { testResults } = read(report, stderr)
  const ended = (status: string) =>
    testResults.flatMap(({ assertionResults }) =>
      assertionResults.filter((one) => one.status === status).map(({ fullName }) => fullName),
    )
  return { passed: ended('passed'), failed: ended('failed') }
}

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

function read(report: string, errors: string): Report {
  try {
    return JSON.parse(readFileSync(report, 'utf8')) as Report
  } catch (error) {
    throw new Error(`vitest has written no report: ${errors}`, { cause: error })
  }
}

/** A runner that nothing ends any more is what some mutations make. */
function endLeftovers(tree: string): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${tree}/src/`)) process.kill(Number(pid), 'SIGKILL')
    } catch (error) {
      // It has ended while we looked.
      if (!['ENOENT', 'ESRCH'].includes(String((error as NodeJS.ErrnoException).code))) throw error
    }
  }
}

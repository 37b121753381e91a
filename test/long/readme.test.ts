import { spawn, spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { freePort, until } from '../support/server.ts'

const ROOT = new URL('../..', import.meta.url).pathname
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')

interface Block {
  readonly language: string
  readonly text: string
}

function blocks(): Block[] {
  return [...README.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map((match) => ({
    language: match[1] ?? '',
    text: match[2] ?? '',
  }))
}

/** The commands of a console block, each with the output that stands below it. */
function commands(text: string): { command: string; output: string }[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => ({ command: part.slice(0, part.indexOf('\n')), output: part.slice(part.indexOf('\n') + 1) }))
}

/** What differs from one day to the next is made the same. */
function timeless(text: string): string {
  return text.replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME').replace(/"durationMs":[\d.]+/g, '"durationMs":N')
}

/** A copy of what is committed, with the packages of this one. */
function copy(): string {
  const folder = join(temporaryFolder(), 'schemad')
  for (const name of ['package.json', '.rolldown.mjs', 'tsconfig.json', 'README.md', 'src', 'migrations', 'test']) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/** Begins a command that starts schemad in the folder; it listens on `port`. Ends with the test. */
async function begin(command: string, folder: string, port: number): Promise<void> {
  const npm = spawn('bash', ['-c', command], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', PORT: String(port) },
    stdio: ['ignore', 'ignore', 'inherit'],
    detached: true,
  })
  let ended = false
  npm.once('close', () => {
    ended = true
  })
  onTestFinished(() => {
    if (!ended) process.kill(-(npm.pid ?? 0), 'SIGTERM')
  })
  await until(async () => {
    if (ended) throw new Error(`${command} has ended`)
    return await fetch(`http://127.0.0.1:${port}/livez`).then(
      ({ ok }) => ok,
      () => false,
    )
  })
}

/** Blocks whose commands are not for the example, but for what somebody else has: recipes.test.ts runs them. */
const ELSEWHERE = /^# from /

it('every command of the README does what the README shows', async () => {
  const folder = copy()
  const ports = { 8080: await freePort(), 8081: await freePort() }
  const here = (command: string) =>
    command.replaceAll(/\b(localhost:|PORT=)(8080|8081)\b/g, (_, before, port: '8080') => `${before}${ports[port]}`)
  await begin('npm start', folder, ports[8080])
  let run = 0
  for (const { language, text } of blocks()) {
    const file = /^\/\/ (\S+)\n/.exec(text)?.[1]
    if (language === 'ts' && file) writeFileSync(join(folder, file), text)
    const all = language === 'console' ? commands(text) : []
    if (language === 'sh' && !text.startsWith('npm ci') && !ELSEWHERE.test(text))
      all.push({ command: text, output: '' })
    for (const { command, output } of all) {
      run += 1
      // Whoever copies them does all in one shell.
      expect(command).not.toMatch(/^cd /)
      if (command.endsWith(' &')) {
        await begin(here(command).slice(0, -' &'.length), folder, ports[8081])
        continue
      }
      const done = spawnSync('bash', ['-c', here(command)], { cwd: folder, encoding: 'utf8' })
      const shown = { command, status: done.status, stderr: done.stderr.replace(/^npm warn.*\n/gm, '') }
      expect(shown).toEqual({ command, status: 0, stderr: '' })
      // A block of sh stands without its output.
      if (language === 'console')
        expect({ command, output: timeless(done.stdout) }).toEqual({ command, output: timeless(output) })
    }
  }
  expect(run).toBeGreaterThan(50)
}, 900_000)

it('what the README sets up with is what a fresh machine is asked to do', () => {
  const setUps = blocks().filter(({ language, text }) => language === 'sh' && text.startsWith('npm ci'))
  expect(setUps.map(({ text }) => text)).toEqual(['npm ci && npm start\n', 'npm ci && npm test\n'])
  const ci = readFileSync(join(ROOT, '.ci/run'), 'utf8').split('\n')
  expect(ci).toEqual(expect.arrayContaining(['npm ci', expect.stringMatching(/^npm test /)]))
  for (const suite of ['long', 'faults']) expect(ci).toContainEqual(expect.stringMatching(`^npm run test:${suite} `))
})

it('the map of the README names every file of src, and no other', () => {
  const text = README.slice(README.indexOf('\nsrc/\n'), README.indexOf('| folder | may import |'))
  const named = new Set(text.match(/[\w-]+\.c?ts\b/g))
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  const there = new Set(files.filter((file) => /\.c?ts$/.test(file)).map((file) => file.split('/').at(-1)))
  expect([...named].sort()).toEqual([...there].sort())
})

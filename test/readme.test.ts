import { spawn, spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, it, onTestFinished } from 'vitest'
import { temporaryFolder } from './support/folder.ts'

const ROOT = new URL('..', import.meta.url).pathname
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
  for (const name of ['package.json', 'src', 'migrations']) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}

/** `npm start` there, as the README says it. Gives what to put in the place of `localhost:8080`. */
async function npmStart(folder: string): Promise<string> {
  const port = await freePort()
  const npm = spawn('npm', ['start'], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  onTestFinished(() => {
    if (npm.exitCode === null) process.kill(-(npm.pid ?? 0), 'SIGTERM')
  })
  await new Promise<void>((resolve, reject) => {
    createInterface(npm.stdout).on('line', (line) => line.includes('listening on') && resolve())
    npm.once('close', () => reject(new Error('npm start has ended')))
  })
  return `localhost:${port}`
}

it('every command of the README does what the README shows', async () => {
  const folder = copy()
  const address = await npmStart(folder)
  let run = 0
  for (const { language, text } of blocks()) {
    const file = /^\/\/ (\S+)\n/.exec(text)?.[1]
    if (language === 'ts' && file) writeFileSync(join(folder, file), text)
    const all = language === 'console' ? commands(text) : []
    if (language === 'sh' && !text.startsWith('npm ci')) all.push({ command: text, output: '' })
    for (const { command, output } of all) {
      const done = spawnSync('bash', ['-c', command.replaceAll('localhost:8080', address)], {
        cwd: folder,
        encoding: 'utf8',
      })
      const shown = { command, status: done.status, stderr: done.stderr.replace(/^npm warn.*\n/gm, '') }
      expect(shown).toEqual({ command, status: 0, stderr: '' })
      // A block of sh stands without its output.
      if (language === 'console')
        expect({ command, output: timeless(done.stdout) }).toEqual({ command, output: timeless(output) })
      run += 1
    }
  }
  expect(run).toBeGreaterThan(15)
})

it('what the README sets up with is what a fresh machine is asked to do', () => {
  const setUps = blocks().filter(({ language, text }) => language === 'sh' && text.startsWith('npm ci'))
  expect(setUps.map(({ text }) => text)).toEqual(['npm ci && npm start\n', 'npm ci && npm test\n'])
  const ci = readFileSync(join(ROOT, '.ci/run'), 'utf8').split('\n')
  expect(ci).toEqual(expect.arrayContaining(['npm ci', expect.stringMatching(/^npm test /)]))
})

it('the map of the README names every file of src, and no other', () => {
  const text = README.slice(README.indexOf('\nsrc/\n'), README.indexOf('| folder | may import |'))
  const named = new Set(text.match(/[\w-]+\.ts/g))
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  const there = new Set(files.filter((file) => file.endsWith('.ts')).map((file) => file.split('/').at(-1)))
  expect([...named].sort()).toEqual([...there].sort())
})

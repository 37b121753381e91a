import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, it, onTestFinished } from 'vitest'

const LOG = new URL('../src/log.ts', import.meta.url).href

/** A process that writes `lines` lines to the log of `level` when it is told to, ends the log, and exits with 7. */
function logger(lines: number, level = 'info') {
  const script = `
import { once } from 'node:events'
import { openLog } from '${LOG}'
await once(process.stdin, 'data')
const { log, end } = openLog('${level}')
for (let line = 0; line < ${lines}; line += 1) log.info({ line, text: 'x'.repeat(100) }, 'a line')
await end()
process.exit(7)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

it('writes all lines before the process exits', async () => {
  const child = logger(5_000)
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (data: string) => {
    text += data
  })
  child.stdin.write('go\n')
  expect(await once(child, 'close')).toEqual([7, null])
  const lines = text.trimEnd().split('\n')
  expect(lines.map((line) => (JSON.parse(line) as { line: number }).line)).toEqual([...lines.keys()])
  expect(lines.length).toBe(5_000)
})

it.each([1, 3, 5_000])('lets the process exit though the reader of %d lines has gone away', async (lines) => {
  const child = logger(lines)
  child.stdout.destroy()
  await once(child.stdout, 'close')
  child.stdin.write('go\n')
  expect(await once(child, 'exit')).toEqual([7, null])
})

it('lets the process exit where nothing is logged', async () => {
  const child = logger(3, 'silent')
  child.stdin.write('go\n')
  expect(await once(child, 'exit')).toEqual([7, null])
})

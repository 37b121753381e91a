import { spawnSync } from 'node:child_process'
import { expect, it, vi } from 'vitest'
import { forkRunner } from '../src/sqlite/runner-process.ts'

const SOURCE = new URL('../src/sqlite/runner-process.ts', import.meta.url)

/** Forks a runner where there is no room for one, and when there is again, and tells what became of both. */
const SCRIPT = `
import { closeSync, openSync } from 'node:fs'
import { forkRunner } from '${SOURCE}'
const taken = []
if (process.argv[1] === 'take') try { for (;;) taken.push(openSync('/dev/null', 'r')) } catch {}
const runner = forkRunner({})
runner.say({ type: 'leave' })
for (const one of taken) closeSync(one)
console.log(JSON.stringify([runner.alive, await runner.next(), await runner.next(), await runner.gone]))
runner.kill()
`

const ENDED = { type: 'ended', code: null, signal: null }

function becomes(through: readonly string[], what: string): void {
  const [command = '', ...words] = [...through, process.execPath, '--input-type=module', '-e', SCRIPT, what]
  const { stdout, stderr, status } = spawnSync(command, words, { encoding: 'utf8' })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(JSON.parse(stdout)).toEqual([false, ENDED, ENDED, ENDED])
}

it('a runner that no file descriptor is left for is one that has ended', () => {
  becomes(['bash', '-c', 'ulimit -n 100 && exec "$@"', 'bash'], 'take')
})

it('a runner that is gone is not killed: its number may be that of another process by now', async () => {
  const runner = forkRunner({})
  runner.say({ type: 'leave' })
  expect(await runner.gone).toEqual({ type: 'ended', code: 0, signal: null })
  const kill = vi.spyOn(process, 'kill')
  runner.kill()
  expect(kill).not.toHaveBeenCalled()
  kill.mockRestore()
})

const NO_STRACE = spawnSync('strace', ['-e', 'trace=none', 'true']).status !== 0
const FAILING = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'inject=clone,fork,vfork:error=ENOMEM']

it.skipIf(NO_STRACE)(
  `a runner that no memory is left for is one that has ended${NO_STRACE ? ' (skipped: strace does not work here)' : ''}`,
  () => becomes(FAILING, 'leave'),
)

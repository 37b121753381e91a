import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'

/** Makes objects of which some survive, and asks as often as a busy process is asked; prints how large the space for new ones is. */
const SCRIPT = `
  import './src/memory.ts'
  import { growWhenBusy } from './src/busy.ts'
  import { getHeapSpaceStatistics } from 'node:v8'
  let kept = []
  const make = () => {
    for (let n = 0; n < 300_000; n += 1) {
      kept.push({ n, list: [n] })
      if (kept.length > 3_000) kept = []
    }
    return getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size / 1024 / 1024
  }
  const asked = growWhenBusy()
  const sizes = [make(), make()]
  for (let n = 0; n < 499; n += 1) asked()
  sizes.push(make())
  for (let times = 0; times < 12; times += 1) {
    for (let n = 0; n < 1_000; n += 1) asked()
    sizes.push(make())
  }
  console.log(JSON.stringify(sizes))
`

it('the space for new objects is small, grows when many ask within a second, and no further than to what is enough', () => {
  const cwd = join(import.meta.dirname, '..')
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT], { cwd, encoding: 'utf8' })
  const [first = 0, second, few, ...many] = JSON.parse(printed) as number[]
  expect([second, few]).toEqual([first, first])
  expect(many.at(-1)).toBeGreaterThan(first)
  expect(Math.max(...many)).toBeLessThanOrEqual(8)
})

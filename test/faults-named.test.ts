import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

/** The faults that are promised to be survived are numbered; a title begins with the numbers of those that it shows. */
const FAULTS = 40

it(`each of the ${FAULTS} faults has a test that names it`, () => {
  const files = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
  const tests = files.filter((file) => file.endsWith('.test.ts')).map((file) => join(import.meta.dirname, file))
  const titles = tests.flatMap((file) => [
    ...readFileSync(file, 'utf8').matchAll(/\bfault (\d+(?:, \d+)*):? ?|\[\s*'fault (\d+)/g),
  ])
  const named = new Set(titles.flatMap(([, many, one]) => (many ?? one ?? '').split(', ').map(Number)))
  const missing = Array.from({ length: FAULTS }, (_, place) => place + 1).filter((fault) => !named.has(fault))
  expect(missing).toEqual([])
})

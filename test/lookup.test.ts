import { expect, it } from 'vitest'
import type { Engine } from '../src/core/engine.ts'
import { type Life, openKnownRuns } from '../src/core/known.ts'
import { openLookup } from '../src/core/lookup.ts'
import type { Run } from '../src/core/migration.ts'
import { draftRun } from '../src/core/run.ts'

function lifeOf(id: string): Life {
  const request = { kind: 'migrate', target: null, from: null, atomic: false } as const
  const asked = { request, manner: 'earnest', actor: 'anonymous', requestId: 'r', waitMs: 0, begunAs: 'admin' } as const
  const run = draftRun({ ...asked, client: new AbortController().signal }, id, new Date())
  const stop = new AbortController()
  return { run, begunAs: 'admin', answered: 'at its end', accepted: true, stop, watchers: new Set(), statement: null }
}

it('a run that ends while the record is read is listed once, as what it has ended', async () => {
  const known = openKnownRuns()
  const [ending, living] = [lifeOf('1'), lifeOf('2')]
  for (const life of [ending, living]) known.add(life)
  const ended: Run = { ...ending.run, status: 'succeeded' }
  const runs = async () => {
    await new Promise(setImmediate)
    known.end(ending, ended)
    return [{ ...ended, status: 'interrupted' }]
  }
  const lookup = openLookup({ runs } as unknown as Engine, known)
  expect(await lookup.list(5, null)).toEqual({ runs: [living.run, ended], next: null })
})

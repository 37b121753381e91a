import { existsSync } from 'node:fs'
import { expect } from 'vitest'
import { contentOf, query, type Server } from '../../support/server.ts'
import type { Lane } from './lane.ts'
import { type Answer, type Model, plan, statusOf } from './model.ts'
import { checksumOf, rowsOf } from './scripts.ts'

/** Posts and gives what the model speaks of. */
export async function post(server: Server, path: string): Promise<Answer> {
  const { status, body } = await server.post(path)
  const run = (status === 200 ? body : body.run) as { steps: { id: number; status: string }[] } | undefined
  const steps = run?.steps.map((step) => ({ id: step.id, status: step.status })) ?? []
  return { status, code: body.code ?? null, steps }
}

/** The service, the tables and the record are what the model says. */
export async function verify(model: Model, lane: Lane): Promise<void> {
  const planned = plan(model, { kind: 'migrate', target: null, atomic: false })
  expect(await post(lane.server, '/migrate?dryRun=true')).toEqual('status' in planned ? planned : dry(planned))
  await showsSoon(lane.server, model)
  // Nothing is written before the first run.
  expect(existsSync(lane.database)).toBe(model.runs.length > 0)
  if (model.runs.length === 0) return
  const { rows, integrity } = contentOf(lane.database)
  expect(integrity).toBe('ok')
  expect(rows).toEqual({
    migrations: model.applied.map(({ recorded }, id) => ({ id, name: recorded.name, inserted_at: expect.any(String) })),
    ...Object.fromEntries(model.applied.map(({ ran }, id) => [`t${id}`, rowsOf(id, ran)])),
  })
  // A run whose server has died is recorded as what it is told as, at the latest by the next run.
  const died = expect.toSatisfy((status) => status === 'running' || status === 'interrupted')
  const recorded = model.runs.map(({ kind, status }) => ({ kind, status: status === 'running' ? died : status }))
  expect(query(lane.database, 'SELECT kind, status FROM migration_runs ORDER BY id')).toEqual(recorded)
  const told = model.runs.map(({ kind, status }) => ({ kind, status: status === 'running' ? 'interrupted' : status }))
  await soon(async () => {
    const { runs } = (await lane.server.get('/runs?limit=100')).body as { runs: Model['runs'] }
    expect(runs.map(({ kind, status }) => ({ kind, status }))).toEqual(told.toReversed())
  })
}

function dry(steps: readonly { readonly id: number }[]): Answer {
  return { status: 200, code: null, steps: steps.map(({ id }) => ({ id, status: 'not-run' })) }
}

async function showsSoon(server: Server, model: Model): Promise<void> {
  const { migrations, ...rest } = statusOf(model)
  const expected = {
    ...rest,
    running: null,
    problems: model.directory.length === 0 ? ['no-migrations'] : [],
    migrations: migrations.map(({ text, id, ...one }) => ({ ...one, id, checksum: text && checksumOf(id, text) })),
  }
  await soon(async () => expect(shown((await server.get('/migrations')).body)).toEqual(expected))
}

/** Tries `look` again until a second has gone by: so long may it take until a changed file, or the end of the dead, shows. */
async function soon(look: () => Promise<void>): Promise<void> {
  const end = performance.now() + 1_000
  for (;;) {
    const last = performance.now() > end
    try {
      return await look()
    } catch (error) {
      if (last) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function shown(body: Record<string, unknown>) {
  const all = body.migrations as Record<string, unknown>[]
  const problems = (body.problems as { code: string }[]).map(({ code }) => code)
  const migrations = all.map(({ id, state, kind, reversible, checksum }) => ({ id, state, kind, reversible, checksum }))
  return { ...body, problems, migrations }
}

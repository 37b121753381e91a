import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { StepReport } from '../../src/core/migration.ts'
import { folderWith, temporaryFolder } from '../support/folder.ts'
import { type Answer, contentOf, query, type Server, startServer } from '../support/server.ts'
import { NO_BACKUPS, numbered } from './support/files.ts'

const SERVERS = 8
const MIGRATIONS = 40

/** Eight servers on one file that is not there yet. */
function startAll(): Promise<Server[]> {
  const migrations = folderWith(numbered(MIGRATIONS))
  const database = join(temporaryFolder(), 'app.db')
  const env = { ...NO_BACKUPS, LOCK_TIMEOUT: '30' }
  return Promise.all(Array.from({ length: SERVERS }, () => startServer({ migrations, database, env })))
}

function stepsOf({ body }: Answer): readonly StepReport[] {
  return (body as unknown as { steps: readonly StepReport[] }).steps
}

it('fault 34: eight servers on one file that all post at once apply each of forty migrations once, and all answer 200', async () => {
  const servers = await startAll()
  const begun = performance.now()
  const answers = await Promise.all(servers.map((server) => server.post('/migrate?wait=60')))
  const took = performance.now() - begun
  const database = servers[0]?.database ?? ''
  expect(answers.map(({ status }) => status)).toEqual(servers.map(() => 200))
  for (const { body } of answers) expect(body).toMatchObject({ status: 'succeeded', to: MIGRATIONS - 1 })
  const ids = answers.flatMap(stepsOf).map(({ id }) => id)
  const all = Array.from({ length: MIGRATIONS }, (_, id) => id)
  expect(ids.toSorted((a, b) => a - b)).toEqual(all)
  expect(
    query(database, 'SELECT migration_id AS id, direction, outcome FROM migration_log ORDER BY migration_log.id'),
  ).toEqual(all.map((id) => ({ id, direction: 'up', outcome: 'done' })))
  expect(query(database, 'SELECT id FROM migrations ORDER BY id')).toEqual(all.map((id) => ({ id })))
  for (const id of all) expect(query(database, `SELECT x FROM t${id}`)).toEqual([{ x: id }])
  expect(contentOf(database).integrity).toBe('ok')
  console.log(`${SERVERS} servers, ${MIGRATIONS} migrations: all answered within ${took.toFixed(0)} ms`)
})

it('fault 34: while one of eight servers rolls back in steps to nothing the others migrate, one run after the other', async () => {
  const servers = await startAll()
  const [one, ...others] = servers as [Server, ...Server[]]
  expect((await one.post('/migrate')).status).toBe(200)
  const begun = performance.now()
  let back = true
  const rollingBack = async () => {
    const answers: Answer[] = []
    for (let target = MIGRATIONS - 5; target >= -1; target -= 4) {
      answers.push(await one.post(`/rollback?target=${target}&wait=60`))
    }
    back = false
    return answers
  }
  const migrating = async (server: Server) => {
    const answers: Answer[] = []
    while (back) answers.push(await server.post('/migrate?wait=60'))
    return answers
  }
  const answers = (await Promise.all([rollingBack(), ...others.map(migrating)])).flat()
  const took = performance.now() - begun
  expect(answers.filter(({ status }) => status !== 200)).toEqual([])

  const log = query(one.database, 'SELECT * FROM migration_log ORDER BY id') as LogRow[]
  const runs = contiguous(log)
  expect(new Set(runs.map(([row]) => row?.run_id)).size, 'a run whose rows others are between').toBe(runs.length)
  expect(log.filter(({ outcome }) => outcome !== 'done')).toEqual([])
  expect(replayed(log)).toEqual(query(one.database, 'SELECT id FROM migrations ORDER BY id'))
  // Each answer with steps is one run of the log, with the same steps.
  const told = answers.filter((answer) => stepsOf(answer).length > 0)
  expect(told.length).toBe(runs.length - 1)
  for (const answer of told) {
    const rows = runs.find(([row]) => row?.run_id === answer.body.id) ?? []
    expect(rows.map(({ migration_id }) => migration_id)).toEqual(stepsOf(answer).map(({ id }) => id))
  }
  const turns = runs.filter(([row]) => row?.direction === 'up').length
  expect(turns, 'the others have migrated in between').toBeGreaterThan(1)
  console.log(
    `${answers.length} posts to ${SERVERS} servers, ${runs.length} runs, ${log.length} steps: ${took.toFixed(0)} ms`,
  )
  expect((await one.post('/migrate')).body).toMatchObject({ status: 'succeeded', to: MIGRATIONS - 1 })
  expect(contentOf(one.database).integrity).toBe('ok')
})

interface LogRow {
  readonly run_id: string
  readonly migration_id: number
  readonly direction: 'up' | 'down'
  readonly outcome: string
}

/** The rows in groups of neighbours that are of one run. */
function contiguous(log: readonly LogRow[]): LogRow[][] {
  const groups: LogRow[][] = []
  for (const row of log) {
    const last = groups.at(-1)
    if (last?.[0]?.run_id === row.run_id) last.push(row)
    else groups.push([row])
  }
  return groups
}

/** The applied migrations as the log has them come and go; each step must fit what was there. */
function replayed(log: readonly LogRow[]): { id: number }[] {
  const applied: { id: number }[] = []
  for (const { migration_id: id, direction } of log) {
    expect(id, `${direction} ${id} after ${applied.length} were applied`).toBe(
      applied.length - (direction === 'up' ? 0 : 1),
    )
    if (direction === 'up') applied.push({ id })
    else applied.pop()
  }
  return applied
}

import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Conduct, Engine, EngineEvent, Order, Outcome } from '../src/core/engine.ts'
import { MigrationError } from '../src/core/errors.ts'
import type { Step } from '../src/core/migration.ts'
import { busy, ENDLESS } from './support/folder.ts'
import { until } from './support/server.ts'

/** A new database that does not exist yet, and a way to engines over it. */
export interface Place {
  /** Another engine over the same database, as another process would have. */
  readonly open: () => Engine
  /** An engine over a database that cannot be. */
  readonly openBroken: () => Engine
}

/** Every sentence of the port, asked of an engine. */
export function engineContract(name: string, newPlace: () => Place): void {
  describe(`the engine ${name}`, () => {
    it('has an empty history of a database that does not exist, and creates nothing by reading', async () => {
      const { open } = newPlace()
      const engine = open()
      for (const asked of [engine, engine, open()]) {
        expect(await asked.read('immediate')).toEqual({ applied: [], foreignTable: null })
        expect(await asked.running()).toBe(null)
        expect(await asked.keptDown(0)).toBe(null)
      }
    })

    it('gives the same history, the same object, until something has changed, whoever has changed it', async () => {
      const { open } = newPlace()
      const [engine, other] = [open(), open()]
      await run(engine, [up(0, 'CREATE TABLE a (x)')])
      const before = await engine.read('immediate')
      expect(await engine.read('immediate')).toBe(before)
      await run(other, [up(1, 'CREATE TABLE b (x)')])
      const after = await engine.read('immediate')
      expect(after.applied).toMatchObject([
        { id: 0, name: 'm0', checksum: 'sha256:0', appliedBy: 'ci' },
        {
          id: 1,
          name: 'm1',
          checksum: 'sha256:1',
          insertedAt: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
        },
      ])
      expect(after).toEqual(await other.read('immediate'))
    })

    it('executes the steps that are decided on the state of that moment, and tells each', async () => {
      const engine = newPlace().open()
      await run(engine, [up(0, 'CREATE TABLE a (x)')])
      const heard: EngineEvent[] = []
      const decided: unknown[] = []
      const outcome = await engine.execute(
        order(),
        ({ applied }) => {
          decided.push(applied.map(({ id }) => id))
          return [up(1, 'CREATE TABLE b (x)'), up(2, 'CREATE TABLE c (x)')]
        },
        conduct({ hear: (event) => heard.push(event) }),
      )
      expect(decided).toEqual([[0]])
      expect(outcome).toMatchObject({ from: 0, to: 2, error: null, steps: [{ status: 'done' }, { status: 'done' }] })
      expect(outcome.schemaChanges.created).toEqual(['table b', 'table c'])
      expect(
        heard.map((event) => (event.type === 'step' ? `${event.step.id} ${event.step.status}` : event.type)),
      ).toEqual(['claimed', 'begun', '1 running', 'statement', '1 done', '2 running', 'statement', '2 done'])
    })

    it('tells of statements: which step, the how-manieth, where it stands and how it begins, ten in a second at most', async () => {
      const engine = newPlace().open()
      const heard: EngineEvent[] = []
      const many = Array.from({ length: 500 }, (_, n) => `INSERT INTO a VALUES (${n});\n`).join('')
      const outcome = await engine.execute(
        order(),
        () => [up(0, 'CREATE TABLE a (x);'), up(1, `${many}CREATE TABLE ${'long'.repeat(80)} (x);`)],
        conduct({ hear: (event) => heard.push(event) }),
      )
      const told = heard.flatMap((event) => (event.type === 'statement' ? event.statement : []))
      expect(told[0]).toMatchObject({ id: 0, n: 1, line: 1, text: 'CREATE TABLE a (x);' })
      expect(told[1]).toMatchObject({ id: 1, n: 1, line: 1, text: 'INSERT INTO a VALUES (0);' })
      for (const { n, line, text, elapsedMs } of told.slice(1)) {
        expect(line).toBe(n)
        expect(text.length).toBeLessThanOrEqual(200)
        expect(Number.isInteger(elapsedMs)).toBe(true)
      }
      expect(told.length).toBeLessThanOrEqual(10 * Math.ceil((outcome.durationMs ?? 0) / 1000))
    })

    it('gives the schema without what only keeps the record, in an order in which an empty database takes it', async () => {
      const { open } = newPlace()
      const [engine, other] = [open(), newPlace().open()]
      expect(await engine.schema()).toEqual([])
      const [table, view] = ['CREATE TABLE b (x)', 'CREATE VIEW a AS SELECT x FROM b -- all']
      const trigger = 'CREATE TRIGGER a_b INSTEAD OF INSERT ON a BEGIN SELECT 1; END'
      await run(engine, [up(0, table), up(1, `${view}\n;${trigger}; CREATE INDEX z ON b (x)`)])
      const schema = await engine.schema()
      expect(schema).toEqual([`${table};`, 'CREATE INDEX z ON b (x);', `${view}\n;`, `${trigger};`])
      expect(await open().schema()).toEqual(schema)
      await run(other, [up(0, schema.join('\n'))])
      expect(await other.schema()).toEqual(schema)
    })

    it('commits each step with its record: of a failing run the steps before stay, and the failing one has not happened', async () => {
      const engine = newPlace().open()
      const bad = up(1, 'CREATE TABLE b (x); INSERT INTO nowhere VALUES (1)')
      const outcome = await run(engine, [up(0, 'CREATE TABLE a (x)'), bad, up(2, 'CREATE TABLE c (x)')])
      expect(outcome.error).toMatchObject({ code: 'migration-failed' })
      expect(outcome.steps.map(({ status }) => status)).toEqual(['done', 'failed', 'not-run'])
      expect((await engine.read('immediate')).applied.map(({ id }) => id)).toEqual([0])
      expect(await run(engine, [up(1, 'CREATE TABLE b (x)')])).toMatchObject({ error: null, to: 1 })
    })

    it('executes all steps or none when that is asked', async () => {
      const engine = newPlace().open()
      const steps = [up(0, 'CREATE TABLE a (x)'), up(1, 'nonsense')]
      const outcome = await run(engine, steps, { atomic: true })
      expect(outcome).toMatchObject({ from: null, to: null, error: { code: 'migration-failed' } })
      expect(outcome.steps.map(({ status }) => status)).toEqual(['not-run', 'failed'])
      expect((await engine.read('immediate')).applied).toEqual([])
      expect(await run(engine, [up(0, 'CREATE TABLE a (x)')])).toMatchObject({ error: null })
    })

    it('undoes a step by its source, or by the down SQL that it keeps', async () => {
      const engine = newPlace().open()
      await run(engine, [up(0, 'CREATE TABLE a (x)'), { ...up(1, 'CREATE TABLE b (x)'), keep: 'DROP TABLE b' }])
      expect(await engine.keptDown(1)).toBe('DROP TABLE b')
      expect(await engine.keptDown(0)).toBe(null)
      expect(await run(engine, [{ ...down(1), source: null }, down(0, 'DROP TABLE a')])).toMatchObject({
        error: null,
        from: 1,
        to: null,
        schemaChanges: { dropped: ['table a', 'table b'] },
      })
      expect((await engine.read('immediate')).applied).toEqual([])
    })

    it('writes nothing where there is nothing to do', async () => {
      const engine = newPlace().open()
      const nothing = { steps: [], error: null, startedAt: null, finishedAt: null }
      expect(await run(engine, [])).toMatchObject({ ...nothing, from: null, to: null })
      await run(engine, [up(0, 'CREATE TABLE a (x)')])
      const before = await engine.read('immediate')
      expect(await run(engine, [])).toMatchObject({ ...nothing, from: 0, to: 0 })
      expect(await engine.read('immediate')).toBe(before)
    })

    it('ends with what the decision throws, and is free again', async () => {
      const engine = newPlace().open()
      const refusal = new MigrationError('no-rollback', 'there is none')
      const decide = () => {
        throw refusal
      }
      await expect(engine.execute(order(), decide, conduct())).rejects.toBe(refusal)
      expect(await run(engine, [up(0, 'CREATE TABLE a (x)')])).toMatchObject({ error: null })
    })

    it('names the run that holds the database, to every other engine, and answers reads meanwhile', async () => {
      const { open } = newPlace()
      const [engine, other] = [open(), open()]
      await run(engine, [up(0, 'CREATE TABLE a (x)')])
      const asked = order()
      const stop = new AbortController()
      const executed = engine.execute(asked, () => [up(1, ENDLESS)], conduct({ stop: stop.signal }))
      let running = await other.running()
      await until(async () => {
        running = await other.running()
        return running !== null && running !== 'unknown'
      })
      expect(running).toEqual({
        id: asked.id,
        kind: 'migrate',
        actor: 'ci',
        startedAt: expect.stringMatching(/Z$/),
      })
      expect((await other.read('immediate')).applied.map(({ id }) => id)).toEqual([0])
      expect(await other.recover()).toBe(false)
      stop.abort(new MigrationError('cancelled', 'nobody wants it'))
      await executed
      await until(async () => (await other.running()) === null)
      expect(await other.recover()).toBe(true)
    })

    it('refuses a second run while one holds the database, and lets it wait as long as it may', async () => {
      const { open } = newPlace()
      const [engine, other] = [open(), open()]
      let begun = () => {}
      const isBegun = new Promise<void>((resolve) => {
        begun = resolve
      })
      const first = engine.execute(
        order(),
        () => [up(0, busy(10))],
        conduct({ hear: ({ type }) => type === 'begun' && begun() }),
      )
      await isBegun
      await expect(run(other, [up(0, 'SELECT 1')], { waitMs: 0 })).rejects.toMatchObject({ code: 'change-in-progress' })
      const seen: number[][] = []
      const second = await other.execute(
        order({ waitMs: 30_000 }),
        ({ applied }) => {
          seen.push(applied.map(({ id }) => id))
          return []
        },
        conduct(),
      )
      expect(seen).toEqual([[0]])
      expect(second).toMatchObject({ steps: [], from: 0 })
      expect(await first).toMatchObject({ error: null })
    })

    it('is given up before it has begun, with the reason of the stop', async () => {
      const engine = newPlace().open()
      const reason = new MigrationError('cancelled', 'nobody wants it')
      const stop = AbortSignal.abort(reason)
      await expect(engine.execute(order(), () => [up(0, 'SELECT 1')], conduct({ stop }))).rejects.toBe(reason)
      expect((await engine.read('immediate')).applied).toEqual([])
    })

    it('is killed and rolled back after it has begun; the steps before stay', async () => {
      const engine = newPlace().open()
      const stop = new AbortController()
      const hear = (event: EngineEvent) => {
        if (event.type === 'step' && event.step.id === 1) stop.abort(new MigrationError('cancelled', 'nobody wants it'))
      }
      const steps = [up(0, 'CREATE TABLE a (x)'), up(1, ENDLESS), up(2, 'CREATE TABLE c (x)')]
      const outcome = await engine.execute(order(), () => steps, conduct({ stop: stop.signal, hear }))
      expect(outcome.error).toMatchObject({ code: 'cancelled' })
      expect(outcome.steps.map(({ status }) => status)).toEqual(['done', 'failed', 'not-run'])
      expect((await engine.read('immediate')).applied.map(({ id }) => id)).toEqual([0])
      expect(await run(engine, [up(1, 'CREATE TABLE b (x)')])).toMatchObject({ error: null, from: 0, to: 1 })
    })

    it('records the steps of a baseline and of a repair without running them, all or none', async () => {
      const engine = newPlace().open()
      const known = [up(0, ''), up(1, '')].map((step) => ({ ...step, source: null, keep: 'DROP TABLE b' }))
      const baseline = await engine.execute(order({ kind: 'baseline' }), () => known, conduct())
      expect(baseline).toMatchObject({ error: null, from: null, to: 1, schemaChanges: { created: [] } })
      expect(baseline.steps.map(({ status }) => status)).toEqual(['recorded', 'recorded'])
      // It has no rollback of its own any more, and keeps the one that was kept.
      const renamed = [{ ...up(1, ''), source: null, name: 'other', checksum: 'sha256:other' }]
      expect(await engine.execute(order({ kind: 'repair' }), () => renamed, conduct())).toMatchObject({
        error: null,
        to: 1,
      })
      expect((await engine.read('immediate')).applied).toMatchObject([
        { id: 0, name: 'm0', checksum: 'sha256:0', keptDown: true },
        { id: 1, name: 'other', checksum: 'sha256:other', keptDown: true },
      ])
      const missing = [up(0, ''), up(5, '')].map((step) => ({ ...step, source: null, name: 'x' }))
      const refused = await engine.execute(order({ kind: 'repair' }), () => missing, conduct())
      expect(refused.error).toMatchObject({ code: 'history-moved' })
      expect((await engine.read('immediate')).applied.map(({ name }) => name)).toEqual(['m0', 'other'])
    })

    it('remembers the runs that had steps, for every other engine too', async () => {
      const { open } = newPlace()
      const [engine, other] = [open(), open()]
      expect(await other.runs(10, null)).toEqual([])
      const asked = order({ kind: 'migrate', parameters: { target: 0 } })
      const outcome = await engine.execute(asked, () => [up(0, 'CREATE TABLE a (x)')], conduct())
      await run(engine, [])
      const { kind, actor, requestId, createdAt, id } = asked
      const [told] = await other.runs(10, null)
      expect(told).toMatchObject({ id, kind, actor, requestId, createdAt, status: 'succeeded', from: null, to: 0 })
      expect(told?.steps).toEqual(outcome.steps)
      expect(await other.run(id)).toEqual(told)
      expect(await other.runs(10, id)).toEqual([])
      expect(await other.run(randomUUID())).toBe(null)
      expect(await other.recover()).toBe(true)
      expect(await other.runs(10, null)).toEqual([told])
    })

    it('rehearses with a copy, of which nothing is left', async () => {
      const engine = newPlace().open()
      await run(engine, [up(0, 'CREATE TABLE a (x); INSERT INTO a VALUES (1)')])
      const before = await engine.read('immediate')
      for (let times = 0; times < 2; times += 1) {
        const steps = [up(1, 'CREATE TABLE b (x); INSERT INTO b VALUES (1), (2); DELETE FROM a')]
        const outcome = await engine.rehearse(order(), () => steps, conduct())
        expect(outcome).toMatchObject({
          error: null,
          from: 0,
          to: 1,
          backup: null,
          schemaChanges: { created: ['table b'] },
        })
        expect(outcome.rowCounts).toEqual([
          { table: 'a', before: 1, after: 0 },
          { table: 'b', before: null, after: 2 },
        ])
        expect(await engine.read('immediate')).toBe(before)
      }
      expect(await engine.runs(10, null)).toHaveLength(1)
    })

    it('backs up before the first step, and restores whole', async () => {
      const { open } = newPlace()
      const [engine, other] = [open(), open()]
      await run(engine, [up(0, 'CREATE TABLE a (x)')])
      const { backup } = await run(engine, [up(1, 'CREATE TABLE b (x)')])
      expect(await other.backups()).toMatchObject([{ name: backup, current: 0 }])
      await other.checkBackup(backup ?? '')
      await expect(other.checkBackup('no.db')).rejects.toMatchObject({ code: 'not-found' })
      const agreed: unknown[] = []
      const agree = ({ applied }: { applied: readonly unknown[] }) => void agreed.push(applied.length)
      const outcome = await other.restore(order({ kind: 'restore' }), backup ?? '', agree, conduct())
      expect(agreed).toEqual([2])
      expect(outcome).toMatchObject({ error: null, from: 1, to: 0, schemaChanges: { dropped: ['table b'] } })
      expect((await engine.read('immediate')).applied.map(({ id }) => id)).toEqual([0])
      expect(await engine.runs(10, null)).toHaveLength(3)
      await expect(engine.restore(order({ kind: 'restore' }), 'no.db', () => {}, conduct())).rejects.toMatchObject({
        code: 'not-found',
      })
      expect(await run(engine, [up(1, 'CREATE TABLE b (x)')])).toMatchObject({ error: null, to: 1 })
    })

    it('can say whether its database could be read and written', async () => {
      const { open, openBroken } = newPlace()
      await open().check()
      await expect(openBroken().check()).rejects.toMatchObject({ code: 'database-unavailable' })
      await expect(run(openBroken(), [up(0, 'SELECT 1')])).rejects.toMatchObject({ code: 'database-unavailable' })
    })

    it('leaves nothing behind when it is closed: another one goes on', async () => {
      const { open } = newPlace()
      const engine = open()
      await run(engine, [up(0, 'CREATE TABLE a (x)')])
      await engine.close()
      const next = open()
      expect(await run(next, [up(1, 'CREATE TABLE b (x)')])).toMatchObject({ from: 0, to: 1 })
      await next.close()
    })
  })
}

function order(other: Partial<Order> = {}): Order {
  const id = randomUUID()
  const createdAt = new Date().toISOString()
  return {
    id,
    kind: 'migrate',
    parameters: {},
    atomic: false,
    actor: 'ci',
    requestId: id,
    createdAt,
    waitMs: 0,
    ...other,
  }
}

function conduct(other: Partial<Conduct> = {}): Conduct {
  return { hear: () => {}, stop: new AbortController().signal, ...other }
}

function run(engine: Engine, steps: readonly Step[], other: Partial<Order> = {}): Promise<Outcome> {
  const kind = steps[0]?.direction === 'down' ? 'rollback' : 'migrate'
  return engine.execute(order({ kind, ...other }), () => steps, conduct())
}

function up(id: number, text: string): Step {
  const source = { kind: 'sql', file: `${id}_m${id}.up.sql`, text } as const
  return { id, name: `m${id}`, direction: 'up', source, checksum: `sha256:${id}`, keep: null }
}

function down(id: number, text = ''): Step {
  const source = { kind: 'sql', file: `${id}_undo.down.sql`, text } as const
  return { id, name: 'undo', direction: 'down', source, checksum: null, keep: null }
}

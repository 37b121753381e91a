import fc from 'fast-check'
import { expect } from 'vitest'
import { type Command, command, count, MOST, pathOf } from './command.ts'
import { killAtRest, killInRun, restart } from './kills.ts'
import { lay } from './lane.ts'
import { changedIn, execute, type Migration, type Model, plan, type Request } from './model.ts'
import { post } from './verify.ts'

/** A command that changes files: the model's, then those of the directory. */
function filing(text: string, check: (model: Readonly<Model>) => boolean, change: (model: Model) => void): Command {
  return command(text, check, (model, lane) => {
    change(model)
    lay(lane, model)
  })
}

const add = (files: Migration) =>
  filing(
    `add ${JSON.stringify(files)}`,
    ({ directory }) => directory.length < MOST,
    ({ directory, removed }) => {
      directory.push(files)
      removed.length = 0
    },
  )

/** `pick` is one of those that there are. */
const edit = (pick: number, { name: _, ...text }: Migration) =>
  filing(`edit ~${pick} ${JSON.stringify(text)}`, isFilled, ({ directory }) => {
    const place = pick % directory.length
    const files = directory[place]
    if (files) directory[place] = { ...files, ...text }
  })

/** A changed migration becomes again what is recorded of it. */
const mend = (pick: number) =>
  filing(
    `mend ~${pick}`,
    (model) => changedIn(model).length > 0,
    (model) => {
      const changed = changedIn(model)
      const place = changed[pick % changed.length] ?? 0
      const [files, was] = [model.directory[place], model.applied[place]]
      if (files && was) model.directory[place] = { ...files, up: was.recorded.up, edition: was.recorded.edition }
    },
  )

const remove = () =>
  filing('remove', isFilled, ({ directory, removed }) => void removed.push(...directory.splice(directory.length - 1)))

const putBack = () =>
  filing(
    'put-back',
    ({ removed }) => removed.length > 0,
    ({ directory, removed }) => void directory.push(...removed.splice(removed.length - 1)),
  )

const change = (request: Request) =>
  command(
    pathOf(request),
    () => true,
    async (model, lane) => {
      const steps = plan(model, request)
      const expected = 'status' in steps ? steps : execute(model, request, steps, 'runner')
      expect(await post(lane.server, pathOf(request))).toEqual(expected)
      count(`${request.kind}: ${expected.code ?? (expected.steps.length > 0 ? 'done' : 'nothing to do')}`)
    },
  )

const swap = () =>
  command(
    'other-server',
    () => true,
    (_, lane) => lane.swap(),
  )

function isFilled({ directory }: Readonly<Model>): boolean {
  return directory.length > 0
}

const edition = fc.nat(2)
const up = fc.constantFrom('good', 'good', 'good', 'good', 'good', 'bad' as const)
const down = fc.constantFrom('good', 'good', 'good', 'good', 'bad', null)
const files = fc.record({ name: fc.constantFrom('cats', 'dogs'), edition, up, down }) as fc.Arbitrary<Migration>
const place = fc.nat(MOST - 1)
const atomic = fc.constantFrom(false, false, false, true)
const low = fc.oneof(fc.nat(2), place)
const upTo = fc.option(low, { freq: 2 })
const downTo = fc.option(fc.oneof(fc.constant(-1), low), { freq: 1 })
const migrate = fc.record({ kind: fc.constant('migrate' as const), target: upTo, atomic })
const migrateAll = fc.constant({ kind: 'migrate' as const, target: null, atomic: false })
const rollback = fc.record({
  kind: fc.constant('rollback' as const),
  target: downTo,
  steps: fc.integer({ min: 1, max: 4 }),
  atomic,
})
const killed = fc.constantFrom('runner' as const, 'server' as const)
const hanging = fc.oneof(migrateAll, rollback)

/** Any command, each as often as it takes to come upon the rarer states. */
export const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 20, arbitrary: files.map(add) },
  { weight: 14, arbitrary: fc.tuple(place, files).map(([at, text]) => edit(at, text)) },
  { weight: 6, arbitrary: place.map(mend) },
  { weight: 6, arbitrary: fc.constant(null).map(remove) },
  { weight: 6, arbitrary: fc.constant(null).map(putBack) },
  { weight: 16, arbitrary: migrate.map(change) },
  { weight: 14, arbitrary: rollback.map(change) },
  { weight: 6, arbitrary: fc.constant({ kind: 'repair', target: null, atomic: true } as const).map(change) },
  { weight: 8, arbitrary: fc.tuple(killed, hanging).map(([victim, request]) => killInRun(victim, request)) },
  { weight: 1, arbitrary: fc.constant(null).map(killAtRest) },
  { weight: 1, arbitrary: fc.constant(null).map(restart) },
  { weight: 6, arbitrary: fc.constant(null).map(swap) },
)

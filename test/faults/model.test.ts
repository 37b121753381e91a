import fc from 'fast-check'
import { expect, it } from 'vitest'
import { counts } from './model/command.ts'
import { anyCommand } from './model/commands.ts'
import { type Lane, lay, openLane } from './model/lane.ts'
import { firstModel } from './model/model.ts'
import { givenSeed } from './support/seed.ts'

const RUNS = Number(process.env.FC_RUNS ?? 320)
const { seed, path } = givenSeed()
/** What takes turns waits for a process most of the time, so two go side by side. A replay is one of them. */
const LANES = path === undefined ? [0, 1] : [0]

it.concurrent.each(LANES)(
  'fault 40: any order of edits, changes, kills and restarts leaves what a pure model says (lane %i)',
  async (lane) => {
    const own = seed + lane
    console.log(`FC_SEED=${own}${lane === 0 ? '' : ` (or lane 0 of it)`}`)
    const ends: (() => void)[] = []
    try {
      const real = await openLane((end) => ends.push(end))
      const commands = fc.commands([anyCommand], { maxCommands: 30, size: 'max', ...replay() })
      const property = fc.asyncProperty(commands, (all) => run(real, all))
      await fc.assert(property, { seed: own, numRuns: Math.ceil(RUNS / 2), ...(path !== undefined && { path }) })
    } finally {
      for (const end of ends) end()
    }
    console.log(JSON.stringify(counts))
    if (path === undefined) expect(Object.keys(counts).length).toBeGreaterThan(20)
  },
)

async function run(
  real: Lane,
  commands: Parameters<
    typeof fc.asyncModelRun<ReturnType<typeof firstModel>, Lane, false, ReturnType<typeof firstModel>>
  >[1],
): Promise<void> {
  try {
    await real.empty()
    lay(real, firstModel())
    await fc.asyncModelRun(() => ({ model: firstModel(), real }), commands)
  } catch (error) {
    await real.renew()
    throw error
  }
}

function replay(): { replayPath?: string } {
  const { FC_REPLAY } = process.env
  return FC_REPLAY === undefined ? {} : { replayPath: FC_REPLAY }
}

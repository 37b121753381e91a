import { expect, it } from 'vitest'
import { childrenOf, isAlive, query, type Server, startServer } from '../support/server.ts'
import { NO_BACKUPS, numbered } from './support/files.ts'
import { Client, kill, onlyChild, random, Tally } from './support/kills.ts'
import { LAST, World } from './support/world.ts'

/** Set KILLS_SEED to the one that was printed to have the same choices again; the moments are the machine's. */
const SEED = Number(process.env.KILLS_SEED ?? Math.floor(Math.random() * 2 ** 31))
const KILLS = Number(process.env.KILLS ?? 520)
/** The others are of servers, which take longer to begin again. */
const OF_RUNNERS = 0.75
/** Within this time after a run the one before it has ended and the next is there, in any state of its beginning. */
const SPARE_MS = 150

it(`fault 21, 24: runners and servers killed at random moments under load leave every migration whole or absent, and are told truly (KILLS_SEED=${SEED})`, async () => {
  const begun = performance.now()
  const tally = new Tally()
  const [ofRunners, ofServers] = [new World(), new World()]
  // Two at the same time, for two processors.
  const killRunners = async (world: World) => {
    const client = await join(world, tally, SEED)
    while (tally.runners < KILLS * OF_RUNNERS) {
      await client.runnerKilled()
      await client.runnerKilled()
      await client.undisturbed()
    }
  }
  const killServers = async (world: World) => {
    const client = await join(world, tally, SEED + 1)
    while (tally.servers < KILLS * (1 - OF_RUNNERS)) {
      await client.serverKilled()
      await client.undisturbed()
    }
  }
  await Promise.all([watched(ofRunners, killRunners), watched(ofServers, killServers)])
  const { runners, servers, atWork, inMiddle, unheard, corrupt, halfApplied, lost, untrue } = tally
  const rows = ofRunners.visits + ofServers.visits
  const seconds = ((performance.now() - begun) / 1000).toFixed(0)
  console.log(
    `${runners} kills of runners, ${servers} of servers in ${seconds} s, ${rows} rows of an application, KILLS_SEED=${SEED}: ${atWork} hit one at work, ${inMiddle} a run in its middle, ${unheard} had committed what the server had not heard; ${corrupt.length} corrupt, ${halfApplied.length} half applied, ${lost.length} acknowledged and lost, ${untrue.length} told wrongly`,
  )
  expect({ corrupt, halfApplied, lost, untrue }).toEqual({ corrupt: [], halfApplied: [], lost: [], untrue: [] })
  expect(runners + servers).toBeGreaterThanOrEqual(KILLS)
  expect(atWork, 'most kills hit something').toBeGreaterThan((runners + servers) / 2)
  expect(inMiddle, 'kills that left something undone').toBeGreaterThan((runners + servers) / 5)
})

it('a runner that is killed while it waits for work fails nobody: the post that comes at once is answered with 200', async () => {
  const server = await startServer({ files: numbered(1), env: NO_BACKUPS })
  const failed: string[] = []
  let rounds = 0
  let applied = false
  const next = random(SEED)
  while (rounds < 100) {
    await new Promise((resolve) => setTimeout(resolve, next() * SPARE_MS))
    rounds += kill(await onlyChild(server))
    const answer = await server.post(applied ? '/rollback?target=-1' : '/migrate')
    if (answer.status === 200) applied = !applied
    else failed.push(answer.text)
  }
  console.log(`${rounds} kills of runners that waited, ${failed.length} posts failed by it`)
  expect(failed.length, failed[0] ?? '').toBe(0)
})

async function join(world: World, tally: Tally, seed: number): Promise<Client> {
  await world.begin()
  return new Client(world, tally, random(seed))
}

/** Does `act` while a dashboard asks how it stands; at the end nothing and nobody may be left over. */
async function watched(world: World, act: (world: World) => Promise<void>): Promise<void> {
  let ended = false
  const dashboard = async () => {
    const told = new Set<Server>()
    const refused: string[] = []
    while (!ended) {
      await new Promise((resolve) => setTimeout(resolve, 25))
      const { server } = world
      // Between two servers nobody listens.
      const answer = await server?.get('/migrations').catch(() => null)
      if (!server || !answer) continue
      if (answer.status === 200) {
        expect(Number(answer.body.current ?? -1)).toBeLessThanOrEqual(LAST)
        told.add(server)
        // A new server knows nothing that it could tell while the application has the file for itself for a moment.
      } else if (told.has(server) || answer.body.code !== 'database-locked') refused.push(answer.text)
    }
    return { told, refused }
  }
  const acting = act(world).finally(() => {
    ended = true
  })
  const [{ told, refused }] = await Promise.all([dashboard(), acting])
  expect(told.size).toBeGreaterThan(0)
  expect(refused, 'answers to the dashboard other than 200').toEqual([])
  expect(query(world.database, `SELECT 1 FROM migration_runs WHERE status = 'running'`)).toEqual([])
  const family = childrenOf(world.server.process.pid ?? 0)
  await world.end()
  expect(family.filter(isAlive)).toEqual([])
}

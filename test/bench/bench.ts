// What schemad costs, beside what others cost that do the same. Prints a table in Markdown.
//
//     npm run bench                      all of it, some twenty minutes
//     npm run bench -- --quick           less of everything, within two minutes
//     npm run bench -- --only "roll back"   the rows whose names have these words
//     npm run bench -- --growth          how it grows with migrations, database and connections
//
// For Linux: it reads /proc. A wrong outcome of anybody ends it.
import { parseArgs } from 'node:util'
import { growth } from './growth.ts'
import { describeMachine } from './machine.ts'
import { installPeers } from './peers.ts'
import { removeAll } from './places.ts'
import { endAll } from './processes.ts'
import { ROWS } from './rows.ts'
import { FULL, QUICK } from './scale.ts'
import { type Line, table } from './table.ts'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, growth: { type: 'boolean' }, only: { type: 'string' } },
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void endAll())
try {
  await main()
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  await endAll()
  removeAll()
}

async function main(): Promise<void> {
  await installPeers()
  console.log(`${await describeMachine()}\n`)
  const scale = values.quick ? QUICK : FULL
  if (values.growth) return await growth(scale)
  const lines: Line[] = []
  for (const { name, lines: measure } of ROWS) {
    if (!name.includes(values.only ?? '')) continue
    const began = performance.now()
    lines.push(...(await measure(scale)))
    // The table is for whoever pastes it; this is for whoever waits.
    console.error(`${name}: ${((performance.now() - began) / 1000).toFixed(1)} s`)
  }
  if (lines.length === 0)
    throw new Error(`no row has ${values.only} in its name: ${ROWS.map(({ name }) => name).join(', ')}`)
  console.log(`\nThe least / the median.\n\n${table(lines)}`)
}

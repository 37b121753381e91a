// Writes openapi/openapi.json from the routes' schemas, and the README's table of problems: `npm run openapi`.
import { readFileSync, writeFileSync } from 'node:fs'
import { pino } from 'pino'
import { packageVersion } from '../src/config.ts'
import type { Engine } from '../src/core/engine.ts'
import type { Runs } from '../src/core/runs.ts'
import { buildApp } from '../src/http/app.ts'
import { openMetrics } from '../src/http/metrics.ts'
import { openJudges } from '../src/http/validation.ts'
import { withProblems } from './support/readme-problems.ts'

const nobody = new Proxy({}, { get: () => () => Promise.reject(new Error('nothing is asked here')) })
const app = await buildApp({
  engine: nobody as Engine,
  runs: nobody as Runs,
  status: () => Promise.reject(new Error('nothing is asked here')),
  recent: () => Promise.reject(new Error('nothing is asked here')),
  tokens: { inForce: false, identify: () => null },
  allowedHosts: [],
  corsOrigins: [],
  closing: () => false,
  newId: () => '0',
  version: packageVersion(),
  metrics: openMetrics(packageVersion()),
  judges: openJudges(),
  startFailure: () => null,
  log: pino({ level: 'silent' }),
})
writeFileSync(
  new URL('../openapi/openapi.json', import.meta.url),
  `${JSON.stringify((await app.inject('/openapi.json')).json(), null, 2)}\n`,
)
await app.close()
const readme = new URL('../README.md', import.meta.url)
writeFileSync(readme, withProblems(readFileSync(readme, 'utf8')))

import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { CurrentStatus } from '../core/current-status.ts'
import type { Run } from '../core/migration.ts'
import type { RunEvent } from '../core/runs.ts'
import { answer } from './answer.ts'
import type { Meters } from './meters.ts'
import { OPEN_REFUSALS, problems } from './refusals.ts'

/** What is counted, from the first moment on, also before the meters are there. */
export interface Metrics extends Pick<Meters, 'hear' | 'observe'> {
  /** Loads the meters, unless they are there. */
  open(): Promise<Meters>
}

/** So much may wait for the meters before they are loaded for it. */
const MOST_WAITING = 100

export function openMetrics(version: string): Metrics {
  const waiting: ((meters: Meters) => void)[] = []
  let meters: Meters | null = null
  let opened: Promise<Meters> | null = null

  async function load(): Promise<Meters> {
    meters = (await import('./meters.ts')).openMeters(version)
    for (const count of waiting.splice(0)) count(meters)
    return meters
  }

  function open(): Promise<Meters> {
    opened ??= load().catch((error: unknown) => {
      opened = null
      throw error
    })
    return opened
  }

  function count(act: (meters: Meters) => void): void {
    if (meters !== null) act(meters)
    else if (waiting.push(act) >= MOST_WAITING) open().catch(() => {})
  }

  return {
    open,
    hear: (event: RunEvent) => count((them) => them.hear(event)),
    observe: (method, route, status, seconds) => count((them) => them.observe(method, route, status, seconds)),
  }
}

const schema = {
  operationId: 'listMetrics',
  summary: 'What is counted and measured, for Prometheus',
  tags: ['probes'],
  querystring: Type.Object({}, { additionalProperties: false }),
  response: {
    200: answer('The text format of Prometheus', { 'text/plain': [Type.String(), 'metrics'] }),
    ...problems(...OPEN_REFUSALS, 'unauthorized'),
  },
}

/** How many runs are looked through for the last success of each kind. */
const REMEMBERED = 100

/** `GET /metrics`. */
export function metricsRoutes(
  app: FastifyInstance,
  options: {
    readonly metrics: Metrics
    readonly status: () => Promise<CurrentStatus>
    readonly runs: { list(limit: number, before: string | null): Promise<{ runs: readonly Run[] }> }
  },
): void {
  const { metrics, status, runs } = options
  let remembered = false
  app.get('/metrics', { schema, config: { scraped: true } }, async (_, reply) => {
    const meters = await metrics.open()
    const now = await status().catch(() => null)
    meters.stand(now)
    const before = remembered || now === null || now.stale ? null : await runs.list(REMEMBERED, null).catch(() => null)
    if (before !== null) meters.remember(before.runs)
    remembered ||= before !== null
    const { type, text } = await meters.read()
    return reply.type(type).send(text)
  })
}

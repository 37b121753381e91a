// The client of Prometheus, which is loaded a moment after the start: nobody asks for it before.
import { setTimeout as wait } from 'node:timers/promises'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { CurrentStatus } from '../core/current-status.ts'
import { RUN_KINDS, type Run } from '../core/migration.ts'
import type { RunEvent } from '../core/runs.ts'

/** What is counted, for Prometheus. Durations are in seconds, times in seconds since 1970. */
export interface Meters {
  /** All that is counted and measured, in Prometheus' text format, and the media type of that. */
  read(): Promise<{ readonly type: string; readonly text: string }>
  /** Counts what happens to runs; a rehearsal changes nothing and is not counted. */
  hear(event: RunEvent): void
  /** How long a request took; `status` is `499` where the client left before the answer. */
  observe(method: string, route: string, status: number, seconds: number): void
  /** `null`: the database could never be read. */
  stand(status: CurrentStatus | null): void
  /** Runs of before the process began. */
  remember(runs: readonly Run[]): void
}

/** Gauges of the client's own with names of counters, which Prometheus' linter refuses; each is there by type as well. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total']

/**
 * How long the delay of the event loop has been measured before it is told, in milliseconds: some five times. It is told from
 * the last time on. Measuring it wakes the process a hundred times a second, so that it begins with the first who asks.
 */
const LEAST_MS = 50

const REQUEST_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 120]
const RUN_SECONDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 120, 600, 3600]
const ENDS = ['succeeded', 'failed', 'cancelled', 'timed-out', 'interrupted'] as const

export function openMeters(version: string): Meters {
  const registry = new Registry()
  const registers = [registry]
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers })
  const schemaVersion = gauge('schemad_schema_version', 'The highest applied id; -1 where nothing is applied')
  const pending = gauge('schemad_migrations_pending', 'Migrations that are not applied')
  const inProgress = gauge('schemad_change_in_progress', '1 while a run holds the database, of whichever server')
  const readable = gauge(
    'schemad_database_readable',
    '1 while the database can be read; else what it said last is told',
  )
  const runs = new Counter({
    name: 'schemad_runs_total',
    help: 'Runs of this process that had steps to do, by how they ended',
    labelNames: ['kind', 'status'],
    registers,
  })
  const histogram = <T extends string>(name: string, help: string, labelNames: readonly T[], buckets: number[]) =>
    new Histogram({ name, help, labelNames, buckets, registers })
  const runSeconds = histogram('schemad_run_duration_seconds', 'How long runs took', ['kind'], RUN_SECONDS)
  const stepSeconds = histogram('schemad_step_duration_seconds', 'How long steps took', ['direction'], RUN_SECONDS)
  const requestSeconds = histogram(
    'schemad_http_request_duration_seconds',
    'How long requests took, by the pattern of their route',
    ['method', 'route', 'status'],
    REQUEST_SECONDS,
  )
  const lastSuccess = new Gauge({
    name: 'schemad_last_success_timestamp_seconds',
    help: 'When the last run ended that succeeded and had steps to do',
    labelNames: ['kind'],
    registers,
  })
  const build = new Gauge({
    name: 'schemad_build_info',
    help: 'Always 1, with the versions of what runs',
    labelNames: ['version', 'node'],
    registers,
  })
  build.set({ version, node: process.versions.node }, 1)
  // A counter that begins with its first failure has no increase that an alert could see.
  for (const kind of RUN_KINDS) for (const status of ENDS) runs.inc({ kind, status }, 0)

  function succeeded({ kind, status, finishedAt }: Run, replace: boolean): void {
    if (status !== 'succeeded' || finishedAt === null || (!replace && times.has(kind))) return
    times.add(kind)
    lastSuccess.set({ kind }, Date.parse(finishedAt) / 1000)
  }
  const times = new Set<string>()
  const begun = new Set<string>()

  let measured = Number.NaN
  let reading: Promise<string> | null = null
  /** Begins to measure the process itself. */
  function measure(): void {
    const { user, system } = process.cpuUsage()
    collectDefaultMetrics({ register: registry })
    for (const name of MISNAMED) registry.removeSingleMetric(name)
    // It would count from now on.
    for (const [kind, us] of [
      ['user_', user],
      ['system_', system],
      ['', user + system],
    ] as const)
      (registry.getSingleMetric(`process_cpu_${kind}seconds_total`) as Counter).inc(us / 1e6)
    measured = performance.now()
  }
  /** Tells all who have asked before it. */
  async function tell(): Promise<string> {
    if (Number.isNaN(measured)) measure()
    await wait(Math.max(0, measured + LEAST_MS - performance.now()))
    reading = null
    measured = performance.now()
    return await registry.metrics()
  }

  return {
    read: async () => {
      reading ??= tell()
      return { type: registry.contentType, text: await reading }
    },
    hear(event) {
      const { run } = event
      if (run.rehearsal) return
      if (event.type === 'step' && event.step.status === 'done' && event.step.durationMs !== null)
        stepSeconds.observe({ direction: event.step.direction }, event.step.durationMs / 1000)
      if (event.type === 'begun') begun.add(run.id)
      // What never began is in no record either.
      if (event.type !== 'ended' || !begun.delete(run.id)) return
      runs.inc({ kind: run.kind, status: run.status })
      if (run.durationMs !== null) runSeconds.observe({ kind: run.kind }, run.durationMs / 1000)
      succeeded(run, true)
    },
    observe: (method, route, status, seconds) => requestSeconds.observe({ method, route, status }, seconds),
    stand(status) {
      readable.set(status === null || status.stale ? 0 : 1)
      schemaVersion.set(status === null ? Number.NaN : (status.status.current ?? -1))
      pending.set(status === null ? Number.NaN : status.status.pending)
      inProgress.set(status?.running ? 1 : 0)
    },
    remember(before) {
      for (const run of before) succeeded(run, false)
    },
  }
}

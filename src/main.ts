// The process: configuration, engine, runs, HTTP, listen, close.
import './memory.ts'
import { randomUUID } from 'node:crypto'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import { v7 as newId } from 'uuid'
import { growWhenBusy } from './busy.ts'
import { type Config, ConfigError, listenError, packageVersion, readConfig } from './config.ts'
import { oncePerTurn, statusReader } from './core/current-status.ts'
import type { Engine } from './core/engine.ts'
import type { MigrationError } from './core/errors.ts'
import { migrateOnStart } from './core/on-start.ts'
import { openRuns } from './core/runs.ts'
import { openDirectory } from './directory/directory.ts'
import { buildApp } from './http/app.ts'
import { closeApp } from './http/close.ts'
import { openMetrics } from './http/metrics.ts'
import { openJudges } from './http/validation.ts'
import { openLog } from './log.ts'
import { sqliteEngine } from './sqlite/engine.ts'
import { openTokens } from './tokens.ts'

/** What is left, after the run was ended, for answers to be sent and connections to be closed. */
const CLOSE_MS = 5_000
/** How long after the start what may be needed is made ready, in milliseconds: the status, a runner, the meters and the judges. */
const WARM_MS = 100
/** How long after a run the history is read anew, in milliseconds: not before the answer has been sent. */
const REREAD_MS = 20
/** How long until it is tried again to complete the record of runs that died. */
const RECOVER_MS = 10_000
/** With a listener an instruction that fails is tried again for ever: https://nodejs.org/api/process.html#signal-events */
const FATAL: ('SIGBUS' | 'SIGFPE' | 'SIGSEGV' | 'SIGILL' | 'SIGTRAP' | 'SIGABRT')[] = [
  'SIGBUS',
  'SIGFPE',
  'SIGSEGV',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
]

try {
  await serve(readConfig())
} catch (error) {
  // One line, and no stack: whoever reads this has set a variable, and not written this code.
  const known = error instanceof ConfigError || (error as { code?: string }).code?.startsWith('E')
  console.error(known ? `schemad: ${(error as Error).message}` : error)
  process.exit(1)
}

async function serve(config: Config): Promise<void> {
  const { log, tell, ...lines } = openLog(config.logLevel)
  const tokens = openTokens(config.tokens, (message) => log.warn(message))
  const directory = openDirectory(config.migrationsDir)
  const engine = sqliteEngine({
    file: config.database,
    lockTimeoutMs: config.lockTimeoutMs,
    runTimeoutMs: config.runTimeoutMs,
    backupDir: config.backupDir,
    backupKeep: config.backupKeep,
    environment: config.runnerEnvironment,
  })
  let startFailure: () => MigrationError | null = () => null
  const version = packageVersion()
  const metrics = openMetrics(version)
  const judges = openJudges()
  const runs = openRuns({
    engine,
    look: () => directory.look(),
    now: () => new Date(),
    newId: () => newId(),
    hear: (event) => {
      // What has gone well since makes the failure at start a thing of the past.
      if (event.type === 'ended' && event.run.status === 'succeeded' && !event.run.rehearsal) startFailure = () => null
      metrics.hear(event)
      tell(event)
      if (event.type !== 'ended' || event.run.rehearsal) return
      reader.heard(event.run)
      // Whoever asks next finds the history read.
      setTimeout(() => void status().catch(() => {}), REREAD_MS).unref()
    },
  })
  const recent = () => directory.recent()
  const reader = statusReader({ engine, recent, running: () => runs.running() })
  const status = oncePerTurn(async () => {
    const now = await reader.read()
    // Whoever has applied it, here or elsewhere.
    if (now.status.state === 'up-to-date' && !now.stale) startFailure = () => null
    return now
  })
  let closing = false
  const app = await buildApp({
    engine,
    runs,
    status,
    recent,
    tokens,
    allowedHosts: config.allowedHosts,
    corsOrigins: config.corsOrigins,
    closing: () => closing,
    newId: () => randomUUID(),
    version,
    metrics,
    judges,
    startFailure: () => startFailure(),
    log,
  })

  app.server.on('request', growWhenBusy())

  // A run that is killed is read back, and its end recorded, which may wait for the application's lock.
  const most = config.shutdownTimeoutMs + config.lockTimeoutMs + CLOSE_MS
  closeWithGrace(
    { delay: most, logger: log, skip: FATAL, onSecondSignal: lines.abandon, onTimeout: lines.abandon },
    async ({ signal, err }) => {
      closing = true
      if (err) log.error({ err }, 'ending after an error that nobody caught')
      else log.info({ signal }, `${signal} received, ending`)
      // Listening goes on until the run has ended: its clients, and the probes, still want answers.
      await runs.close(config.shutdownTimeoutMs)
      await closeApp(app)
      await engine.close()
      log.info('ended')
      await lines.end()
    },
  )

  const { host, port } = config
  await app
    .listen({ host, port, listenTextResolver: (address) => `listening on ${address}` })
    .catch((error: Error) => Promise.reject(listenError(config, error)))
  // Runs that died with the server before this one are told as what they are, and what they left goes.
  await recover(engine, log)
  // Who has waited for this process to start is answered first.
  const unready = (err: unknown) => log.warn({ err }, 'what may be needed could not be made ready')
  setTimeout(() => void makeReady().catch(unready), WARM_MS).unref()
  async function makeReady(): Promise<void> {
    // A database that cannot be read yet is told to whoever asks.
    await status().catch(() => {})
    engine.warm()
    await metrics.open()
    await judges.ready()
  }
  if (!config.migrateOnStart || closing) return
  const failed = (err: MigrationError) => log.error({ code: err.code, err }, 'the migration at start has failed')
  startFailure = migrateOnStart(runs, () => newId(), failed)
}

/** Tries until it is done: another server may make a run, an application may have the file locked, or it cannot be read just now. */
async function recover(engine: Engine, log: Logger): Promise<void> {
  const done = await engine.recover().catch((err: unknown) => {
    log.warn({ err }, 'the record of runs that died could not be completed; trying again')
    return false
  })
  if (!done) setTimeout(() => void recover(engine, log), RECOVER_MS).unref()
}

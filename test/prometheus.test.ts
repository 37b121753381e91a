import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { FILES } from './kubernetes/chapter.ts'
import { folderWith } from './support/folder.ts'
import { startServer } from './support/server.ts'

/** The program, `null` where it is not installed. */
const PROMTOOL = spawnSync('/bin/sh', ['-c', 'command -v promtool'], { encoding: 'utf8' }).stdout.trim() || null
const UNLESS = PROMTOOL === null ? ' (SKIPPED: promtool is not installed, so nothing was tried)' : ''

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

const { groups } = parse(FILES['schemad.rules.yml'] ?? '') as { groups: { rules: Rule[] }[] }
const RULES = groups.flatMap(({ rules }) => rules)

/** The labels that a scrape gives to each series. */
const OF = 'job="schemad",instance="schemad:8080",'

/** What promtool says, in a folder with the files of the chapter, the token and `more`. */
function promtool(words: readonly string[], more: Readonly<Record<string, string>> = {}) {
  const cwd = folderWith({ ...FILES, 'schemad.token': 'the-token-that-reads\n', ...more })
  const { status, stdout, stderr } = spawnSync(PROMTOOL ?? '', words, { cwd, encoding: 'utf8' })
  return { status, said: stdout + stderr }
}

it('the alerts read metrics that there are', async () => {
  const { text } = await (await startServer()).get('/metrics')
  const there = new Set([...text.matchAll(/^# TYPE (\w+) /gm)].map((match) => match[1]))
  for (const { expr } of RULES)
    for (const name of expr.match(/\bschemad_\w+/g) ?? ['none']) expect(there).toContain(name)
})

it.each(RULES)('the alert $alert waits a while and says what to do', (rule) => {
  expect(rule).toMatchObject({
    for: expect.stringMatching(/^\d+m$/),
    labels: { severity: expect.stringMatching(/^(warning|critical)$/) },
    annotations: { summary: expect.stringMatching(/\w/), description: expect.stringMatching(/\w/) },
  })
})

describe.skipIf(PROMTOOL === null)(`Prometheus${UNLESS}`, () => {
  it('takes the configuration and the rules of the chapter', () => {
    expect(promtool(['check', 'config', 'prometheus.yml'])).toMatchObject({
      status: 0,
      said: expect.stringMatching(/SUCCESS/),
    })
    expect(promtool(['check', 'rules', 'schemad.rules.yml'])).toMatchObject({
      status: 0,
      said: expect.stringMatching(new RegExp(`SUCCESS: ${RULES.length} rules found`)),
    })
  })

  it('would refuse others', () => {
    const typo = (name: string, text: string, by: string) => ({ [name]: (FILES[name] ?? '').replace(text, by) })
    expect(
      promtool(['check', 'config', 'prometheus.yml'], typo('prometheus.yml', 'static_configs', 'static')),
    ).toMatchObject({
      status: 1,
      said: expect.stringMatching(/field static not found/),
    })
    expect(
      promtool(['check', 'rules', 'schemad.rules.yml'], typo('schemad.rules.yml', '[15m]', '[15]')).status,
    ).not.toBe(0)
  })

  it.each([
    ['SchemadRunFailed', `schemad_runs_total{${OF}kind="migrate",status="failed"}`, '_x10 1x20', '20m'],
    ['SchemadRunFailed', `schemad_runs_total{${OF}kind="migrate",status="timed-out"}`, '0x10 1x20', '20m'],
    ['SchemadMigrationsPending', `schemad_migrations_pending{${OF}}`, '2x60', '45m'],
    ['SchemadChangeTakesLong', `schemad_change_in_progress{${OF}}`, '1x60', '45m'],
    ['SchemadDatabaseUnreadable', `schemad_database_readable{${OF}}`, '0x20', '10m'],
    ['SchemadDatabaseUnreadable', `up{${OF}}`, '0x20', '10m'],
  ])('raises %s for %s', (alert, series, values, at) => {
    expect(raised(alert, { series, values }, at)).toBe(true)
  })

  it.each([
    ['SchemadRunFailed', `schemad_runs_total{${OF}kind="migrate",status="succeeded"}`, '0x10 1x20', '20m'],
    ['SchemadRunFailed', `schemad_runs_total{${OF}kind="migrate",status="failed"}`, '1x60', '50m'],
    ['SchemadMigrationsPending', `schemad_migrations_pending{${OF}}`, '2x20 0x40', '45m'],
    ['SchemadChangeTakesLong', `schemad_change_in_progress{${OF}}`, '1x20 0x40', '45m'],
    ['SchemadDatabaseUnreadable', `schemad_database_readable{${OF}}`, '1x20', '10m'],
    ['SchemadDatabaseUnreadable', `up{${OF}}`, '1x20', '10m'],
  ])('does not raise %s for %s %s', (alert, series, values, at) => {
    expect(raised(alert, { series, values }, at)).toBe(false)
  })
})

/** Whether Prometheus would raise the alert `at` that time, minute by minute given these values. */
function raised(alert: string, series: { readonly series: string; readonly values: string }, at: string): boolean {
  const test = {
    interval: '1m',
    input_series: [series],
    alert_rule_test: [{ eval_time: at, alertname: alert, exp_alerts: [] }],
  }
  const tests = JSON.stringify({ rule_files: ['schemad.rules.yml'], tests: [test] })
  const { status, said } = promtool(['test', 'rules', 'tests.yml'], { 'tests.yml': tests })
  if (status === 0) return false
  // None is expected: a difference is the alert.
  expect(said).toContain(`Labels:{alertname="${alert}"`)
  return true
}

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../support/folder.ts'

/** The program, `null` where it is not installed. */
export const STRACE = spawnSync('/bin/sh', ['-c', 'command -v strace'], { encoding: 'utf8' }).stdout.trim() || null

/** The title of a test that needs strace: one that is skipped for the lack of it says so. */
export function withStrace(title: string): string {
  return STRACE === null ? `${title} (SKIPPED: strace is not installed, so nothing was tried)` : title
}

export const REAL_NODE = process.execPath

/** A process under strace, the first that is forked with `environment`. */
export interface Traced {
  readonly environment: Readonly<Record<string, string>>
  /** The lines that strace has written so far. */
  lines(): string[]
}

/** Has the first runner of an engine or a server run with strace's `options` in words. */
export function trace(options: readonly string[], folder = temporaryFolder()): Traced {
  const out = join(folder, 'trace')
  // With it nothing else is slowed down, and no signal can be sent.
  const signals = options.some((option) => option.includes(':signal='))
  return {
    environment: {
      TRACE_ONCE: join(folder, 'traced'),
      TRACE_OUT: out,
      TRACE_OPTIONS: [...(signals ? [] : ['--seccomp-bpf']), ...options].join(' '),
    },
    lines: () => (existsSync(out) ? readFileSync(out, 'utf8').split('\n') : []),
  }
}

/**
 * In the place of node: strace over node the first time, after that node as it is. `-DD` keeps the runner the child of the
 * one who forked it, and the tracer out of its process group.
 */
export function wrapper(folder = temporaryFolder()): string {
  const path = join(folder, 'node')
  const traced = `exec ${STRACE} -DD -f -o "$TRACE_OUT" $TRACE_OPTIONS '${REAL_NODE}' "$@"`
  const script = `#!/bin/sh\nif mkdir "$TRACE_ONCE" 2>/dev/null; then\n  ${traced}\nfi\nexec '${REAL_NODE}' "$@"\n`
  writeFileSync(path, script, { mode: 0o755 })
  return path
}

/** What makes a server fork `program` as node. */
export function forking(program: string, folder = temporaryFolder()): Readonly<Record<string, string>> {
  const preload = join(folder, 'preload.mjs')
  writeFileSync(preload, `process.execPath = ${JSON.stringify(program)}\ndelete process.env.NODE_OPTIONS\n`)
  return { NODE_OPTIONS: `--import=${preload}` }
}

/** Has this process fork `program` as node while `act` lasts. */
export async function forkingHere<T>(program: string, act: () => Promise<T>): Promise<T> {
  process.execPath = program
  try {
    return await act()
  } finally {
    process.execPath = REAL_NODE
  }
}

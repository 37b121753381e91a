import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { IVolume } from 'kubernetes-models/v1/Volume'
import { onTestFinished } from 'vitest'
import { temporaryFolder, write } from '../support/folder.ts'
import { MANIFESTS, type Placed } from './chapter.ts'

/** What a reader of the chapter puts into the Secret in the place of each `…`. */
export const TOKENS = {
  read: 'the-token-that-reads',
  migrate: 'the-token-that-migrates',
  admin: 'the-token-that-does-all',
  authorization: 'the-token-that-migrates',
} as const satisfies Readonly<Record<string, string>>

/** A container as the kubelet starts it: its Secrets and ConfigMaps below `root`, and where it says so. */
export interface Started {
  readonly root: string
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** Mounts what the container mounts of Secrets and ConfigMaps; `fill` gives what takes the place of the `…` of a key. */
export function prepare({ container, pod }: Placed, fill = tokenOf): Started {
  const root = temporaryFolder()
  const mounted: string[] = []
  for (const { name, mountPath, subPath } of container.volumeMounts ?? []) {
    const volume = pod.volumes?.find((one) => one.name === name)
    const files = volume && filesOf(volume, fill)
    if (!files) continue
    mounted.push(mountPath)
    if (subPath === undefined) write(join(root, mountPath), files)
    else writeOne(join(root, mountPath), files[subPath])
  }
  const there = (text: string) => mounted.reduce((now, path) => now.replaceAll(path, join(root, path)), text)
  const env = Object.fromEntries((container.env ?? []).map(({ name, value = '' }) => [name, there(value)]))
  return { root, env, command: (container.command ?? []).map(there) }
}

function tokenOf(key: string): string {
  return (TOKENS as Readonly<Record<string, string>>)[key] ?? ''
}

/** The files of a Secret or ConfigMap of the chapter; `null` for another volume. */
function filesOf({ secret, configMap }: IVolume, fill: (key: string) => string): Record<string, string> | null {
  const name = secret?.secretName ?? configMap?.name
  const found = MANIFESTS.find(
    ({ kind, metadata }) => kind === (secret ? 'Secret' : 'ConfigMap') && metadata?.name === name,
  )
  if (found?.kind === 'ConfigMap') return { ...found.data }
  if (found?.kind !== 'Secret') return null
  const all = Object.entries(found.stringData ?? {})
  const chosen = secret?.items?.map(({ key }) => key) ?? all.map(([key]) => key)
  return Object.fromEntries(
    all.filter(([key]) => chosen.includes(key)).map(([key, text]) => [key, text.replace('…', fill(key))]),
  )
}

function writeOne(path: string, text: string | undefined): void {
  if (text === undefined) throw new Error(`there is nothing to mount at ${path}`)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

export interface Curl {
  readonly process: ChildProcess
  /** Whether it has told that it will try again, once it has, or has ended. */
  readonly triesAgain: Promise<boolean>
  readonly ended: Promise<Ended>
}

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command of a container; the names of the cluster lead to `port` of this machine. */
export function run({ command: [program = '', ...words] }: Started, port: number | string): Curl {
  const home = temporaryFolder()
  const names = ['schemad:8080', 'localhost:8080'].map((name) => `connect-to = "${name}:127.0.0.1:${port}"\n`)
  writeFileSync(join(home, '.curlrc'), names.join(''))
  const child = spawn(program, words, {
    env: { PATH: process.env.PATH ?? '', HOME: home, CURL_HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (data: Buffer) => {
    stdout += data
  })
  child.stderr.on('data', (data: Buffer) => {
    stderr += data
  })
  const ended = once(child, 'close').then(([status]) => ({ status, stdout, stderr }))
  return { process: child, triesAgain: saysThatItTriesAgain(child, () => stderr), ended }
}

function saysThatItTriesAgain(child: ChildProcess, stderr: () => string): Promise<boolean> {
  return new Promise((resolve) => {
    child.stderr?.on('data', () => triesAgain(stderr()) && resolve(true))
    child.once('close', () => resolve(false))
  })
}

/** Whether curl has told so; how, differs from one version to the next. */
export function triesAgain(stderr: string): boolean {
  return /^Warning: Problem/m.test(stderr)
}

import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Config, readConfig } from '../src/config.ts'
import {
  BLOCKS,
  CONTAINERS,
  documentsOf,
  MANIFESTS,
  type Manifest,
  nameOf,
  type Placed,
  POSTING,
  SERVERS,
  WAITING,
} from './kubernetes/chapter.ts'
import { prepare } from './kubernetes/kubelet.ts'
import { dangling } from './kubernetes/references.ts'
import { compile, validate } from './kubernetes/schema.ts'

const APPLICATIONS = CONTAINERS.filter((one) => ![...SERVERS, ...POSTING, ...WAITING].includes(one))
const DEPLOYMENT = MANIFESTS.find(({ kind }) => kind === 'Deployment')

describe('the manifests of the chapter', () => {
  it('are these', () => {
    expect(MANIFESTS.map((manifest) => `${manifest.kind} ${nameOf(manifest)}`)).toEqual([
      'Secret schemad',
      'ConfigMap migrations-1',
      'PersistentVolumeClaim data',
      'Deployment shop',
      'Service schemad',
      'Deployment schemad',
      'Deployment web',
      'Deployment worker',
      'Job migrate',
    ])
    expect(POSTING.map(({ title }) => title)).toEqual(['shop/migrate', 'web/migrate', 'migrate/migrate'])
    expect(WAITING.map(({ title }) => title)).toEqual(['worker/wait-for-schema'])
    expect(SERVERS.map(({ title }) => title)).toEqual(['shop/schemad', 'schemad/schemad'])
    expect(APPLICATIONS.map(({ title }) => title)).toEqual(['shop/shop', 'web/web', 'worker/worker'])
  })

  it('mean the same to a parser of YAML 1.1, which Kubernetes has', () => {
    for (const text of BLOCKS) expect(documentsOf(text, '1.1')).toEqual(documentsOf(text))
    expect(documentsOf('mode: 0400', '1.1')).not.toEqual(documentsOf('mode: 0400'))
    expect(() => documentsOf('a: 1\na: 2')).toThrow('unique')
  })

  it.each(MANIFESTS)('are what the schema of Kubernetes allows: $kind $metadata.name', (manifest) => validate(manifest))

  it('have no field that Kubernetes does not know', () => {
    expect(compile(MANIFESTS)).toBe('')
  })

  it('would be refused with a misspelt field, a wrong type or an unknown kind', async () => {
    expect(compile([changed(DEPLOYMENT, '"image"', '"imagee"')])).toMatch(`'"imagee"' does not exist`)
    const wrong = changed(DEPLOYMENT, '"replicas":1', '"replicas":"one"')
    await expect(validate(wrong)).rejects.toThrow('/spec/replicas must be integer')
    expect(compile([wrong])).toMatch("Type 'string' is not assignable")
    await expect(validate({ apiVersion: 'apps/v1', kind: 'Deploymint' })).rejects.toThrow('Deploymint')
  })

  it('refer to nothing that the chapter does not have', () => {
    expect(dangling(MANIFESTS)).toEqual([])
  })

  it.each([
    ['"claimName":"data"', '"claimName":"date"', 'shop: no PersistentVolumeClaim date'],
    ['"secretName":"schemad"', '"secretName":"schemas"', 'shop: no Secret schemas'],
    ['"name":"migrations-1"', '"name":"migrations"', 'shop: no ConfigMap migrations'],
    ['"name":"tokens","mountPath"', '"name":"token","mountPath"', 'shop: no volume token'],
    ['"subPath":"authorization"', '"subPath":"header"', 'shop: no key header of Secret schemad'],
    ['"path":"/readyz","port":"schemad"', '"path":"/readyz","port":"http"', 'shop: no port http in its own container'],
    ['localhost:8080', 'localhost:8081', 'shop: no address localhost:8081'],
    ['"labels":{"app":"shop"}', '"labels":{"app":"shops"}', 'shop: no own pod with app=shop'],
  ])('would refer to nothing with %s changed to %s: %s', (text, by, told) => {
    const others = MANIFESTS.filter((manifest) => manifest !== DEPLOYMENT)
    expect(dangling([...others, changed(DEPLOYMENT, text, by)])).toContain(told)
  })

  it('have one schemad at a time, and beside an application as a sidecar that is there first', () => {
    const deployments = MANIFESTS.flatMap((one) => (one.kind === 'Deployment' ? [one] : []))
    const pods = SERVERS.map(({ pod }) => pod)
    for (const { spec } of deployments.filter((one) => pods.some((pod) => pod === one.spec?.template.spec)))
      expect(spec).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } })
    expect(pods[0]?.initContainers).toMatchObject([{ name: 'schemad', restartPolicy: 'Always' }, { name: 'migrate' }])
    expect(pods[0]?.initContainers?.[1]).not.toHaveProperty('restartPolicy')
  })

  it('keep all that open the file on the node that has it', () => {
    const label = { database: 'shop' }
    const affinity = [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: label } }]
    const together = ['schemad', 'web', 'worker'].map((name) =>
      MANIFESTS.find((one) => one.kind === 'Deployment' && nameOf(one) === name),
    )
    for (const manifest of together) {
      const template = manifest?.kind === 'Deployment' ? manifest.spec?.template : undefined
      expect(template?.metadata?.labels).toMatchObject(label)
      expect(template?.spec?.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution).toEqual(affinity)
    }
  })
})

describe('a container of the chapter', () => {
  it.each(CONTAINERS)('may do nothing that it need not: $title', ({ container, pod }) => {
    expect(pod.automountServiceAccountToken).toBe(false)
    expect(pod.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 1000,
      runAsGroup: 1000,
      fsGroup: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(container.resources).toMatchObject({
      requests: { memory: expect.any(String) },
      limits: { memory: expect.any(String) },
    })
    const writable = container.volumeMounts?.filter(({ readOnly }) => readOnly !== true) ?? []
    for (const mount of writable) expect(mount).toEqual({ name: 'data', mountPath: '/data' })
  })

  it.each(SERVERS)('has time enough to end: $title', (placed) => {
    const { shutdownTimeoutMs, lockTimeoutMs } = configOf(placed)
    const closeMs = 5_000
    const graceMs = (placed.pod.terminationGracePeriodSeconds ?? 30) * 1_000
    expect(graceMs).toBeGreaterThan(shutdownTimeoutMs + lockTimeoutMs + closeMs)
  })

  it.each(SERVERS)('sets variables that schemad knows, to what it takes: $title', (placed) => {
    const known = knownVariables()
    for (const { name } of placed.container.env ?? []) expect(known).toContain(name)
    const { tokens } = configOf(placed)
    expect(tokens.map(({ role }) => role)).toEqual(['read', 'migrate', 'admin'])
    for (const source of tokens)
      expect('file' in source && readFileSync(source.file, 'utf8')).toMatch(/^\w+:[\w-]{16,}$/)
  })

  it.each(SERVERS)('has what the image expects where it expects it: $title', (placed) => {
    const { database, port } = configOf(placed)
    const { MIGRATIONS_DIR } = imageEnvironment()
    const { volumeMounts, ports } = placed.container
    expect(volumeMounts).toContainEqual({ name: 'migrations', mountPath: MIGRATIONS_DIR, readOnly: true })
    expect(volumeMounts).toContainEqual({ name: 'data', mountPath: dirname(database) })
    expect(ports).toEqual([{ name: 'schemad', containerPort: port }])
  })

  it.each(APPLICATIONS)('of the application opens the file that schemad has: $title', ({ container }) => {
    const { DATABASE_URL } = imageEnvironment()
    expect(container.env).toEqual([{ name: 'DATABASE_URL', value: DATABASE_URL }])
    expect(container.volumeMounts).toEqual([{ name: 'data', mountPath: '/data' }])
  })
})

it('the Job has longer than a run may take, and the wait before it', () => {
  const [job] = MANIFESTS.flatMap((manifest) => (manifest.kind === 'Job' ? [manifest] : []))
  const waitMs = Number(/wait=(\d+)/.exec(JSON.stringify(job))?.[1]) * 1_000
  expect((job?.spec?.activeDeadlineSeconds ?? 0) * 1_000).toBeGreaterThan(readConfig({}).runTimeoutMs + waitMs)
})

/** The names that the configuration asks for. */
function knownVariables(): string[] {
  const asked: string[] = []
  readConfig(new Proxy({}, { get: (_, name) => void asked.push(String(name)) }))
  return asked
}

/** What schemad makes of its environment in that container. */
function configOf(placed: Placed): Config {
  return readConfig({ ...imageEnvironment(), ...prepare(placed).env })
}

function imageEnvironment(): Record<string, string> {
  const dockerfile = readFileSync(new URL('../Dockerfile', import.meta.url), 'utf8')
  const names = [...dockerfile.matchAll(/^(?:ENV)? +([A-Z_]+)=(\S+)/gm)]
  return Object.fromEntries(names.map(([, name, value]) => [name, value]))
}

/** The same manifest with something else in it. */
function changed(manifest: Manifest | undefined, text: string, by: string): Manifest {
  const before = JSON.stringify(manifest)
  const after = before.replace(text, by)
  expect(after).not.toBe(before)
  return JSON.parse(after) as Manifest
}

import type { IContainer } from 'kubernetes-models/v1/Container'
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec'
import type { IVolume } from 'kubernetes-models/v1/Volume'
import { containersOf, type Manifest, nameOf, podsOf } from './chapter.ts'

/** What manifests refer to and do not have, a line each. A schema sees none of it. */
export function dangling(manifests: readonly Manifest[]): string[] {
  const there = new Set(manifests.flatMap(thingsOf))
  const missing = (name: string, wanted: readonly string[], own: readonly string[] = []) =>
    wanted.filter((thing) => !there.has(thing) && !own.includes(thing)).map((thing) => `${name}: no ${thing}`)
  return [
    ...podsOf(manifests).flatMap(({ name, pod }) => missing(name, wantedByPod(pod), thingsOfPod(pod))),
    ...manifests.flatMap((manifest) => missing(nameOf(manifest), wantedBySelector(manifest), ownLabels(manifest))),
  ]
}

function thingsOf(manifest: Manifest): string[] {
  const name = nameOf(manifest)
  const itself = `${manifest.kind} ${name}`
  if (manifest.kind === 'Secret')
    return [itself, ...Object.keys(manifest.stringData ?? {}).map((key) => `key ${key} of ${itself}`)]
  if (manifest.kind === 'Service')
    return [itself, ...(manifest.spec?.ports ?? []).map(({ port }) => `address ${name}:${port}`)]
  if (manifest.kind !== 'Deployment' || !manifest.spec) return [itself]
  const { metadata, spec } = manifest.spec.template
  const ports = (spec ? containersOf(spec) : []).flatMap(({ ports = [] }) => ports.map(({ name }) => `port ${name}`))
  return [itself, ...labels('pod with', metadata?.labels), ...ports]
}

/** What only the containers of the same pod can refer to. */
function thingsOfPod(pod: IPodSpec): string[] {
  const ports = containersOf(pod).flatMap(({ ports = [] }) => ports)
  return [
    ...(pod.volumes ?? []).map(({ name }) => `volume ${name}`),
    ...ports.map(({ containerPort }) => `address localhost:${containerPort}`),
  ]
}

function wantedByPod(pod: IPodSpec): string[] {
  const terms = pod.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []
  return [
    ...(pod.volumes ?? []).flatMap(wantedByVolume),
    ...containersOf(pod).flatMap((container) => [
      ...wantedByMounts(container, pod),
      ...wantedByProbes(container),
      ...(container.command ?? [])
        .flatMap((word) => /^http:\/\/([^/]+)/.exec(word)?.[1] ?? [])
        .map((to) => `address ${to}`),
    ]),
    ...terms.flatMap(({ labelSelector }) => labels('pod with', labelSelector?.matchLabels)),
  ]
}

function wantedByVolume({ secret, configMap, persistentVolumeClaim }: IVolume): string[] {
  return [
    ...(secret ? [`Secret ${secret.secretName}`] : []),
    ...(secret?.items ?? []).map(({ key }) => `key ${key} of Secret ${secret?.secretName}`),
    ...(configMap ? [`ConfigMap ${configMap.name}`] : []),
    ...(persistentVolumeClaim ? [`PersistentVolumeClaim ${persistentVolumeClaim.claimName}`] : []),
  ]
}

function wantedByMounts({ volumeMounts = [], env = [] }: IContainer, pod: IPodSpec): string[] {
  const secretOf = (volume: string) => pod.volumes?.find(({ name }) => name === volume)?.secret?.secretName
  const parts = volumeMounts.filter(({ subPath }) => subPath !== undefined)
  const keys = env.flatMap(({ valueFrom }) => valueFrom?.secretKeyRef ?? [])
  return [
    ...volumeMounts.map(({ name }) => `volume ${name}`),
    ...parts.map(({ name, subPath }) => `key ${subPath} of Secret ${secretOf(name)}`),
    ...keys.map(({ key, name }) => `key ${key} of Secret ${name}`),
  ]
}

function wantedByProbes({ ports = [], startupProbe, livenessProbe, readinessProbe }: IContainer): string[] {
  return [startupProbe, livenessProbe, readinessProbe]
    .flatMap((probe) => probe?.httpGet?.port ?? [])
    .filter((port) => !ports.some(({ name, containerPort }) => port === name || port === containerPort))
    .map((port) => `port ${port} in its own container`)
}

function wantedBySelector(manifest: Manifest): string[] {
  if (manifest.kind === 'Deployment') return labels('own pod with', manifest.spec?.selector.matchLabels)
  if (manifest.kind !== 'Service') return []
  const ports = (manifest.spec?.ports ?? []).map(({ targetPort }) => `port ${targetPort}`)
  return [...labels('pod with', manifest.spec?.selector), ...ports]
}

function ownLabels(manifest: Manifest): string[] {
  return manifest.kind === 'Deployment' ? labels('own pod with', manifest.spec?.template.metadata?.labels) : []
}

function labels(whose: string, all: Readonly<Record<string, string>> = {}): string[] {
  return Object.entries(all).map(([key, value]) => `${whose} ${key}=${value}`)
}

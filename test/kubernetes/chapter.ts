import { readFileSync } from 'node:fs'
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment'
import type { IJob } from 'kubernetes-models/batch/v1/Job'
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap'
import type { IContainer } from 'kubernetes-models/v1/Container'
import type { IPersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim'
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec'
import type { ISecret } from 'kubernetes-models/v1/Secret'
import type { IService } from 'kubernetes-models/v1/Service'
import { parseAllDocuments } from 'yaml'

export type Manifest = IDeployment | IJob | IService | ISecret | IConfigMap | IPersistentVolumeClaim

/** A container where it stands. */
export interface Placed {
  /** Its manifest's name and its own: `shop/migrate`. */
  readonly title: string
  readonly container: IContainer
  readonly pod: IPodSpec
}

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const CHAPTER = /^## Kubernetes\n(.*?)^## /ms.exec(README)?.[1] ?? ''

/** The text of each block of the chapter. */
export const BLOCKS: readonly string[] = [...CHAPTER.matchAll(/^```yaml\n(.*?)^```$/gms)].map((match) => match[1] ?? '')

/** The blocks that begin with the name of a file, by that name. */
export const FILES: Readonly<Record<string, string>> = Object.fromEntries(
  BLOCKS.flatMap((text) => {
    const name = /^# (\S+\.yml)\n/.exec(text)?.[1]
    return name === undefined ? [] : [[name, text]]
  }),
)

/** All other blocks, in the order of the page. */
export const MANIFESTS = BLOCKS.filter((text) => !Object.values(FILES).includes(text)).flatMap(
  (text) => documentsOf(text) as Manifest[],
)

/** The documents of a block. Throws for what only a lenient parser would take. */
export function documentsOf(text: string, version: '1.1' | '1.2' = '1.2'): unknown[] {
  return parseAllDocuments(text, { strict: true, uniqueKeys: true, version }).map((document) => {
    const [fault] = [...document.errors, ...document.warnings]
    if (fault) throw fault
    return document.toJS() as unknown
  })
}

export function nameOf(manifest: Manifest): string {
  return manifest.metadata?.name ?? ''
}

/** What runs containers, by name. */
export function podsOf(manifests: readonly Manifest[]): { readonly name: string; readonly pod: IPodSpec }[] {
  return manifests.flatMap((manifest) => {
    const pod = manifest.kind === 'Deployment' || manifest.kind === 'Job' ? manifest.spec?.template.spec : undefined
    return pod ? [{ name: nameOf(manifest), pod }] : []
  })
}

export function containersOf(pod: IPodSpec): IContainer[] {
  return [...(pod.initContainers ?? []), ...pod.containers]
}

export const CONTAINERS: readonly Placed[] = podsOf(MANIFESTS).flatMap(({ name, pod }) =>
  containersOf(pod).map((container) => ({ title: `${name}/${container.name}`, container, pod })),
)

export const SERVERS = CONTAINERS.filter(({ container }) => container.image?.includes('/schemad:'))
export const POSTING = CONTAINERS.filter(({ container }) => container.command?.includes('POST'))
export const WAITING = CONTAINERS.filter(({ container }) => container.command?.at(-1)?.includes('/readyz'))

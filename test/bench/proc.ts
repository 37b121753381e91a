// What Linux tells of processes: https://man7.org/linux/man-pages/man5/proc.5.html
import { readFileSync } from 'node:fs'

/** The processes that one has made and that have not ended. */
export function childrenOf(pid: number): number[] {
  return textOf(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number)
}

/** How long a process has computed, in steps of ten milliseconds; 0 of one that has ended. */
export function processorMs(pid: number): number {
  const [, user, system] = /\) (?:\S+ ){11}(\d+) (\d+)/.exec(textOf(`/proc/${pid}/stat`)) ?? []
  return (Number(user ?? 0) + Number(system ?? 0)) * 10
}

/** The memory of a process, each page divided by how many share it. */
export function megabytesOf(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(textOf(`/proc/${pid}/smaps_rollup`))?.[1]) / 1024
}

/** Empty where the process has ended. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}

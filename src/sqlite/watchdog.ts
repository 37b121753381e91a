import { Worker } from 'node:worker_threads'

/**
 * Ends this process, and all of its group, within a tenth of a second after `parent` has died. It is a thread of its own, because the main thread
 * runs no JavaScript while SQLite is busy, and SIGKILL, because SQLite undoes what it leaves open.
 */
export function dieWith(parent: number): void {
  const watch = `setInterval(() => { if (process.ppid !== ${parent}) process.kill(-process.pid, 'SIGKILL') }, 100)`
  const limits = {
    maxOldGenerationSizeMb: 8,
    maxYoungGenerationSizeMb: 1,
    stackSizeMb: 1,
  }
  new Worker(watch, {
    eval: true,
    resourceLimits: limits,
    execArgv: [],
  }).unref()
}

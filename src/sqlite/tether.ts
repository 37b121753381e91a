import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'

/** Signals that whoever ends the server may send to all of its processes: what they do to a run is the server's to decide. */
const DEAF = "trap '' HUP INT QUIT TERM USR1 USR2 ALRM PIPE"
/** Nobody writes there: the reading ends with whoever holds the other end, and 0 is the group of the shell itself. */
const SCRIPT = `${DEAF}; while read -r _; do :; done; kill -KILL 0`

/** How long it may take to end a shell, in milliseconds. */
const END_MS = 1_000

/** What ends a process with its parent. */
export interface Tether {
  readonly holds: boolean
  /** Resolves when nothing is left of it: what outlives this process, nobody may be there to wait for. */
  cut(): Promise<void>
}

/** Where the first process of a namespace ends, the kernel ends all others (pid_namespaces(7)); and that one waits for none but its own. */
const BY_THE_KERNEL: Tether = { holds: true, cut: async () => {} }

/**
 * Ends this process, and all of its group, when the other end of `fd`, a socket that only the process `parent` holds, has been
 * closed, however busy this process is then. It is a shell of a few hundred kilobytes, which nobody has to wait for: a thread
 * of Node's takes ten megabytes, and the time to start it.
 *
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#kill for the group of a shell
 */
export function tieTo(parent: number, fd: number): Tether {
  if (parent === 1) return BY_THE_KERNEL
  const shell = shellOn(fd)
  shell?.on('error', () => {}).unref()
  return {
    get holds() {
      return shell !== null && isThere(shell)
    },
    cut: async () => {
      if (shell === null || !isThere(shell)) return
      const gone = once(shell, 'exit')
      shell.kill('SIGKILL')
      await Promise.race([gone, delay(END_MS)])
    },
  }
}

function isThere({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null
}

/** `null` where there is no room for another process. */
function shellOn(fd: number): ChildProcess | null {
  try {
    return spawn('/bin/sh', ['-c', SCRIPT], { stdio: [fd, 'ignore', 'ignore'], env: {} })
  } catch {
    return null
  }
}

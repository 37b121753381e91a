import { type ChildProcess, spawn } from 'node:child_process'

/** Signals that whoever ends the server may send to all of its processes: what they do to a run is the server's to decide. */
const DEAF = "trap '' HUP INT QUIT TERM USR1 USR2 ALRM PIPE"
/** Nobody writes there: the reading ends with whoever holds the other end, and 0 is the group of the shell itself. */
const SCRIPT = `${DEAF}; while read -r _; do :; done; kill -KILL 0`

/** What ends a process with its parent. */
export interface Tether {
  readonly holds: boolean
}

/**
 * Ends this process, and all of its group, when the other end of `fd`, a socket that only the parent holds, has been closed,
 * however busy this process is then. It is a shell of a few hundred kilobytes, which nobody has to wait for: a thread of Node's
 * takes ten megabytes, and the time to start it.
 *
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#kill for the group of a shell
 */
export function tieTo(fd: number): Tether {
  const shell = shellOn(fd)
  shell?.on('error', () => {}).unref()
  return {
    get holds() {
      return shell?.pid !== undefined && shell.exitCode === null && shell.signalCode === null
    },
  }
}

/** `null` where there is no room for another process. */
function shellOn(fd: number): ChildProcess | null {
  try {
    return spawn('/bin/sh', ['-c', SCRIPT], { stdio: [fd, 'ignore', 'ignore'], env: {} })
  } catch {
    return null
  }
}

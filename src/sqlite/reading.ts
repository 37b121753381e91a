import { setTimeout as delay } from 'node:timers/promises'
import type { Patience } from '../core/engine.ts'
import { errorFrom, MigrationError } from '../core/errors.ts'
import type { History } from '../core/history.ts'
import { type Aftermath, askOnce } from './aftermath.ts'
import { RecordReader } from './record.ts'

/** Reads the database that bears the name now, whatever a dead process has left in it. */
export interface Reading {
  /** What the record says as it is. */
  now(): RecordReader
  /**
   * What the record says; what a dead process has left in the middle of a commit is undone first. Where readers are locked
   * out, it is asked again for `patienceMs`, a moment unless said; and for a second while it cannot be told how a run has ended.
   */
  ask<T>(question: (record: RecordReader) => T, patienceMs?: number): Promise<T>
  /** The history, as the port has it. */
  readonly read: (patience: Patience) => Promise<History>
  close(): void
}

/** How often a patient reader tries again, in milliseconds. */
const READ_AGAIN_MS = 20

/** How long a moment may be in which nobody can read, as when the first run switches to WAL, in milliseconds. */
const BRIEF_MS = 500

export function openReading(path: string, file: () => string, aftermath: (file: string) => Aftermath): Reading {
  let open = { of: file(), record: new RecordReader(file()) }
  let recovery: Promise<void> | null = null

  function now(): RecordReader {
    // To follow links is asked of the kernel only when they lead elsewhere than before.
    if (!open.record.isOf(path) && file() !== open.of) {
      open.record.close()
      open = { of: file(), record: new RecordReader(file()) }
    }
    return open.record
  }

  async function askOnceMore<T>(question: (record: RecordReader) => T): Promise<{ told: T; doubtful: boolean }> {
    try {
      return now().answer(question)
    } catch (error) {
      // Who is locked out by the recovery itself waits for it like those who asked for it.
      if (!needsRecovery(error) && (recovery === null || !isLockedError(error))) throw error
      // One for all who ask: each is a process.
      recovery ??= rollBack(aftermath(file())).finally(() => {
        recovery = null
      })
      await recovery
      return now().answer(question)
    }
  }

  async function ask<T>(question: (record: RecordReader) => T, patienceMs = BRIEF_MS): Promise<T> {
    const deadline = performance.now() + patienceMs
    for (;;) {
      try {
        const { told, doubtful } = await askOnceMore(question)
        if (!doubtful) return told
      } catch (error) {
        if (!isLockedError(error) || performance.now() >= deadline) throw error
      }
      await delay(READ_AGAIN_MS)
    }
  }

  async function read(patience: Patience): Promise<History> {
    if (patience === 'immediate') return await ask((record) => record.read(), 0)
    // What is planned by it must be so.
    open.record.doubt()
    return await ask((record) => record.read(), aftermath(file()).lockTimeoutMs)
  }

  return { now, ask, read, close: () => open.record.close() }
}

function isLockedError(error: unknown): boolean {
  return error instanceof MigrationError && error.code === 'database-locked'
}

function needsRecovery(error: unknown): boolean {
  if (!(error instanceof MigrationError)) return false
  return ['SQLITE_READONLY_ROLLBACK', 'SQLITE_READONLY_RECOVERY', 'SQLITE_READONLY_CANTINIT'].includes(
    String(error.details.sqlite),
  )
}

/** Lets a runner claim the database, which undoes what a dead process has left open in it, and go. */
async function rollBack({ fork, file, lockTimeoutMs }: Aftermath): Promise<void> {
  const claim = { type: 'claim', database: file, lockTimeoutMs, waitMs: 0 } as const
  const last = await askOnce(fork(), claim, { type: 'leave' })
  if (last.type === 'refused') throw errorFrom(last.error)
}

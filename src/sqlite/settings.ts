import type { Database } from 'better-sqlite3'

/** The settings of a connection by their PRAGMAs. */
export type Settings = ReadonlyMap<string, unknown>

/** What a PRAGMA could set on a connection for longer than its transaction, and tells when it is asked. */
const NAMES = [
  'analysis_limit',
  'auto_vacuum',
  'automatic_index',
  'busy_timeout',
  'cache_size',
  'cache_spill',
  'cell_size_check',
  'checkpoint_fullfsync',
  'count_changes',
  'empty_result_callbacks',
  'encoding',
  'full_column_names',
  'fullfsync',
  'hard_heap_limit',
  'ignore_check_constraints',
  'journal_mode',
  'journal_size_limit',
  'locking_mode',
  'max_page_count',
  'mmap_size',
  'page_size',
  'query_only',
  'read_uncommitted',
  'recursive_triggers',
  'reverse_unordered_selects',
  'secure_delete',
  'short_column_names',
  'soft_heap_limit',
  'synchronous',
  'temp_store',
  'threads',
  'trusted_schema',
  'wal_autocheckpoint',
  'writable_schema',
]

/** The settings of `db` as they are. `case_sensitive_like` is not told, and is tried instead. */
export function settingsOf(db: Database): Settings {
  const told = NAMES.map((name) => [name, db.pragma(name, { simple: true })] as const)
  return new Map<string, unknown>([...told, ['case_sensitive_like', db.prepare(`SELECT 'a' LIKE 'A'`).pluck().get()]])
}

/** The name of a setting that is another after than before, `null` where none is. */
export function changedSetting(before: Settings, after: Settings): string | null {
  for (const [name, value] of before)
    if (after.get(name) !== value && String(after.get(name)) !== String(value)) return name
  return null
}

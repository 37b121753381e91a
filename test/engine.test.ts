import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { sqliteEngine } from '../src/sqlite/engine.ts'
import { engineContract } from './engine-contract.ts'
import { folderWith } from './support/folder.ts'
import { COMPILED } from './support/server.ts'

function open(file: string) {
  const engine = sqliteEngine({
    file,
    lockTimeoutMs: 1_000,
    runTimeoutMs: 60_000,
    backupDir: null,
    backupKeep: 2,
    environment: COMPILED,
  })
  onTestFinished(() => engine.close())
  return engine
}

engineContract('sqlite', () => {
  const folder = folderWith({ 'a-file': '' })
  return { open: () => open(join(folder, 'app.db')), openBroken: () => open(join(folder, 'a-file', 'app.db')) }
})

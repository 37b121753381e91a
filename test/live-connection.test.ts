import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { LiveConnection } from '../src/sqlite/live-connection.ts'
import { takeLock } from '../src/sqlite/lock.ts'
import { temporaryFolder } from './support/folder.ts'
import { until } from './support/server.ts'

/** A database in WAL, and what writes so much into the file itself that it gets larger. */
function inWal() {
  const file = join(temporaryFolder(), 'app.db')
  const application = new Sqlite(file)
  application.pragma('journal_mode = WAL')
  application.exec('CREATE TABLE cats (x)')
  application.pragma('wal_checkpoint(TRUNCATE)')
  return {
    file,
    application,
    grow: () => {
      application.exec('INSERT INTO cats VALUES (randomblob(20000))')
      application.pragma('wal_checkpoint(TRUNCATE)')
    },
  }
}

const count = (live: LiveConnection) => live.get()?.db.prepare('SELECT count(*) FROM cats').pluck().get()

describe('the connection that answers', () => {
  it('stays while a run empties its WAL into the file, and is opened anew when that is over', () => {
    const { file, application, grow } = inWal()
    const live = new LiveConnection(file)
    const before = live.get()
    const run = takeLock(file, Date.now())
    for (let times = 1; times <= 3; times += 1) {
      grow()
      expect(live.get()).toBe(before)
      expect(count(live)).toBe(times)
    }
    run?.[Symbol.dispose]()
    const after = live.get()
    expect(after).not.toBe(before)
    expect(live.get()).toBe(after)
    expect(count(live)).toBe(3)
    live.close()
    application.close()
  })

  it('is opened anew where it is doubted, and after a while, also while the run goes on', async () => {
    const { file, application, grow } = inWal()
    const live = new LiveConnection(file)
    const before = live.get()
    const run = takeLock(file, Date.now())
    grow()
    expect(live.get()).toBe(before)
    live.doubt()
    const doubted = live.get()
    expect(doubted).not.toBe(before)
    grow()
    expect(live.get()).toBe(doubted)
    await until(() => live.get() !== doubted)
    run?.[Symbol.dispose]()
    live.close()
    application.close()
  })

  it('is opened anew at once where somebody else has written into the file', () => {
    const { file, application, grow } = inWal()
    const live = new LiveConnection(file)
    const before = live.get()
    grow()
    expect(live.get()).not.toBe(before)
    live.close()
    application.close()
  })
})

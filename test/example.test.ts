import { expect, it } from 'vitest'
import { contentOf, query, startServer } from './support/server.ts'

const EXAMPLE = new URL('../migrations', import.meta.url).pathname

it('applies the example, rolls three back, and applies them again', async () => {
  const server = await startServer({ migrations: EXAMPLE })
  const migrated = await server.post('/migrate', {
    headers: { accept: 'text/plain' },
  })
  expect(migrated.text).toBe(
    '0 init_db\n1 add_adoptions\n2 add_labels\n3 add_events\n4 seed_weighings\n5 add_notes\n6 check_species\n7 normalize_phones\n',
  )
  const view = await server.get('/migrations', { accept: 'text/plain' })
  expect(view.text.split('\n')[0]).toMatch(/^\[X\] 0000 init_db {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/)
  expect(view.text).toMatch(/\n\nApplied: 8\nPending: 0\n$/)
  const whole = contentOf(server.database)
  expect(whole.integrity).toBe('ok')

  const names = []
  for (let times = 0; times < 3; times += 1) {
    const undone = await server.post('/rollback', {
      headers: { accept: 'text/plain' },
    })
    expect(undone.status).toBe(200)
    names.push(undone.text)
  }
  expect(names).toEqual(['7 restore_phones\n', '6 allow_any_species\n', '5 burn_notes\n'])
  expect((await server.get('/migrations')).body).toMatchObject({
    current: 4,
    pending: 3,
    state: 'pending',
  })

  const again = await server.post('/migrate')
  expect(again.body).toMatchObject({ status: 'succeeded', from: 4, to: 7 })
  const { schema, rows, integrity } = contentOf(server.database)
  expect(integrity).toBe('ok')
  expect(schema).toEqual(whole.schema)
  const { migrations: _, ...data } = rows
  const { migrations: __, ...before } = whole.rows
  expect(data).toEqual(before)
})

it('keeps every child of the parent that the example rebuilds, there and back', async () => {
  const server = await startServer({ migrations: EXAMPLE })
  const children = () =>
    query(
      server.database,
      `SELECT (SELECT count(*) FROM weighings) AS weighings, (SELECT count(*) FROM adoptions) AS adoptions,
        (SELECT count(*) FROM notes) AS notes`,
    )
  await server.post('/migrate?target=5')
  const before = children()
  expect(before).toEqual([{ weighings: 100_000, adoptions: 2, notes: 3 }])
  expect((await server.post('/migrate?target=6')).body).toMatchObject({
    status: 'succeeded',
    schemaChanges: {
      created: [],
      dropped: [],
      altered: expect.arrayContaining(['table animals']),
    },
  })
  expect(children()).toEqual(before)
  expect((await server.post('/rollback?target=5')).status).toBe(200)
  expect(children()).toEqual(before)
})

it('brings the phone numbers of the example into one form, in code, and back in SQL', async () => {
  const server = await startServer({ migrations: EXAMPLE })
  const phones = () => query(server.database, 'SELECT phone FROM adopters ORDER BY id')
  await server.post('/migrate')
  expect(phones()).toEqual([{ phone: '+49301234567' }, { phone: '+49407654321' }])
  await server.post('/rollback')
  expect(phones()).toEqual([{ phone: '(030) 123-45 67' }, { phone: '+49 40 / 76 54 321' }])
})

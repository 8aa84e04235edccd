/** Events whose columns have changed: recorded ones stay, and everybody reads them as they are today. */
import { aggregate, app, column as c, event, service, table, type App, type Database } from 'sluicedb'
import { expect, test } from 'vitest'
import { newFolder, openOnce, proveWhole, refused, take, until } from '../support/fixture.js'

const note = () => table({ columns: { n: c.int().generated(), text: c.text() }, key: ['n'] })

/** Names were one text, then two, then they have a title; a service's own event has changed as well. */
function appOf(shape: 1 | 2 | 3, hasHandler = false) {
  const first = event({ name: c.text() })
  const second = first.became({ given: c.text(), family: c.text() }, ({ name }) => ({ given: name.split(' ')[0]!, family: name.split(' ')[1]! }))
  const third = second.became({ given: c.text(), family: c.text(), title: c.text().default('-') }, (old) => old)
  const named = [first, second, third][shape - 1]! as typeof third
  const person = aggregate('person', {
    id: c.text(),
    events: { named },
    initial: () => [] as readonly string[],
    evolve: { named: (state, payload) => [...state, Object.values(payload).join(' ')] },
    decide: { call: { input: { of: c.json<never>() }, run: (_state, { of }) => ({ type: 'named', payload: of }) } },
  })
  const told = event({ text: c.text() })
  const registry = service('registry', {
    tables: { note: note() },
    events: { told: (shape === 1 ? told : told.became({ words: c.json<readonly string[]>() }, ({ text }) => ({ words: text.split(' ') }))) as never },
    aggregates: { person },
  })
  const tell = registry.procedure('tell', { input: { payload: c.json<never>() } }, (tx, { payload }) => (tx.emit as (event: string, payload: unknown) => void)('told', payload))
  if (hasHandler) {
    registry.on(registry.aggregates.person.events.named, { name: 'note' }, (tx, { payload }) => {
      tx.db.note.insert({ text: `${payload.id} ${payload.version} ${payload.family}` })
    })
  }
  return { application: app(import.meta.url, [registry]), registry, person: registry.aggregates.person, tell }
}

async function inside<R>(path: string, application: App, body: (db: Database) => Promise<R>): Promise<R> {
  const db = await openOnce(application, { path })
  try {
    const answer = await body(db)
    proveWhole(db)
    return answer
  } finally {
    await db.close()
  }
}

test('events of three shapes are read as the third: by replay, from the log, by handlers that are behind', async () => {
  const path = await newFolder()
  const one = appOf(1, true)
  await inside(path, one.application, async (db) => {
    await db.call(one.person.call, { id: 'a', of: { name: 'Ann Arbor' } as never })
    await until(() => db.table(one.registry.tables.note).count() === 1, 'it is noted')
    await db.call(one.tell, { payload: { text: 'so it is' } as never })
  })
  const two = appOf(2)
  await inside(path, two.application, async (db) => {
    await db.call(two.person.call, { id: 'a', of: { given: 'Ann', family: 'Bell' } as never })
    expect((await db.call(two.person.load, { id: 'a' })).state).toEqual(['Ann Arbor', 'Ann Bell'])
    const [event] = await take(db.events(two.registry.events.told, { from: 'beginning' }), 1)
    expect(event!.payload).toEqual({ words: ['so', 'it', 'is'] })
  })
  const three = appOf(3, true)
  await inside(path, three.application, async (db) => {
    await db.call(three.person.call, { id: 'a', of: { given: 'Ann', family: 'Cole', title: 'Dr' } as never })
    expect((await db.call(three.person.load, { id: 'a' })).state).toEqual(['Ann Arbor -', 'Ann Bell -', 'Ann Cole Dr'])
    expect(Array.from(db.table(three.person.tables.events), ({ shape }) => shape)).toEqual([1, 2, 3])
    const events = await take(db.events(three.person.events.named, { from: 'beginning' }), 3)
    expect(events.map(({ payload }) => payload)).toEqual([
      { id: 'a', version: 1, given: 'Ann', family: 'Arbor', title: '-' },
      { id: 'a', version: 2, given: 'Ann', family: 'Bell', title: '-' },
      { id: 'a', version: 3, given: 'Ann', family: 'Cole', title: 'Dr' },
    ])
    // The handler had seen the first, was not there for the second, and goes on where it was.
    await until(() => db.table(three.registry.tables.note).count() === 3, 'all are noted')
    expect(Array.from(db.table(three.registry.tables.note), ({ text }) => text).sort()).toEqual(['a 1 undefined', 'a 2 Bell', 'a 3 Cole'])
  })
  // Whoever knows less than was recorded does not open it.
  expect((await refused(openOnce(two.application, { path }), 'SCHEMA_MISMATCH')).message).toContain('shape 3 → 2')
})

/** Two versions of an application, one after the other on one log. */
import { app, column as c, service, table } from 'sluicedb'
import { expect, test } from 'vitest'
import { newFolder, openOnce, refused, take } from '../support/fixture.js'

/** What it writes says which version has written it: the procedure, and the handler behind the commit. */
function version(number: number) {
  const entry = table({ columns: { id: c.int(), by: c.int(), handledBy: c.int().nullable() }, key: ['id'] })
  const shop = service('shop', { tables: { entry }, events: { added: { id: c.int(), by: c.int() } } })
  const add = shop.procedure('add', { input: { id: c.int() } }, (tx, { id }) => {
    tx.db.entry.insert({ id, by: number })
    tx.emit('added', { id, by: number })
  })
  shop.on(shop.events.added, { name: 'handle' }, (tx, { payload: { id } }) => {
    tx.db.entry.update(id, { handledBy: number })
  })
  return { application: app(import.meta.url, [shop]), add, entry }
}

const perVersion = 200

test('§8.19 (services updated one by one): the old and the new version of an application never handle the same batch', { timeout: 60_000 }, async () => {
  const path = await newFolder()
  const [one, two] = [version(1), version(2)]
  const old = await openOnce(one.application, { path })
  const calls = Promise.all(Array.from({ length: perVersion }, (_, id) => old.call(one.add, { id })))
  // While the old one is at work the new one is not let in.
  await refused(openOnce(two.application, { path }), 'DATABASE_LOCKED')
  await calls
  await old.close() // its handlers may be behind: the new version goes on where they were

  const next = await openOnce(two.application, { path })
  await Promise.all(Array.from({ length: perVersion }, (_, n) => next.call(two.add, { id: perVersion + n })))
  const versionsOf = new Map<string, Set<number>>()
  // Each order, and the handling of each.
  const commits = await take(next.changes({ from: 'beginning', tables: [two.entry] }), 4 * perVersion)
  for (const { position, changes } of commits) {
    const batch = position.slice(0, position.indexOf('-'))
    const seen = versionsOf.get(batch) ?? new Set<number>()
    versionsOf.set(batch, seen)
    for (const change of changes) {
      if (change.kind === 'insert') seen.add(change.after.by)
      else if (change.kind === 'update') seen.add(change.after.handledBy!)
    }
  }
  expect([...versionsOf.values()].filter((seen) => seen.size !== 1)).toEqual([])
  const order = [...versionsOf.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, seen]) => [...seen][0])
  expect(order, 'all batches of the old version, then all of the new one').toEqual([...order].sort())
  expect(new Set(order)).toEqual(new Set([1, 2]))
  await next.close()
})

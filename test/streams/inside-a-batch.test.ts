/**
 * From a position in the middle of a batch: what is left of that batch comes first.
 *
 * The story: memory held the batch behind it, and no more the batch itself, which the files have. That looked like the next one, so the rest of the
 * batch was passed over: by streams, by clients that came back with the id of their last event, and by publishers.
 */
import { expect, test } from 'vitest'
import application, { change } from '../support/apps/interop-app.js'
import { newFolder, openFor, openOnce, take } from '../support/fixture.js'

test('after another opening, with a newer batch in memory', async () => {
  const path = await newFolder()
  let db = await openOnce(application, { path, durability: 'os' })
  await db.submitMany(change, Array.from({ length: 40 }, (_, id) => ({ id, text: 'one' })))
  const before = await take(db.changes({ from: 'beginning' }), 40)
  const [from, next] = [before[7]!.position, before[8]!.position]
  expect(from.split('-')[0], 'both are of one batch').toBe(next.split('-')[0])
  await db.close()
  db = await openFor(application, { path, durability: 'os' })
  const { position: newest } = await db.submit(change, { id: 1, text: 'two' })
  expect((await take(db.changes({ from }), 33)).map(({ position }) => position)).toEqual([...before.slice(8).map(({ position }) => position), newest])
})

/** `submitMany` feeds as fast as answers come, also where others feed beside it. */
import { expect, test } from 'vitest'
import notesApp, { notes, write } from '../support/apps/notes-app.js'
import { openFor } from '../support/fixture.js'

/**
 * The story: twelve loaders at once filled the ring of requests, and each waited for answers of its own only. Those who had none to
 * wait for gave up, and a fifth of the calls were refused as OVERLOADED although nobody had sent more than the database could hold.
 */
test('several at once, of more than the ring of requests holds, are all answered', async () => {
  const db = await openFor(notesApp)
  const text = 'x'.repeat(400)
  const inputs = (owner: string) => Array.from({ length: 4_096 }, (_, id) => ({ owner, id, text, tag: null }))
  const all = await Promise.all(Array.from({ length: 12 }, (_, n) => db.submitMany(write, inputs(`owner ${n}`))))
  expect(all.flat().filter((outcome) => !outcome.ok)).toEqual([])
  expect(db.table(notes.tables.note).count()).toBe(12 * 4_096)
})

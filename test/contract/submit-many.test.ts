/** `submitMany` feeds as fast as answers come, also where others feed beside it. */
import type { Outcome } from 'sluicedb'
import { expect, test } from 'vitest'
import { limits } from '../../engine/base/limits.js'
import notesApp, { notes, write } from '../support/apps/notes-app.js'
import { openFor, within } from '../support/fixture.js'
import { openInside } from '../support/inside.js'

const codesOf = (outcomes: readonly Outcome<unknown>[]): string[] => [...new Set(outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.error.code)))].sort()

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

/** The story: who waited for room heard of it from answers only. Calls that were withdrawn, or failed with the database, made room and told nobody. */
test('more than fit at once come to their end, also when none is answered', { timeout: 60_000 }, async () => {
  const inputs = (count: number, text: string) => Array.from({ length: count }, (_, id) => ({ owner: 'ann', id, text, tag: null }))
  const db = await openFor(notesApp)
  const controller = new AbortController()
  const withdrawn = db.submitMany(write, inputs(2_000, 'x'.repeat(8_000)), { signal: controller.signal })
  controller.abort()
  expect(codesOf(await within(25_000, 'all are withdrawn', withdrawn))).toEqual(['CANCELLED'])

  const inside = await openInside(notesApp, { workers: 1 })
  const failed = inside.db.submitMany(write, inputs(limits.callsInFlightMax, ''))
  inside.engine.logFailed('so says this test.')
  expect(codesOf(await within(25_000, 'all are refused', failed))).toEqual(['COMMIT_UNKNOWN', 'LOG_FAILED'])
})

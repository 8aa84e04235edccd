/** The bounds of erasures (engine/base/limits.ts), at each and one beyond. */
import { expect, test } from 'vitest'
import { limits } from '../../engine/base/limits.js'
import application, { note, people, putNote } from '../support/apps/erasure-app.js'
import { openFor, refused, take } from '../support/fixture.js'

const row = (id: number, owner: string) => ({ id, owner, text: null, n: 0 })

test('a subject of as many rows as a transaction takes is gone in one commit; with one more it is two', { timeout: 60_000 }, async () => {
  const db = await openFor(application)
  for (const [owner, count, commits] of [['ann', limits.erasureRowsMax, 1], ['bob', limits.erasureRowsMax + 1, 2]] as const) {
    await db.submitMany(putNote, Array.from({ length: count }, (_, id) => row(id, owner)))
    const stream = db.changes({ tables: [note] })
    const record = await db.erase(owner)
    expect(record.tables['people.note']!.rows).toBe(count)
    expect(db.table(people.tables.note).count()).toBe(0)
    await stream.close()
    const all = db.changes({ from: 'beginning' })
    let found = 0
    for await (const commit of all) {
      if (commit.procedure === undefined && commit.erased === true) found += 1
      if (commit.erasure?.subject === record.subject) break
    }
    expect(found).toBe(owner === 'ann' ? commits : commits + 1)
  }
})

/** The story: rows were taken 4,096 at a time whatever their length, so a subject with more than 16 MiB of them could not be erased at all. */
test('a subject with more bytes of rows than a transaction may write is gone in several commits', { timeout: 60_000 }, async () => {
  const db = await openFor(application)
  const count = Math.ceil((limits.transactionBytesMax * 2.5) / 100_000)
  await db.submitMany(putNote, Array.from({ length: count }, (_, id) => ({ id, owner: 'ann', text: 'z'.repeat(100_000), n: id })))
  const record = await db.erase('ann')
  expect(record.tables['people.note']!.rows).toBe(count)
  expect(db.table(note).count()).toBe(0)
})

test('as many answers as one commit blanks, and one more', { timeout: 60_000 }, async () => {
  const db = await openFor(application)
  for (const [owner, count] of [['ann', limits.erasureAnswersMax], ['bob', limits.erasureAnswersMax + 1]] as const) {
    await db.submitMany(putNote, Array.from({ length: count }, () => row(1, owner)), { id: (_, n) => `${owner.length}-${owner === 'ann' ? 'a' : 'b'}-${n}` })
    await db.erase(owner)
    for (const n of [0, count - 1]) {
      expect(await db.submit(putNote, row(1, owner), { id: `${owner.length}-${owner === 'ann' ? 'a' : 'b'}-${n}` })).toMatchObject({ value: undefined, repeated: true })
    }
  }
  expect(await take(db.changes({ from: 'beginning' }), 1)).toHaveLength(1)
})

test('a subject as long as it may be, and one byte longer', async () => {
  const db = await openFor(application)
  const longest = 'x'.repeat(limits.erasureSubjectBytesMax)
  await db.call(putNote, row(1, longest))
  await db.erase(longest)
  expect(db.table(note).count()).toBe(0)
  await refused(db.erase(`${longest}y`), 'INVALID_USE')
})

/**
 * A subscriber that sleeps while the ring of frames goes round. The story: where it stood, other bytes stood now, and it read them
 * before it asked whether they were still its own. Zeros in a value were an entry of no length, skipped for ever: main hung.
 */
import { SluiceError } from 'sluicedb'
import { expect, test } from 'vitest'
import bytesApp, { put } from '../support/apps/bytes-app.js'
import { newFolder, openFor, take } from '../support/fixture.js'

const MiB = 2 ** 20
const cases = [
  { fill: 0x00, size: 250_007 },
  { fill: 0x00, size: 99_991 },
  { fill: 0xff, size: 250_007 },
]

test.each(cases)('with a path it reads what it has missed from the files; $size bytes of $fill', { timeout: 60_000 }, async ({ fill, size }) => {
  const db = await openFor(bytesApp, { path: await newFolder(), durability: 'os', history: { bytes: 0 } })
  for (let n = 0; n < 10; n += 1) await db.call(put, { id: n, size: 100, fill: 1 })
  const stream = db.changes({ from: 'beginning' })[Symbol.asyncIterator]()
  let last = (await stream.next()).value!.position as string
  let calls = 10
  // The ring is 16 MiB long.
  for (let bytes = 0; bytes < 40 * MiB; bytes += size, calls += 1) await db.call(put, { id: calls % 20, size, fill })
  const rest = await take({ [Symbol.asyncIterator]: () => stream }, calls - 1, 'what was missed', 20_000)
  for (const { position } of rest) {
    expect(position > last).toBe(true)
    last = position
  }
})

test.each(cases)('without one it is told that it came too late; $size bytes of $fill', { timeout: 60_000 }, async ({ fill, size }) => {
  const db = await openFor(bytesApp, { history: { bytes: 0 } })
  for (let n = 0; n < 10; n += 1) await db.call(put, { id: n, size: 100, fill: 1 })
  const stream = db.changes({ from: 'beginning' })[Symbol.asyncIterator]()
  await stream.next()
  for (let bytes = 0, n = 0; bytes < 150 * MiB; bytes += size, n += 1) await db.call(put, { id: n % 20, size, fill })
  const ended = await take({ [Symbol.asyncIterator]: () => stream }, 1_000, 'a stream that is too late', 20_000).then(
    () => 'it went on',
    (error: unknown) => (error as Error).cause,
  )
  expect(SluiceError.is(ended, 'HISTORY_GONE'), String(ended)).toBe(true)
})

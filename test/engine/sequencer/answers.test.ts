/**
 * Answers on their way to main: long ones lie in the region until main has read them, however busy main is meanwhile and
 * however many batches follow; many short ones never overtake their ring (R42, R43, limits.ts).
 */
import { describe, expect, test } from 'vitest'
import lanesApp, { answer, bump, lanes } from '../../support/apps/lanes-app.js'
import { newFolder } from '../../support/fixture.js'
import { openInside } from '../../support/inside.js'

const expected = (at: number, characters: number): string => `${at}:`.padEnd(characters, String.fromCharCode(97 + (at % 26)))

describe.each([1, 2])('workers %i', (workers) => {
  test.each([false, true])('R13, R42: a long answer is what the procedure returned, though main reads and lets batches pass first; on disk: %s', { timeout: 30_000 }, async (onDisk) => {
    const { db, close } = await openInside(lanesApp, { workers, partitions: 4, memoryBytes: 128 * 2 ** 20, historyBytes: 0, ...(onDisk && { path: await newFolder() }) })
    const table = db.table(lanes.tables.cell)
    const calls: Promise<void>[] = []
    for (let round = 0; round < 60; round += 1) {
      for (let n = 0; n < 12; n += 1) {
        const at = (round * 12 + n) % 40
        const characters = 200 + ((round * 7919 + n * 104729) % 30_000)
        calls.push(db.call(answer, { at, characters }).then((text) => void (text === expected(at, characters) || expect.unreachable(`the answer of ${at} with ${characters} characters begins with ${text.slice(0, 40)}`))))
      }
      for (let n = 0; n < 4; n += 1) calls.push(db.call(bump, { at: n + 50, n: 1 }))
      await null
      // Main keeps the thread to itself: the workers go on, and every read follows the newest durable batch.
      const end = performance.now() + 4
      while (performance.now() < end) table.get(50)
      if (round % 10 === 9) await Promise.all(calls.splice(0))
    }
    await Promise.all(calls)
    expect(table.get(50)?.n).toBe(60)
    await close()
  })

  test('R43: as many short answers as may wait at once, while main does something else', { timeout: 30_000 }, async () => {
    const { db, close } = await openInside(lanesApp, { workers, partitions: 1 })
    const characters = 110
    const calls = Array.from({ length: 60_000 }, (_, n) => db.call(answer, { at: n, characters }))
    await null
    const end = performance.now() + 1_500
    while (performance.now() < end);
    const texts = await Promise.all(calls)
    texts.forEach((text, n) => text === expected(n, characters) || expect.unreachable(`answer ${n}: ${text}`))
    await close()
  })
})

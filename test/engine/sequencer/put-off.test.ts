/**
 * A lane that has recorded enough puts the rest off; it goes first in the next batch, in the order of arrival (R41). With many
 * partitions a lane may record 1 MiB, so six calls of 200 KB fill it.
 */
import { describe, expect, test } from 'vitest'
import { partitionOfOne } from '../../../engine/schema/placement.js'
import lanesApp, { bump, fill, lanes } from '../../support/apps/lanes-app.js'
import { newFolder, refused } from '../../support/fixture.js'
import { framesIn, openInside } from '../../support/inside.js'

const partitions = 1_024

describe.each([0, 2])('workers %i', (workers) => {
  test('R41: a full lane puts off what it has not begun; order is kept, others are not held up, nothing is lost or done twice', async () => {
    const path = await newFolder()
    const { db, close } = await openInside(lanesApp, { workers, partitions, path })
    const large = (n: number, at = 1) => db.submit(fill, { at, from: n * 100, rows: 20, characters: 10_000 }, n % 2 === 0 ? { id: `fill ${at} ${n}` } : {})
    const first = Array.from({ length: 20 }, (_, n) => large(n))
    const elsewhere = Array.from({ length: 20 }, (_, n) => db.submit(bump, { at: 100 + n, n: 1 }))
    const second = Array.from({ length: 10 }, (_, n) => large(20 + n))
    const [one, other, two] = await Promise.all([Promise.all(first), Promise.all(elsewhere), Promise.all(second)])
    const positions = [...one, ...two].map(({ position }) => position)
    expect(positions, 'arrival orders a lane, across batches').toEqual(positions.toSorted())
    expect(new Set(positions).size).toBe(30)
    expect([...db.table(lanes.tables.line).scan({ prefix: [1] })].length).toBe(30 * 20)
    expect([...db.table(lanes.tables.cell)].every(({ n }) => n === 1)).toBe(true)
    await close()
    const frames = framesIn(path)
    const lane = partitionOfOne(1, partitions)
    const perBatch = frames.map(({ records }) => records.filter((it) => it.lane === lane).length)
    expect(perBatch.reduce((a, b) => a + b)).toBe(30)
    expect(Math.max(...perBatch), 'no lane records much more than its share').toBeLessThanOrEqual(6)
    const firstOf = (position: string) => position.slice(0, 14)
    expect(other.every(({ position }) => firstOf(position) === firstOf(positions[0]!)), 'the other lanes are done in the first batch').toBe(true)
  })

  test('R41, R57: a repeat of a call that was put off gets its answer, not a refusal', async () => {
    const { db, close } = await openInside(lanesApp, { workers, partitions })
    const large = (n: number, id?: string) => db.submit(fill, { at: 1, from: n * 100, rows: 20, characters: 10_000 }, id === undefined ? {} : { id })
    const calls = Array.from({ length: 12 }, (_, n) => large(n, `fill ${n}`))
    const repeats = [large(11, 'fill 11'), large(10, 'fill 10'), large(0, 'fill 0')]
    const answers = await Promise.all(calls)
    const again = await Promise.all(repeats)
    expect(again.map(({ position }) => position)).toEqual([11, 10, 0].map((n) => answers[n]!.position))
    expect(again.every(({ repeated }) => repeated)).toBe(true)
    expect(answers.every(({ repeated }) => !repeated)).toBe(true)
    expect([...db.table(lanes.tables.line).scan({ prefix: [1] })].length).toBe(12 * 20)
    await refused(db.submit(bump, { at: 1, n: 1 }, { id: 'fill 11' }), 'ID_REUSED')
    await close()
  })
})

test('R43, F3: frames too long for the ring are logged whole, one after the other, and read back', { timeout: 60_000 }, async () => {
  const path = await newFolder()
  const { db, close } = await openInside(lanesApp, { workers: 1, partitions: 4, path, memoryBytes: 2 ** 30, historyBytes: 0 })
  // Twelve megabytes each in four lanes: a frame of 48 MB, longer than half the ring, several times.
  const places = [0, 1, 2, 3].map((partition) => Array.from({ length: 50 }, (_, n) => n).find((n) => partitionOfOne(n, 4) === partition)!)
  const rounds: Promise<unknown>[] = []
  for (let round = 0; round < 3; round += 1) {
    rounds.push(...places.map((at) => db.call(fill, { at, from: round * 10_000, rows: 1_200, characters: 10_000 + round })))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all(rounds)
  const rows = [...db.table(lanes.tables.line)].map(({ at, seq, text }) => `${at} ${seq} ${text.length}`)
  expect(rows.length).toBe(3 * 4 * 1_200)
  await close()
  expect(framesIn(path).flatMap(({ records }) => records).length).toBe(12)
  const again = await openInside(lanesApp, { workers: 0, path, memoryBytes: 2 ** 30 })
  expect([...again.db.table(lanes.tables.line)].map(({ at, seq, text }) => `${at} ${seq} ${text.length}`)).toEqual(rows)
  await again.close()
})

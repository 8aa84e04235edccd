/** `db.stats()` tells what was done, while it is done and afterwards, for every number of workers. */
import type { DatabaseStats, StageStats } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import lanesApp, { lanes, move, work, workAnywhere } from '../support/apps/lanes-app.js'
import { newFolder, openFor, until } from '../support/fixture.js'
import { openInside } from '../support/inside.js'

const add = (at: number) => ({ kind: 'add' as const, at, n: 1, text: '' })
const homes = Array.from({ length: 200 }, (_, n) => n)

function mustBeInOrder({ count, p50Ms, p90Ms, p99Ms, p999Ms, maxMs, meanMs }: StageStats): void {
  const times = [0, p50Ms, p90Ms, p99Ms, p999Ms, maxMs]
  expect(times).toEqual(times.toSorted((a, b) => a - b))
  expect(meanMs).toBeLessThanOrEqual(maxMs)
  if (count === 0) expect(maxMs).toBe(0)
}

describe.each([0, 1, 2])('workers: %i', (workers) => {
  test('requests, lanes and strays are those that were made', async () => {
    const db = await openFor(lanesApp, { workers, partitions: 8 })
    await Promise.all(homes.map((at) => db.call(work, { at, work: [add(at)] })))
    await Promise.all(homes.slice(0, 50).map((at) => db.call(workAnywhere, { work: [add(at), add(at + 1)] })))
    // From one partition to the next: all of them stray.
    await Promise.all(homes.slice(0, 30).map((at) => db.call(move, { from: at, to: at + 1, n: 1 })))
    const { batches, calls, stages, memory, snapshots, speculation } = db.stats()
    expect(batches).toMatchObject({ requests: 280, partitionLanes: 200, crossPartitionLane: 80, strays: 30 })
    expect(batches.count).toBeGreaterThan(2)
    expect(calls).toMatchObject({ waiting: 0, queuedBytes: 0 })
    expect(snapshots).toBe(0)
    for (const stage of Object.values(stages)) mustBeInOrder(stage)
    expect(stages.execute.count).toBeGreaterThan(0)
    expect(stages.execute.maxMs).toBeGreaterThan(0)
    expect(stages.queue.count).toBeGreaterThan(0)
    expect(stages.release.count).toBeGreaterThan(0)
    expect(memory.used).toBeLessThan(memory.reserved)
    expect(memory.isShort).toBe(false)
    if (workers < 2) expect(speculation).toEqual({ lanesAhead: 0, lanesInOrder: 0, kept: 0, stale: 0, unfinished: 0, staleRatio: 0 })
    else expect(speculation.lanesAhead + speculation.lanesInOrder).toBeGreaterThan(0)
  })

  test('with files: syncs, frames, and what is in the queue while nobody has taken it', async () => {
    const db = await openFor(lanesApp, { workers, partitions: 8, path: await newFolder() })
    const answers = Promise.all(homes.map((at) => db.call(work, { at, work: [add(at)] })))
    const during = db.stats()
    expect(during.calls.waiting).toBe(200)
    expect(during.calls.queuedBytes).toBeGreaterThan(200 * 32)
    await answers
    const { log, stages, durability } = db.stats()
    expect(durability).toBe('fsync')
    expect(log.frames).toBeGreaterThan(0)
    expect(log.frameBytes).toBeGreaterThan(log.frames * 100)
    expect(log.syncs).toBeGreaterThan(0)
    expect(log.syncs).toBeLessThanOrEqual(log.frames)
    expect(stages.sync).toMatchObject({ count: log.syncs })
    expect(stages.sync.p50Ms).toBeGreaterThan(0)
    await until(() => db.stats().log.unwrittenBytes === 0, 'all frames are written')
  })
})

test('the bound of calls in flight is the one that open() was given', async () => {
  expect((await openFor(lanesApp, { queue: { calls: 7 } })).stats().calls.waitingMax).toBe(7)
  expect((await openFor(lanesApp)).stats().calls.waitingMax).toBe(65_536)
})

test('streams and snapshots are counted while they are open', async () => {
  const db = await openFor(lanesApp)
  using _snapshot = db.snapshot()
  const stream = db.changes()
  const commits = stream[Symbol.asyncIterator]()
  await db.call(work, { at: 1, work: [add(1)] })
  expect(db.stats()).toMatchObject({ snapshots: 1, streams: { count: 1, behind: 1, inFiles: 0 } })
  await commits.next()
  expect(db.stats().streams).toEqual({ count: 1, behind: 0, inFiles: 0, buffered: 0 })
  await commits.return!()
  expect(db.stats().streams.count).toBe(0)
})

test('a closed database has none', async () => {
  const db = await openFor(lanesApp)
  await db.close()
  expect(() => db.stats()).toThrow(expect.objectContaining({ code: 'DATABASE_CLOSED' }))
})

test('runs ahead are counted by what became of them', async () => {
  const { db } = await openInside(lanesApp, { workers: 2, partitions: 8, speculation: 'always' })
  await Promise.all(homes.map((at) => db.call(work, { at, work: [add(at)] })))
  const before = db.stats().speculation
  // Apart: all of them hold, for the four rows that everybody reads by index stay. At one place, read and written: all but the first
  // of a batch are stale. Aborts run in order.
  await Promise.all(homes.slice(4).map((at) => db.call(workAnywhere, { work: [{ ...add(at), kind: 'set' }] })))
  const apart = db.stats().speculation
  expect(apart.kept - before.kept).toBe(196)
  expect(apart.staleRatio).toBe(0)
  await Promise.all(homes.map(() => db.call(workAnywhere, { work: [{ ...add(7), kind: 'set' }] })))
  const together: DatabaseStats['speculation'] = db.stats().speculation
  expect(together.stale - apart.stale).toBeGreaterThan(100)
  expect(together.staleRatio).toBeGreaterThan(0.2)
  await Promise.allSettled(homes.map((at) => db.call(workAnywhere, { work: [{ ...add(at), kind: 'abort' }] })))
  expect(db.stats().speculation.unfinished - together.unfinished).toBe(200)
  expect(db.table(lanes.tables.cell).count()).toBe(200)
})

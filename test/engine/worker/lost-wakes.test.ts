/**
 * A thread that dies may owe somebody something: a wake, a ring, the end of its lanes. Whoever waits for it must hear of its
 * death, or the database hangs, and `close()` with it.
 *
 * The story: a worker was terminated under load (row 15 of the fault table), and no call was ever answered again. The sequencer had let the lanes of
 * a batch start, and was terminated after it had woken one of the two others. The supervisor waited for both to come to the end of their
 * lanes, before it would wake anybody. The other tests are what was found beside it. Each brings about the one moment that matters.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { SluiceError } from 'sluicedb'
import { expect, test } from 'vitest'
import { limits } from '../../../engine/base/limits.js'
import { databaseState } from '../../../engine/shared/control.js'
import { partitionOfOne } from '../../../engine/schema/placement.js'
import fragileApp, { write } from '../../faults/apps/fragile-app.js'
import diesEarlyApp, { put } from '../../support/apps/dies-early-app.js'
import lanesApp, { busy } from '../../support/apps/lanes-app.js'
import { refused, until, within } from '../../support/fixture.js'
import { openInside, type Inside } from '../../support/inside.js'

const partitions = 4
const memoryBytes = 64 * 2 ** 20
/** What hangs, hangs for ever; the start of a worker may take seconds on a machine that does something else besides. */
const hangsMs = 25_000
const patient = { timeout: 3 * hangsMs }
/** A key whose partition belongs to a worker of two. */
const keyOf = (worker: number): number => Array.from({ length: 60 }, (_, n) => n).find((n) => partitionOfOne(n, partitions) % 2 === worker)!
/** The word in which a worker says that it sleeps (engine/shared/control.ts). */
const sleepsAt = (worker: number): number => (16 + 2 * worker) * 16
const isAsleep = (control: Inside['engine']['parts']['control'], worker: number): boolean => new Int32Array(control.buffer)[sleepsAt(worker)] === 1
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'ok',
    (error: unknown) => (SluiceError.is(error) ? error.code : String(error)),
  )

test('a lane that the sequencer did not live to wake is woken before anybody waits for its end', patient, async () => {
  const { db, engine } = await openInside(fragileApp, { workers: 2, partitions, memoryBytes })
  const { control } = engine.parts
  await db.call(write, { at: keyOf(1), n: 1 })
  await until(() => isAsleep(control, 0) && isAsleep(control, 1), 'both workers sleep')
  control.store('lanes', control.load('lanes') + 1) // what the sequencer does last
  engine.threads.kill(0)
  await until(() => control.load('state') === databaseState.failed, 'the supervisor has seen to it')
  await refused(db.call(write, { at: keyOf(1), n: 2 }), 'WORKER_LOST')
  await within(hangsMs, 'closing', db.close())
})

test('a wake whose flag was taken down by a thread that died before it notified is made up for', patient, async () => {
  const { db, engine, close } = await openInside(fragileApp, { workers: 2, partitions, memoryBytes })
  const { control } = engine.parts
  await db.call(write, { at: keyOf(1), n: 1 })
  await until(() => isAsleep(control, 0) && isAsleep(control, 1), 'both workers sleep')
  new Int32Array(control.buffer)[sleepsAt(0)] = 0
  engine.threads.kill(1)
  expect(await within(hangsMs, 'a call after the loss', codeOf(db.call(write, { at: keyOf(1), n: 2 })))).toBe('ok')
  await within(hangsMs, 'closing', close())
})

test('main, asleep, looks for itself when the thread is gone that was about to ring', patient, async () => {
  const { db, engine, close } = await openInside(lanesApp, { workers: 1, partitions, memoryBytes })
  const { control } = engine.parts
  await db.call(busy, { at: 1, ms: 1 })
  const call = codeOf(db.call(busy, { at: 1, ms: 2_000 }))
  const other = codeOf(db.call(busy, { at: 1, ms: 1 })) // behind it in its lane
  await until(() => control.load('mainSleeps') === 1 && control.running(0).place >= 0, 'main sleeps while a transaction runs')
  expect(control.mainMustBeRung()).toBe(true) // what a thread does first that rings
  engine.threads.kill(0)
  expect(await within(hangsMs, 'the answers', Promise.all([call, other]))).toEqual(['WORKER_LOST', 'ok'])
  await close()
})

test('a database that stopped while the sequencer waited for a dead lane closes', patient, async () => {
  const { db, engine } = await openInside(fragileApp, { workers: 2, partitions, memoryBytes })
  await db.call(write, { at: keyOf(1), n: 1 })
  // Each time nothing runs on worker 1, which is nobody's fault: that is borne once.
  for (const [n, expected] of [[2, 'ok'], [3, 'COMMIT_UNKNOWN']] as const) {
    await until(() => isAsleep(engine.parts.control, 1), 'worker 1 sleeps')
    engine.threads.kill(1)
    expect(await within(hangsMs, 'an answer', codeOf(db.call(write, { at: keyOf(1), n })))).toBe(expected)
  }
  await within(limits.procedureMsMax, 'closing', db.close())
})

test('a database that stopped while a procedure does not come back closes, within the limit of a procedure', patient, async () => {
  const stopAndClose = async (worker: number): Promise<void> => {
    const { db, engine } = await openInside(fragileApp, { workers: 2, partitions, memoryBytes })
    const call = codeOf(db.call(write, { at: keyOf(worker), n: 1, fate: 'middle wait' }))
    await until(() => engine.parts.control.running(worker).place >= 0, 'it runs')
    engine.logFailed('so says this test.')
    expect(await call).toBe('COMMIT_UNKNOWN')
    await within(hangsMs, 'closing', db.close())
  }
  await Promise.all([0, 1].map(stopAndClose))
})

test('nobody waits for a lane that a stuck procedure holds once the database has stopped', patient, async () => {
  const { db, engine } = await openInside(fragileApp, { workers: 2, partitions, memoryBytes })
  const call = codeOf(db.call(write, { at: keyOf(1), n: 1, fate: 'middle wait' }))
  await until(() => engine.parts.control.running(1).place >= 0, 'it runs')
  engine.threads.kill(0)
  await pause(100)
  engine.logFailed('so says this test.')
  expect(await call).toBe('COMMIT_UNKNOWN')
  await within(hangsMs, 'closing', db.close())
  const before = performance.eventLoopUtilization()
  await pause(200)
  expect(performance.eventLoopUtilization(before).utilization, 'the event loop has nothing to do').toBeLessThan(0.5)
})

test('a worker that is lost while others still start is heard of by the database that opens', patient, async () => {
  const { db } = await openInside(diesEarlyApp, { workers: 2, partitions, memoryBytes })
  const answers = await within(hangsMs, 'answers', Promise.all([0, 1].map((worker) => codeOf(db.call(put, { id: keyOf(worker), n: 1 })))))
  for (const code of answers) expect(['ok', 'COMMIT_UNKNOWN', 'WORKER_LOST']).toContain(code)
  await within(hangsMs, 'closing', db.close())
})

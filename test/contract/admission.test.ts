/** How calls get in: bounded queues, waiting in line, deadlines, and lists that leave room for others. */
import { describe, expect, test } from 'vitest'
import { SluiceError, type Database } from 'sluicedb'
import { limits } from '../../engine/base/limits.js'
import { chooseWorkers } from '../../engine/worker/worker-choice.js'
import queueApp, { note, noteWord, queue } from '../support/apps/queue-app.js'
import { newFolder, openFor, refused, until } from '../support/fixture.js'
import { openInside } from '../support/inside.js'
import { codeOf } from '../support/refusals.js'

/** Small: dozens of databases of one process keep their address space until it is collected. */
const memory = { bytes: 256 * 2 ** 20 }
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
/** Main does nothing else: no timer fires, no answer is taken. */
function blockMain(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}
const hasRun = (db: Database, id: number): boolean => db.table(queue.tables.run).has(id)
/** Some hundred milliseconds of a worker. */
const longTurns = 400_000_000

describe.each([0, 1])('workers %i: a queue of 4 calls', (workers) => {
  test('one more is OVERLOADED at once, says how many there are, has no effect; with answers there is room again', async () => {
    const db = await openFor(queueApp, { memory, workers, queue: { calls: 4 } })
    const calls = Array.from({ length: 6 }, (_, id) => db.call(note, { id }))
    const [fifth, sixth] = [await refused(calls[4]!, 'OVERLOADED'), await refused(calls[5]!, 'OVERLOADED')]
    expect([fifth.details, fifth.retryable, sixth.details['max']]).toEqual([{ max: 4 }, true, 4])
    expect(await Promise.all(calls.slice(0, 4))).toEqual([0, 1, 2, 3])
    expect([hasRun(db, 4), hasRun(db, 5)]).toEqual([false, false])
    expect(await db.call(note, { id: 4 })).toBe(4)
  })

  test.each(['open', 'call'] as const)('whenFull: wait, said to %s: all are answered, in the order in which they came', async (where) => {
    const db = await openFor(queueApp, { memory, workers, queue: where === 'open' ? { calls: 4, whenFull: 'wait' } : { calls: 4 } })
    const answered: number[] = []
    const calls = Array.from({ length: 500 }, (_, n) => db.call(note, { id: n * 16 }, where === 'call' ? { whenFull: 'wait' } : undefined).then(() => void answered.push(n)))
    await Promise.all(calls)
    expect(answered).toEqual(calls.map((_, n) => n))
  })

  test('an interactive transaction waits too, or is refused and has no effect; also with an id', async () => {
    // It was INVALID_USE: the types had the option, and the code that runs bodies did not know it.
    const db = await openFor(queueApp, { memory, workers, queue: { calls: 2 } })
    const write = (id: number, options: object) => db.transact((tx) => void tx.table(queue.tables.run).put({ id, list: false }), options)
    const answers = await Promise.allSettled(Array.from({ length: 12 }, (_, id) => write(id, { whenFull: 'wait', ...(id % 2 === 0 && { id: `it ${id}` }) })))
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 12 }, () => 'fulfilled'))
    const both = await Promise.all(Array.from({ length: 12 }, (_, n) => codeOf(write(100 + n, n % 2 === 0 ? { whenFull: 'refuse' } : {}))))
    expect(new Set(both)).toEqual(new Set(['ok', 'OVERLOADED']))
    expect(both.map((code, n) => hasRun(db, 100 + n) === (code === 'ok'))).not.toContain(false)
    await refused(write(1, { whenFull: 'later' }), 'INVALID_USE')
  })

  test('a call that does not wait is refused while others do, and does not overtake them', async () => {
    const db = await openFor(queueApp, { memory, workers, queue: { calls: 4, whenFull: 'wait' } })
    const waiting = Array.from({ length: 9 }, (_, id) => db.call(note, { id }))
    await refused(db.call(note, { id: 100 }, { whenFull: 'refuse' }), 'OVERLOADED')
    expect(await Promise.all(waiting)).toHaveLength(9)
  })

  test('an input is taken when the call is made, however long it waits', async () => {
    const db = await openFor(queueApp, { memory, workers, queue: { calls: 1, whenFull: 'wait' } })
    const input = { id: 0, word: '' }
    const calls = ['one', 'two', 'three'].map((word, id) => {
      Object.assign(input, { id, word })
      return db.call(noteWord, input)
    })
    input.word = 'none of them'
    expect(await Promise.all(calls)).toEqual(['one', 'two', 'three'])
    await refused(db.call(noteWord, { id: 1.5, word: '' }), 'INVALID_INPUT')
  })

  test('a call in line is withdrawn by its signal and by its time; the others move up', async () => {
    const db = await openFor(queueApp, { memory, workers, queue: { calls: 1, whenFull: 'wait' } })
    await db.call(note, { id: 1_000 })
    const controller = new AbortController()
    const first = db.call(note, { id: 0, turns: longTurns })
    const aborted = codeOf(db.call(note, { id: 1 }, { signal: controller.signal }))
    const late = codeOf(db.call(note, { id: 2 }, { timeoutMs: 1 }))
    const last = db.call(note, { id: 3 })
    controller.abort(new Error('enough'))
    expect([await aborted, await late]).toEqual(['CANCELLED', 'TIMEOUT'])
    expect([await first, await last]).toEqual([0, 3])
    expect([hasRun(db, 1), hasRun(db, 2)]).toEqual([false, false])
  })

  test('calls with an id keep their meaning in line', async () => {
    const db = await openFor(queueApp, { memory, workers, queue: { calls: 1, whenFull: 'wait' } })
    const receipts = await Promise.all(['a', 'b', 'a', 'b'].map((id, n) => db.submit(note, { id: n % 2 }, { id })))
    expect(receipts.map(({ repeated }) => repeated)).toEqual([false, false, true, true])
  })

  test('close waits for those in line', async () => {
    const db = await openFor(queueApp, { memory, workers, queue: { calls: 2, whenFull: 'wait' } })
    const calls = Promise.all(Array.from({ length: 50 }, (_, id) => db.call(note, { id })))
    await db.close()
    expect(await calls).toHaveLength(50)
    await refused(db.call(note, { id: 99 }), 'DATABASE_CLOSED')
  })
})

test('the line is bounded too', { timeout: 120_000 }, async () => {
  const inFlight = 8_192
  const db = await openFor(queueApp, { memory, workers: 1, queue: { calls: inFlight, whenFull: 'wait' } })
  const blocker = db.call(note, { id: -1, turns: longTurns })
  const calls = Array.from({ length: inFlight - 1 + limits.callsInLineMax + 2 }, (_, id) => codeOf(db.call(note, { id: -2 - id })))
  const codes = await Promise.all(calls.slice(-2))
  expect(codes).toEqual(['OVERLOADED', 'OVERLOADED'])
  expect(await blocker).toBe(-1)
  expect(new Set(await Promise.all(calls.slice(0, -2)))).toEqual(new Set(['ok']))
})

test('the line is bounded in bytes', async () => {
  const db = await openFor(queueApp, { memory, queue: { calls: 1, whenFull: 'wait' } })
  const word = 'w'.repeat(2 ** 20)
  const calls = Array.from({ length: limits.lineBytesMax / word.length + 1 }, (_, id) => codeOf(db.call(noteWord, { id, word })))
  const codes = await Promise.all(calls)
  // One runs, the others and their other bytes fill the line.
  expect(codes.at(-1)).toBe('OVERLOADED')
  expect(codes.slice(0, -1).filter((code) => code !== 'ok')).toEqual([])
})

describe('deadlines', () => {
  test('a request that expires in the ring behind a blocked worker never runs, also when main is blocked and its timers with it', async () => {
    const { db, engine } = await openInside(queueApp, { workers: 1, partitions: 4 })
    await db.call(note, { id: 1_000 })
    // Three rounds, so that one of them at least finds main slower than the worker.
    for (let round = 0; round < 3; round += 1) {
      const id = round * 10
      const blocker = db.call(note, { id, turns: longTurns })
      // Not before the worker is at it: else one batch takes both, and the late one is in time.
      await until(() => engine.parts.control.running(0).place >= 0, 'the blocker runs')
      const late = codeOf(db.call(note, { id: id + 1 }, { timeoutMs: 20 }))
      const inTime = db.call(note, { id: id + 2 }, { timeoutMs: 60_000 })
      await Promise.resolve()
      blockMain(1_500)
      expect(await blocker).toBe(id)
      expect(await late).toBe('TIMEOUT')
      expect(await inTime).toBe(id + 2)
      expect(hasRun(db, id + 1)).toBe(false)
    }
  })

  test('workers 0: what expired while main did something else does not run', async () => {
    const db = await openFor(queueApp, { memory })
    const late = refused(db.call(note, { id: 1 }, { timeoutMs: 5 }), 'TIMEOUT')
    const withId = refused(db.call(note, { id: 2 }, { timeoutMs: 5, id: 'again' }), 'TIMEOUT')
    const inTime = db.call(note, { id: 3 }, { timeoutMs: 60_000 })
    blockMain(20)
    expect((await late).retryable).toBe(true)
    await withId
    expect(await inTime).toBe(3)
    expect([hasRun(db, 1), hasRun(db, 2)]).toEqual([false, false])
    // It had no effect, so its id is free.
    expect(await db.call(note, { id: 2 }, { id: 'again' })).toBe(2)
  })
})

describe.each([0, 1])('workers %i: a list beside single calls', (workers) => {
  test('a list of 200,000 does not starve them: few of its calls stand before each', { timeout: 120_000 }, async () => {
    const db = await openFor(queueApp, { memory, workers, ...(workers === 1 ? { path: await newFolder() } : {}) })
    await db.call(note, { id: -1 })
    const length = 200_000
    const started = performance.now()
    let isOver = false
    const list = db.submitMany(note, Array.from({ length }, (_, id) => ({ id, list: true }))).then((outcomes) => {
      isOver = true
      return outcomes
    })
    const before: number[] = []
    const lateMs: number[] = []
    const rows = db.table(queue.tables.run)
    for (let n = 0; !isOver; n += 1) {
      const [seen, ms] = [rows.count(), performance.now()]
      await db.call(note, { id: -2 - n })
      before.push(rows.count() - seen)
      lateMs.push(performance.now() - ms)
      await sleep(0)
    }
    const wholeMs = performance.now() - started
    const outcomes = await list
    expect(outcomes.filter((outcome) => !outcome.ok)).toEqual([])
    const p99 = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)]!
    expect(before.length, 'single calls were answered meanwhile').toBeGreaterThan(20)
    // Its share, what one turn hands out besides, and what became durable between the two looks.
    expect(p99(before), `calls of the list before a single one; ${before.length} single calls`).toBeLessThan(4 * limits.fedBesideOthersMax)
    expect(p99(lateMs), `ms; the list took ${wholeMs.toFixed(0)} ms`).toBeLessThan(wholeMs / 5)
  })
})

test('a database is not called from what reads the input of another call', async () => {
  const db = await openFor(queueApp, { memory })
  const inner: string[] = []
  const input = {
    get id(): number {
      db.call(note, { id: 7 }).catch((error: unknown) => inner.push(SluiceError.is(error) ? error.code : 'another'))
      return 1
    },
  }
  expect(await db.call(note, input)).toBe(1)
  expect(inner).toEqual(['INVALID_USE'])
})

describe('workers: auto', () => {
  const environment = (processors: number, architecture = 'x64') => ({ processors, architecture })
  const choose = (processors: number, hasPath: boolean, others = {}) =>
    chooseWorkers({ environment: environment(processors), partitions: 16, hasPath, isLoadable: true, ...others }).workers

  test('leaves a processor to the caller, and from three on one to the log', () => {
    expect([1, 2, 3, 4, 8, 64].map((processors) => choose(processors, true))).toEqual([0, 1, 1, 2, 6, limits.workersAutoMax])
    expect([1, 2, 3, 4, 8, 64].map((processors) => choose(processors, false))).toEqual([0, 1, 2, 3, 7, limits.workersAutoMax])
  })

  test('no more than there are partitions; none where workers cannot be', () => {
    expect(choose(8, false, { partitions: 2 })).toBe(2)
    expect(choose(8, false, { isLoadable: false })).toBe(0)
    const arm = chooseWorkers({ environment: environment(8, 'arm64'), partitions: 16, hasPath: false, isLoadable: true })
    expect([arm.workers, arm.why]).toEqual([0, expect.stringContaining('arm64')])
  })

  test('a database opened so works', async () => {
    const db = await openFor(queueApp, { memory, workers: 'auto', path: await newFolder() })
    expect(await db.call(note, { id: 1 })).toBe(1)
  })
})

test.each([
  [{ queue: { calls: 0 } }, 'queue.calls'],
  [{ queue: { calls: limits.callsInFlightOptionMax + 1 } }, 'queue.calls'],
  [{ queue: { calls: 1.5 } }, 'queue.calls'],
  [{ queue: { length: 5 } }, 'queue'],
  [{ queue: { whenFull: 'block' } }, 'queue.whenFull'],
  [{ queue: 4 }, 'queue'],
  [{ workers: 'many' }, "'auto'"],
])('open refuses %j', async (options, named) => {
  const error = await refused(openFor(queueApp, options as never), 'INVALID_USE')
  expect(error.message).toContain(named)
})

test('a call refuses a whenFull that is none', async () => {
  const db = await openFor(queueApp, { memory })
  await refused(db.call(note, { id: 1 }, { whenFull: 'later' as never }), 'INVALID_USE')
  expect(hasRun(db, 1)).toBe(false)
})

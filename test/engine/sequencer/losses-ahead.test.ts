/**
 * Threads that are lost while they run ahead of their turn (design §3.3, R36): a call that dies only of a state that it never meets in order
 * is not blamed, and one that dies in order as well is. And the end of a database that has stopped: it can be closed.
 */
import { SluiceError } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import lostApp, { dieUnlessPrepared, fragile, prepare, put } from '../../support/apps/lost-app.js'
import { until, within } from '../../support/fixture.js'
import { openInside } from '../../support/inside.js'

const codeOf = (outcome: PromiseSettledResult<unknown>): string =>
  outcome.status === 'fulfilled' ? 'ok' : SluiceError.is(outcome.reason) ? outcome.reason.code : String(outcome.reason)

describe.each([1, 2])('workers %i', (workers) => {
  // What loops costs the watchdog's five seconds: once is enough.
  test.each(workers === 1 ? (['throw', 'exit'] as const) : (['throw', 'exit', 'loop'] as const))('%s: who dies only ahead of his turn is not blamed', { timeout: 60_000 }, async (how) => {
    const { db, close } = await openInside(lostApp, { workers, partitions: 4, memoryBytes: 2 ** 26, speculation: 'always' })
    const rounds = how === 'throw' ? 3 : 1
    for (let round = 0; round < rounds; round += 1) {
      const ids = [0, 1, 2].map((n) => round * 10 + n)
      // One batch: ahead, nothing is prepared.
      const outcomes = await within(
        40_000,
        how,
        Promise.allSettled([...ids.map((id) => db.call(prepare, { id })), ...ids.map((id) => db.call(dieUnlessPrepared, { id, how })), db.call(put, { id: 99, n: round })]),
      )
      expect(outcomes.map(codeOf)).toEqual(outcomes.map(() => 'ok'))
    }
    expect([...db.table(fragile.tables.item)].length).toBe(3 * rounds + 1)
    await close()
  })

  test('who dies ahead of his turn and in it is blamed, and nobody else', { timeout: 60_000 }, async () => {
    const { db, close } = await openInside(lostApp, { workers, partitions: 4, memoryBytes: 2 ** 26, speculation: 'always' })
    for (let round = 0; round < 2; round += 1) {
      const outcomes = await within(
        40_000,
        'a culprit',
        Promise.allSettled([
          db.call(prepare, { id: round }),
          db.call(dieUnlessPrepared, { id: round, how: 'exit' }),
          db.call(dieUnlessPrepared, { id: -1, how: 'exit' }),
          db.call(prepare, { id: 100 + round }),
        ]),
      )
      expect(outcomes.map(codeOf)).toEqual(['ok', 'ok', 'WORKER_LOST', 'ok'])
    }
    await close()
  })
})

// Found by test/crash/history.test.ts. Twice a thread was lost that nobody could be blamed for, and the database stopped, as it should; but
// the sequencer waited at the barrier for the thread that was not replaced any more, and close() waited for the sequencer.
test.each([2])('a database that has stopped for lost threads can be closed, workers %i', { timeout: 120_000 }, async (workers) => {
  const inside = await openInside(lostApp, { workers, partitions: 4, memoryBytes: 2 ** 26 })
  const { db, engine } = inside
  let isOver = false
  const hasStopped = (): boolean => engine.parts.control.load('state') !== 0
  let answers = 0
  const callers = Array.from({ length: 16 }, async (_, id) => {
    while (!isOver && !hasStopped()) {
      await db.call(put, { id, n: 1 }).then(
        () => (answers += 1),
        () => new Promise((resolve) => setImmediate(resolve)),
      )
    }
  })
  try {
    for (let loss = 0; loss < 30 && !hasStopped(); loss += 1) {
      const enough = answers + 50
      await until(() => answers >= enough || hasStopped(), 'calls go on after a loss', 60_000)
      engine.threads.kill(1)
    }
    await until(hasStopped, 'the database stops', 60_000)
  } finally {
    isOver = true
  }
  await within(20_000, 'the callers hear of it', Promise.all(callers))
  await within(20_000, 'closing', db.close())
})

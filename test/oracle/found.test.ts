/**
 * What the serial oracle found, told and made to happen without it. Each test begins with the story.
 */
import { app, column as c, service, table, type TxOf } from 'sluicedb'
import { expect, test } from 'vitest'
import type { Program } from '../../engine/schema/descriptor.js'
import { Bench, type Ahead } from './bench.js'

const line = table({
  columns: { at: c.int(), n: c.int().default(0), text: c.text().default('') },
  key: ['at'],
  ordered: true,
  indexes: { byN: { on: ['n'], range: true } },
})
const shelf = service('shelf', { tables: { line } })
type Tx = TxOf<typeof shelf>

/** What the next call does, by number: the batches run in this thread. */
const bodies: ((tx: Tx) => unknown)[] = []
shelf.procedure('run', { input: { n: c.int() } }, (tx, { n }) => bodies[n]!(tx))
const program = (app(import.meta.url, [shelf]) as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!

/** Runs the batches ahead and in order, and answers what was said, the same each time. */
function mustAgree(...batches: readonly ((tx: Tx) => unknown)[][]): string[][] {
  const modes: readonly Ahead[] = ['never', 'inline', 2]
  const runs = modes.map((ahead) => {
    const bench = new Bench(program, ahead, 1)
    const outcomes = batches.map((calls) => bench.run(calls.map((body) => ({ procedure: 0, input: { n: bodies.push(body) - 1 }, id: undefined, at: undefined }))))
    const answers = outcomes.map((outcome) => bench.spoken(outcome.answers))
    bench.check()
    bench.end()
    return { answers, frames: outcomes.map(({ frame }) => frame && Buffer.from(frame).toString('hex')) }
  })
  for (const one of runs) expect(one).toEqual(runs[0])
  return runs[0]!.answers
}

// Seed 3 of the first day. A call inserts a row and aborts: the row stays, as a deleted one (R14). The next call revives that row,
// which was noted as the row that it is; and a third one had read, ahead of its turn, that the key has none. It was not stale.
test('an insert where another one of the lane was undone is seen by a run that had found no row', () => {
  const [answers] = mustAgree([
    (tx) => {
      tx.db.line.insert({ at: 1 })
      throw tx.abort('UNWANTED')
    },
    (tx) => tx.db.line.insert({ at: 1 }),
    (tx) => tx.db.line.has(1),
  ])
  expect(answers![2]).toContain('ok true')
})

// Seed 2. A run goes along live rows, one of which it has inserted itself, deletes that one on the way and inserts it again. In order it is
// met, for it is the row that it was; ahead it was another copy, and passed over.
test('a row that a run inserts, deletes and inserts again while it goes along it is met, ahead as in order', () => {
  const [, answers] = mustAgree(
    [(tx) => tx.db.line.insert({ at: 1 })],
    [
      (tx) => {
        tx.db.line.insert({ at: 2, n: 5 })
        const seen: unknown[] = []
        for (const row of tx.db.line.rows()) {
          seen.push([row.at, row.n])
          if (row.at !== 1) continue
          tx.db.line.delete(2)
          tx.db.line.insert({ at: 2, n: 6 })
        }
        return seen
      },
    ],
  )
  expect(answers![0]).toContain('[[1,0],[2,6]]')
})

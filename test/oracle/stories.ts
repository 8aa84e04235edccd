/**
 * What the serial oracle found, told and made to happen without it: small batches of procedures, run ahead and in order. Each story throws
 * when the two differ, or when what they agree on is wrong.
 */
import { app, column as c, service, table, type TxOf } from 'sluicedb'
import type { Program } from '../../engine/schema/descriptor.js'
import { Bench, type Ahead } from './bench.js'

const line = table({
  columns: { at: c.int(), n: c.int().default(0), text: c.text().default('') },
  key: ['at'],
  ordered: true,
  indexes: { byN: { on: ['n'], range: true } },
})
const purse = table({
  columns: { at: c.int(), n: c.int(), spent: c.int().default(0) },
  key: ['at'],
  checks: { covered: (row) => row.spent <= row.n },
})
const shelf = service('shelf', { tables: { line, purse } })
type Body = (tx: TxOf<typeof shelf>) => unknown

/** What the next call does, by number: the batches run in this thread. */
const bodies: Body[] = []
shelf.procedure('run', { input: { n: c.int() } }, (tx, { n }) => bodies[n]!(tx))
const program = (app(import.meta.url, [shelf]) as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!

/** Runs the batches in order, ahead, and ahead by two; answers what the calls of the last one were told, the same each time. */
function told(...batches: readonly (readonly Body[])[]): string[] {
  const modes: readonly Ahead[] = ['never', 'inline', 2]
  const runs = modes.map((ahead) => {
    const bench = new Bench(program, ahead, 1, 96)
    const outcomes = batches.map((calls) => bench.run(calls.map((body) => ({ procedure: 0, input: { n: bodies.push(body) - 1 }, id: undefined, at: undefined }))))
    const answers = outcomes.map((outcome) => bench.spoken(outcome.answers))
    bench.check()
    bench.end()
    // The number of the body is no part of a frame: no call has an id.
    return { ahead, answers, said: JSON.stringify([answers, outcomes.map(({ frame }) => frame && Buffer.from(frame).toString('hex'))]) }
  })
  for (const { ahead, answers, said } of runs) {
    if (said !== runs[0]!.said) {
      throw new Error(`ahead (${ahead}): ${JSON.stringify(answers)}\nin order: ${JSON.stringify(runs[0]!.answers)}`)
    }
  }
  return runs[0]!.answers.at(-1)!
}

function mustSay(answer: string | undefined, what: string): void {
  if (answer?.startsWith(what) !== true) throw new Error(`the call was told ${answer}, and not ${what}`)
}

const longest = 16 * 2 ** 20

export const stories: Readonly<Record<string, () => void>> = {
  // Seed 3 of the first day. A call inserts a row and aborts: the row stays, as a deleted one (R14). The next call revives that row,
  // which was noted as the row that it is; and a third one had read, ahead of its turn, that the key has none. It was not stale.
  'an insert where another one of the lane was undone is seen by a run that had found no row': () => {
    const answers = told([
      (tx) => {
        tx.db.line.insert({ at: 1 })
        throw tx.abort('UNWANTED')
      },
      (tx) => tx.db.line.insert({ at: 1 }),
      (tx) => tx.db.line.has(1),
    ])
    mustSay(answers[2], 'ok true')
  },

  // Seed 2. A run goes along live rows, one of which it has inserted itself, deletes that one on the way and inserts it again. In order it
  // is met, for it is the row that it was; ahead it was another copy, and passed over.
  'a row that a run inserts, deletes and inserts again while it goes along it is met, ahead as in order': () => {
    const answers = told(
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
    mustSay(answers[0], 'ok [[1,0],[2,6]]')
  },

  // By a mutant that lived. An `add` reads only that the row exists, and two of them stay as they ran; what both add may break a check of the
  // row, which neither has broken ahead of its turn.
  'what two calls add, without looking, breaks a check of the row for the second one': () => {
    const answers = told(
      [(tx) => tx.db.purse.insert({ at: 1, n: 5 })],
      [
        (tx) => tx.db.purse.add(1, { spent: 3 }),
        (tx) => tx.db.purse.add(1, { spent: 3 }),
        (tx) => tx.db.purse.get(1)?.spent,
      ],
    )
    mustSay(answers[0], 'ok')
    mustSay(answers[1], 'CONSTRAINT')
    mustSay(answers[2], 'ok 3')
  },

  // By reading. A value of more than 16 MiB is refused; a run ahead did not ask how long its value is, and was committed with it.
  'a value that is too long is refused, ahead as in order': () => {
    const answers = told([
      (tx) => {
        tx.db.line.insert({ at: 1 })
        return 'x'.repeat(longest)
      },
      (tx) => tx.db.line.has(1),
    ])
    mustSay(answers[0], 'PROCEDURE_FAILED')
    mustSay(answers[1], 'ok false')
  },
  // By reading. A transaction may write so many bytes, and the long values of the rows that it changes count. Those of a row may grow in the
  // same batch, without its run reading them: in order it is refused, ahead it was committed.
  'a transaction that writes too much in its turn is refused, ahead as in order': () => {
    const answers = told(
      [(tx) => [1, 2].map((at) => tx.db.line.insert({ at }))],
      [
        (tx) => tx.db.line.update(1, { text: 'a'.repeat(9 * 2 ** 20) }),
        (tx) => tx.db.line.update(2, { text: 'b'.repeat(9 * 2 ** 20) }),
        (tx) => [1, 2].forEach((at) => tx.db.line.update(at, { n: 7 })),
      ],
    )
    mustSay(answers[1], 'ok')
    mustSay(answers[2], 'OUT_OF_SPACE')
  },
}

/**
 * Programs as lists of numbers, for the serial oracle (test/oracle).
 *
 * Each number is one step: it says what to do and where. What a program reads is stirred into its dice, and three of four numbers are
 * thrown with them: such a step does something else when anything that was read before it was otherwise. So a run on a state that
 * is not the one of its turn shows, sooner or later, in a row or in an answer. The other steps do what they do whatever was read:
 * writes that read nothing, and runs that stay good although their rows were written.
 *
 * Few keys on purpose: in a batch of a dozen programs several meet at the same rows, ranges and counters.
 */
import { app, column as c } from 'sluicedb'
import { programOf } from './stir-program.js'
import { other, stir } from './stir-tables.js'

const script = c.json<number[]>()
/** Cross-partition lane. */
export const anywhere = stir.procedure('anywhere', { input: { script } }, (tx, it) => programOf(tx, undefined, it.script))
/** The lane of a place, which it leaves now and then. */
export const somewhere = stir.procedure('somewhere', { input: { at: c.int(), script }, partition: (it) => it.at }, (tx, it) => programOf(tx, it.at, it.script))

other.on(
  () => stir.events.wrote,
  { name: 'counted', atomic: true },
  (tx, { payload }) => {
    const row = tx.db.tally.row(payload.at)
    if (row === undefined) tx.db.tally.insert({ at: payload.at, n: payload.n })
    else row.n = (row.n + payload.n) % 100
    if (row !== undefined && row.n % 11 === 10) tx.abort('ELEVEN', { at: payload.at })
    if (payload.n > 5) tx.emit('counted', { at: payload.at })
  },
)
stir.on(
  () => other.events.counted,
  { name: 'noticed', atomic: true },
  (tx, { payload }) => {
    if (tx.db.cell.has(payload.at)) tx.db.cell.add(payload.at, { twin: 1 })
  },
)

export default app(import.meta.url, [stir, other])

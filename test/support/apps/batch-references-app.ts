/**
 * Tables that refer to one another with `strength: 'batch'`: in one partition, elsewhere, in a circle, by several columns, beside a strong one;
 * and the same with other strengths, so that what is checked by batch can be held against them.
 */
import { app, column as c, service, table } from 'sluicedb'
import { take, type Step } from './references-app.js'

const steps = c.json<readonly Step[]>()
/** Runs of `dieWhenRunAgain` and of `countRuns` on this thread. */
let runs = 0
let counted = 0

/** `none`: nothing refers to anything. */
export function shopWith(strength: 'batch' | 'strong' | 'none') {
  const said = { strength: strength === 'none' ? 'strong' : strength } as const
  const refer = (column: any, to: () => unknown) => (strength === 'none' ? column : column.references(to, said))
  const ofTable = (references: Readonly<Record<string, { on: readonly string[]; to: () => unknown }>>): any =>
    strength === 'none' ? {} : { references: Object.fromEntries(Object.entries(references).map(([name, one]) => [name, { ...one, ...said }])) }
  const order = table({ columns: { id: c.int(), n: c.int().default(0) }, key: ['id'] })
  /** In the partition of its order. */
  const item = table({ columns: { order: c.int(), no: c.int(), text: c.text().default('') }, key: ['order', 'no'], ordered: true, ...ofTable({ ofOrder: { on: ['order'], to: () => order } }) })
  /** Anywhere else: one that names an item, and one that names an order. */
  const parcel = table({
    columns: { id: c.int(), order: refer(c.int().nullable(), () => order), of: c.int().nullable(), no: c.int().nullable(), n: c.int().default(0) },
    key: ['id'],
    ...ofTable({ ofItem: { on: ['of', 'no'], to: () => item } }),
  })
  const person: any = table({ columns: { id: c.int(), boss: refer(c.int().nullable(), () => person) }, key: ['id'] })
  /** Strong, to a table that refers by batch itself. */
  const note = table({ columns: { id: c.int(), parcel: c.int().references(() => parcel) }, key: ['id'] })
  const shop = service('shop', { tables: { order, item, parcel, person, note } })
  const runAll = (tx: { readonly db: unknown; abort(reason: string): never }, all: readonly Step[]): void => {
    for (const step of all) {
      if (step[1] === 'abort') tx.abort('asked')
      take(tx.db, step)
    }
  }
  const inLane = shop.procedure('inLane', { input: { at: c.int(), steps }, partition: (input) => input.at }, (tx, input) => runAll(tx, input.steps))
  const across = shop.procedure('across', { input: { steps } }, (tx, input) => runAll(tx, input.steps))
  /** Ends its thread when it is run there for the second time: a batch that runs again. */
  const dieWhenRunAgain = shop.procedure('dieWhenRunAgain', { input: { at: c.int() }, partition: (input) => input.at }, () => {
    runs += 1
    if (runs === 2) process.exit(3)
  })
  const countRuns = shop.procedure('countRuns', { input: { at: c.int() }, partition: (input) => input.at }, () => {
    counted += 1
    return counted
  })
  return { shop, inLane, across, dieWhenRunAgain, countRuns, application: app(import.meta.url, [shop]) }
}

export const byBatch = shopWith('batch')
export default byBatch.application

/**
 * Tables that refer to one another in every way: in one partition over three levels, across partitions, to a global table, to themselves,
 * in circles, and across services. What is written is what a call says.
 */
import { app, column as c, service, table } from 'sluicedb'

const customer = table({ columns: { id: c.int(), name: c.text().default('') }, key: ['id'] })
/** Of a customer, in the same partition. Its way back is an index of its own. */
const order = table({
  columns: { customer: c.int(), id: c.int(), total: c.int().default(0), coupon: c.text().nullable() },
  key: ['customer', 'id'],
  ordered: true,
  references: { ofCustomer: { on: ['customer'], to: () => customer }, byCoupon: { on: ['coupon'], to: () => coupon, onDelete: 'setNull' } },
})
/** Goes with its order; its own key is the way back. */
const line = table({
  columns: { customer: c.int(), order: c.int(), no: c.int(), product: c.text().nullable().references(() => product), paid: c.int().default(0) },
  key: ['customer', 'order', 'no'],
  ordered: true,
  references: { ofOrder: { on: ['customer', 'order'], to: () => order, onDelete: 'cascade' } },
  checks: { hasProduct: (row) => row.paid === 0 || row.product !== null },
})
/** Goes with its line: the third level. Not ordered, so that it needs an index. */
const note = table({
  columns: { customer: c.int(), id: c.int(), order: c.int(), no: c.int().nullable(), text: c.text().default('') },
  key: ['customer', 'id'],
  references: { ofLine: { on: ['customer', 'order', 'no'], to: () => line, onDelete: 'cascade' } },
})
const product = table({ columns: { name: c.text(), price: c.int().default(1) }, key: ['name'], partition: 'global' })
/** Somewhere else than the orders that name it. */
const coupon = table({ columns: { code: c.text(), owner: c.int().nullable().unique().references(() => customer, { onDelete: 'cascade' }) }, key: ['code'] })
/** In circles: with whom one goes, and who only loses sight. */
const person = table({
  columns: {
    id: c.int(),
    boss: c.int().nullable().references(() => person, { onDelete: 'cascade' }),
    friend: c.int().nullable().references(() => person, { onDelete: 'setNull' }),
    n: c.int().default(0),
  },
  key: ['id'],
})

export const shop = service('shop', {
  tables: { customer, order, line, note, product, coupon, person },
  events: { placed: { customer: c.int(), id: c.int() } },
})
/** Another service, whose rows hold what it names. */
export const billing = service('billing', {
  tables: {
    bill: table({
      columns: { customer: c.int(), id: c.int(), order: c.int().nullable(), at: c.int().default(0) },
      key: ['customer', 'id'],
      references: { ofOrder: { on: ['customer', 'order'], to: () => shop.tables.order } },
    }),
  },
})

export type Way = 'insert' | 'put' | 'update' | 'updateBy' | 'set' | 'add' | 'delete'
export type Key = number | string | readonly (number | string)[]
export type Row = Readonly<Record<string, number | string | null>>
/** What to do to which table: with a row, a key, or both. */
export type Step =
  | readonly [table: string, way: 'insert' | 'put', row: Row]
  | readonly [table: string, way: 'update' | 'updateBy' | 'set' | 'add', key: Key, patch: Row]
  | readonly [table: string, way: 'delete', key: Key]
  | readonly [table: string, way: 'abort']

interface Handle {
  insert(row: unknown): unknown
  put(row: unknown): void
  update(key: unknown, patch: unknown): void
  add(key: unknown, deltas: unknown): void
  delete(key: unknown): boolean
  row(key: unknown): Record<string, unknown> | undefined
}

export function take(db: unknown, [name, way, ...rest]: Step): void {
  const handle = (db as Readonly<Record<string, Handle>>)[name]!
  const [key, patch] = rest
  if (way === 'insert') handle.insert(key)
  else if (way === 'put') handle.put(key)
  else if (way === 'update') handle.update(key, patch)
  else if (way === 'updateBy') handle.update(key, () => patch)
  else if (way === 'add') handle.add(key, patch)
  else if (way === 'delete') handle.delete(key)
  else if (way === 'set') {
    const row = handle.row(key)
    if (row !== undefined) for (const [column, value] of Object.entries(patch as Row)) row[column] = value
  }
}

const steps = c.json<readonly Step[]>()

const bill = billing.procedure('bill', { input: { steps } }, (tx, input) => {
  for (const step of input.steps) take(tx.db, step)
})
/** Steps on tables of both services; those of `bill` are the other's. */
function runAll(tx: { readonly db: unknown; call(procedure: typeof bill, input: { steps: readonly Step[] }): unknown; abort(reason: string): never }, all: readonly Step[]): void {
  for (const step of all) {
    if (step[1] === 'abort') tx.abort('asked')
    if (step[0] === 'bill') tx.call(bill, { steps: [step] })
    else take(tx.db, step)
  }
}
export const inLane = shop.procedure('inLane', { input: { customer: c.int(), steps }, partition: (input) => input.customer }, (tx, input) => runAll(tx, input.steps))
export const across = shop.procedure('across', { input: { steps } }, (tx, input) => runAll(tx, input.steps))
/** What it emits places a line of the order, by an atomic handler. */
export const place = shop.procedure('place', { input: { customer: c.int(), id: c.int(), withOrder: c.bool() }, partition: (input) => input.customer }, (tx, input) => {
  tx.emit('placed', { customer: input.customer, id: input.id })
  if (input.withOrder) tx.db.order.insert({ customer: input.customer, id: input.id })
})
shop.on(shop.events.placed, { name: 'line', atomic: true }, (tx, { payload }) => {
  tx.db.line.insert({ customer: payload.customer, order: payload.id, no: 1 })
})

export default app(import.meta.url, [shop, billing])

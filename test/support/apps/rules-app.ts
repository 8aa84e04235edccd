/** Tables with rules: columns with signs and bounds, rows with checks. What is written, and by which way, is what a call says. */
import { app, column as c, service, table } from 'sluicedb'

export const sides = { least: -3, most: 3 }

const order = table({
  columns: {
    customer: c.text(),
    id: c.int(),
    total: c.int().nonNegative().default(0),
    paid: c.int().nonNegative().default(0),
    refund: c.i32().nonPositive().default(0),
    depth: c.f64().negative().default(-1),
    debt: c.bigint().negative().default(-1n),
    note: c.text().notBlank().maxLength(8).default('none'),
    code: c.text().pattern(/^[A-Z]{2}$/).nullable(),
    mood: c.enum(['calm', 'glad']).default('calm'),
    even: c.int().check((n) => n % 2 === 0, 'isEven').default(0),
    lines: c.json<number[]>().default([1]),
    /** What a check does beside answering. */
    trouble: c.enum(['none', 'throws', 'promises']).default('none'),
  },
  key: ['customer', 'id'],
  ordered: true,
  indexes: { byTotal: { on: ['total'], range: true } },
  checks: {
    notEmpty: (row) => row.lines.length > 0,
    covered: (row) => row.paid <= row.total,
    untroubled: (row) => {
      if (row.trouble === 'throws') throw new Error('a check that throws')
      return row.trouble === 'promises' ? (Promise.resolve(true) as never) : true
    },
  },
})
const plain = table({ columns: { id: c.int(), n: c.int().default(0) }, key: ['id'] })

export const rules = service('rules', {
  tables: { order, plain },
  events: { placed: { customer: c.text(), id: c.int(), total: c.int() } },
})

type Patch = Record<string, unknown>
/** Every way to write. */
export const ways = ['insert', 'put', 'update', 'updateBy', 'set', 'add'] as const
export type Way = (typeof ways)[number]

interface Handle {
  insert(row: unknown): unknown
  put(row: unknown): void
  update(key: unknown, patch: unknown): void
  add(key: unknown, deltas: unknown): void
  delete(key: unknown): boolean
  row(key: unknown): Patch | undefined
  get(key: unknown): Patch | undefined
}

function writeBy(orders: Handle, way: Way, customer: string, id: number, patch: Patch): void {
  const key = [customer, id]
  switch (way) {
    case 'insert':
      orders.insert({ customer, id, ...patch })
      return
    case 'put':
      orders.put({ ...(orders.get(key) ?? { customer, id }), ...patch })
      return
    case 'update':
      orders.update(key, patch)
      return
    case 'updateBy':
      orders.update(key, () => patch)
      return
    case 'set': {
      const row = orders.row(key)!
      for (const [name, value] of Object.entries(patch)) row[name] = value
      return
    }
    case 'add':
      orders.add(key, patch)
  }
}

const step = {
  customer: c.text(),
  id: c.int(),
  steps: c.json<readonly (readonly [Way | 'delete', Patch])[]>(),
  /** Swallows what is thrown. */
  catches: c.bool().default(false),
}

function run(tx: unknown, it: { customer: string; id: number; steps: readonly (readonly [Way | 'delete', Patch])[]; catches: boolean }): number {
  const orders = (tx as { db: { order: Handle } }).db.order
  for (const [way, patch] of it.steps) {
    try {
      if (way === 'delete') orders.delete([it.customer, it.id])
      else writeBy(orders, way, it.customer, it.id, patch)
    } catch (error) {
      if (!it.catches) throw error
    }
  }
  return it.steps.length
}

/** In the lane of the customer. */
export const write = rules.procedure('write', { input: step, partition: (it) => it.customer }, run)
/** In the cross-partition lane, where it may run ahead. */
export const writeAcross = rules.procedure('writeAcross', { input: step }, run)

/** The handler breaks, or mends, what the body has done. */
export const place = rules.procedure(
  'place',
  { input: { customer: c.text(), id: c.int(), total: c.int(), paid: c.int() }, partition: (it) => it.customer },
  (tx, it) => {
    tx.db.order.insert({ customer: it.customer, id: it.id, total: 0, paid: it.paid })
    tx.emit('placed', { customer: it.customer, id: it.id, total: it.total })
  },
)
rules.on(rules.events.placed, { name: 'price', atomic: true }, (tx, { payload }) => {
  tx.db.order.update([payload.customer, payload.id], { total: payload.total })
})

/** Pays a part of an order: a check decides when it is too much, and nothing else reads. */
export const pay = rules.procedure('pay', { input: { customer: c.text(), id: c.int(), amount: c.int() } }, (tx, it) => {
  tx.db.order.add([it.customer, it.id], { paid: it.amount })
})

export default app(import.meta.url, [rules])

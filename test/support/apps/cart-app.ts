/** Carts and accounts as sums of their events, for the tests of aggregates. */
import { aggregate, app, column as c, event, service, table } from 'sluicedb'

export const cart = aggregate('cart', {
  id: c.text(),
  events: {
    added: { product: c.text(), quantity: c.int().positive() },
    removed: { product: c.text() },
    checkedOut: { total: c.int(), note: c.text().nullable() },
    looked: {},
  },
  aborts: { CLOSED: {}, NOT_IN_CART: { product: c.text() } },
  initial: () => ({ lines: {} as Readonly<Record<string, number>>, open: true }),
  evolve: {
    added: (state, { product, quantity }) => ({ ...state, lines: { ...state.lines, [product]: (state.lines[product] ?? 0) + quantity } }),
    removed: (state, { product }) => {
      const { [product]: _gone, ...lines } = state.lines
      return { ...state, lines }
    },
    checkedOut: (state) => ({ ...state, open: false }),
    looked: (state) => state,
  },
  decide: {
    add: {
      input: { product: c.text(), quantity: c.int().positive().default(1) },
      run: (state, input, it) => {
        if (!state.open) throw it.abort('CLOSED')
        return { type: 'added', payload: input }
      },
    },
    remove: {
      input: { product: c.text() },
      run: (state, { product }, it) => {
        if (state.lines[product] === undefined) throw it.abort('NOT_IN_CART', { product })
        return { type: 'removed', payload: { product } }
      },
    },
    checkout: {
      input: {},
      run: (state, _input, it) => {
        if (!state.open) return
        return [{ type: 'looked' }, { type: 'checkedOut', payload: { total: Object.values(state.lines).reduce((sum, n) => sum + n, 0) + it.version } }]
      },
    },
  },
  snapshotEvery: 5,
})

export const account = aggregate('account', {
  id: c.int(),
  events: {
    credited: event({ amount: c.int() }),
    closed: {},
  },
  initial: () => ({ balance: 0, closed: false }),
  evolve: {
    credited: (state, { amount }) => ({ ...state, balance: state.balance + amount }),
    closed: (state) => ({ ...state, closed: true }),
  },
  decide: {
    credit: {
      input: { amount: c.int() },
      run: (state, { amount }, it) => (state.balance + amount < 0 ? it.abort('POOR', { balance: state.balance }) : { type: 'credited', payload: { amount } }),
    },
    close: { input: {}, run: () => ({ type: 'closed' }) },
  },
  snapshotEvery: false,
})

const seen = table({ columns: { n: c.int().generated(), cart: c.text(), what: c.text(), version: c.int() }, key: ['n'] })
export const shop = service('shop', { tables: { seen }, aggregates: { cart, account }, events: { told: { cart: c.text() } } })

/** What happens inside of the transaction of a cart is noted there. */
shop.on(shop.aggregates.cart.events.checkedOut, { name: 'note', atomic: true }, (tx, { payload }) => {
  tx.db.seen.insert({ cart: payload.id, what: `checked out at ${payload.total}`, version: payload.version })
})

export const addTwice = shop.procedure('addTwice', { input: { id: c.text() }, partition: (it) => it.id }, (tx, { id }) => {
  const { version } = tx.call(shop.aggregates.cart.add, { id, product: 'tea' })
  const stream = tx.aggregate.cart(id)
  const before = stream.state
  const after = stream.append([{ type: 'added', payload: { product: 'cup', quantity: 2 } }, { type: 'looked' }], { expectedVersion: version })
  return { before, after, state: stream.state, version: stream.version }
})
export const transfer = shop.procedure('transfer', { input: { from: c.int(), to: c.int(), amount: c.int() } }, (tx, { from, to, amount }) => {
  const payee = tx.aggregate.account(to)
  tx.call(shop.aggregates.account.credit, { id: from, amount: -amount })
  payee.append({ type: 'credited', payload: { amount } }, { appendIf: payee.without({ types: ['closed'] }) })
})
/** A credit that depends on another stream, which is not written to. */
export const creditUnless = shop.procedure(
  'creditUnless',
  { input: { id: c.int(), other: c.int(), above: c.int(), after: c.int().default(0) } },
  (tx, { id, other, above, after }) =>
    tx.aggregate.account(id).append(
      { type: 'credited', payload: { amount: 1 } },
      {
        appendIf: [
          tx.aggregate.account(other).without({ types: ['closed'] }),
          tx.aggregate.account(other).without({ types: ['credited'], after, where: (it) => it.type === 'credited' && it.payload.amount > above }),
        ],
      },
    ),
)
export const append = shop.procedure(
  'append',
  { input: { id: c.text(), events: c.json<readonly { readonly type: 'added'; readonly payload: { product: string; quantity: number } }[]>(), expected: c.json<number | 'none' | 'exists'>().nullable() }, partition: (it) => it.id },
  (tx, { id, events, expected }) => tx.aggregate.cart(id).append(events, { expectedVersion: expected ?? undefined }),
)
export const rebuild = shop.procedure('rebuild', { input: { id: c.text() }, partition: (it) => it.id }, (tx, { id }) => tx.aggregate.cart(id).rebuild())
export const history = shop.procedure('history', { input: { id: c.text(), after: c.int().default(0) }, readonly: true }, (tx, { id, after }) => [
  ...tx.aggregate.cart(id).events({ after }),
])
/** Catches what refused it, and tries to go on. */
export const stubborn = shop.procedure('stubborn', { input: { id: c.text() }, partition: (it) => it.id }, (tx, { id }) => {
  try {
    tx.aggregate.cart(id).append({ type: 'looked' }, { expectedVersion: 99 })
  } catch {
    tx.aggregate.cart(id).append({ type: 'looked' })
  }
})

export default app(import.meta.url, [shop])

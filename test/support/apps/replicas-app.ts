/** Products, and services that hold replicas of them: `cart` what stands and what the last batch left, `board` rows that follow. */
import { app, column as c, replica, service, table } from 'sluicedb'

export const catalog = service('catalog', {
  tables: {
    product: table({
      columns: {
        seller: c.text(),
        id: c.int(),
        name: c.text(),
        kind: c.text().default('tea'),
        price: c.int().min(0),
        version: c.int().min(0),
        tags: c.json<readonly string[]>().nullable(),
        secret: c.text().default('secret'),
      },
      key: ['seller', 'id'],
      ordered: true,
      indexes: {
        byKind: { on: ['seller', 'kind'] },
        byPrice: { on: ['price'], range: true },
        byName: { on: ['seller', 'name'], unique: true },
        bySecret: { on: ['seller', 'secret'] },
      },
    }),
    rate: table({ columns: { code: c.text(), value: c.f64(), secret: c.text().default('') }, key: ['code'], partition: 'global' }),
  },
})
const product = { seller: c.text(), id: c.int(), name: c.text(), kind: c.text().default('tea'), price: c.int(), version: c.int(), tags: c.json<readonly string[]>().nullable() }

export const set = catalog.procedure('set', { input: product, partition: (it) => it.seller }, (tx, it) => tx.db.product.put(it))
export const rename = catalog.procedure('rename', { input: { seller: c.text(), id: c.int(), secret: c.text() }, partition: (it) => it.seller }, (tx, { seller, id, secret }) =>
  tx.db.product.update([seller, id], { secret }),
)
export const drop = catalog.procedure('drop', { input: { seller: c.text(), id: c.int() }, partition: (it) => it.seller }, (tx, { seller, id }) =>
  tx.db.product.delete([seller, id]),
)
export const setRate = catalog.procedure('setRate', { input: { code: c.text(), value: c.f64() } }, (tx, it) => tx.db.rate.put(it))

const columns = ['name', 'kind', 'price', 'version', 'tags'] as const
export const cart = service('cart', {
  tables: { seen: table({ columns: { customer: c.text(), n: c.int(), last: c.int() }, key: ['customer', 'n'] }) },
  replicas: {
    now: replica(() => catalog.tables.product, { columns, strength: 'strong' }),
    last: replica(() => catalog.tables.product, { columns, strength: 'batch' }),
    rates: replica(() => catalog.tables.rate, { columns: ['value'], strength: 'batch' }),
  },
})
const where = { seller: c.text(), id: c.int() }
/** The version that the last batch left; runs where the customer is, and writes what it has seen. */
export const seeLast = cart.procedure('seeLast', { input: { customer: c.text(), n: c.int(), ...where }, partition: (it) => it.customer }, (tx, { customer, n, seller, id }) => {
  const last = tx.db.last.get([seller, id])?.version ?? 0
  tx.db.seen.put({ customer, n, last })
  return last
})
/** The same, where everything may be read, with what stands. */
export const seeBoth = cart.procedure('seeBoth', { input: where }, (tx, { seller, id }) => ({
  last: tx.db.last.get([seller, id])?.version ?? 0,
  now: tx.db.now.get([seller, id])?.version ?? 0,
}))
export const seeNow = cart.procedure('seeNow', { input: { customer: c.text(), ...where }, partition: (it) => it.customer }, (tx, { seller, id }) => tx.db.now.get([seller, id])?.version ?? 0)
/** Changes a product, and looks at it in the same transaction. */
export const setAndSee = cart.procedure('setAndSee', { input: product }, (tx, it) => {
  tx.call(set, it)
  return { last: tx.db.last.get([it.seller, it.id])?.version ?? 0, now: tx.db.now.get([it.seller, it.id])?.version ?? 0 }
})
/** Every way of reading each of them. */
export const everyWay = cart.procedure('everyWay', { input: where }, (tx, { seller, id }) =>
  [tx.db.now, tx.db.last].map((table) => ({
    get: table.get([seller, id]),
    has: [table.has([seller, id]), table.has([seller, -1])],
    row: Object.fromEntries(['seller', 'id', ...columns, 'secret'].map((name) => [name, (table.row([seller, id]) as never)[name]])),
    scan: [...table.scan({ prefix: [seller] })].map((row) => row.id),
    rows: Array.from(table.rows({ prefix: [seller], reverse: true }), (row) => row.version),
    byKind: table.index.byKind.get([seller, 'tea']).map((row) => row.id),
    byKindRows: Array.from(table.index.byKind.rows([seller, 'tea']), (row) => row.price),
    byPrice: [...table.index.byPrice.scan({ from: 20 })].map((row) => row.price),
    byName: table.index.byName.get([seller, 'two']),
    byNameRow: table.index.byName.row([seller, 'two'])?.version,
    count: table.count(),
    indexes: Object.keys(table.index),
  })),
)
export const overview = cart.procedure('overview', { input: where, readonly: true }, (tx, { seller, id }) => ({
  last: tx.db.last.get([seller, id]),
  now: tx.db.now.get([seller, id]),
  indexes: Object.keys(tx.db.now.index),
}))
export const rate = cart.procedure('rate', { input: { customer: c.text() }, partition: (it) => it.customer }, (tx) => tx.db.rates.get('eur'))
/** What is no way: a name of an operation, on a replica. */
export const tries: Readonly<Record<string, (table: never) => unknown>> = {
  insert: (table: { insert(row: object): void }) => table.insert({ seller: 'a', id: 1 }),
  put: (table: { put(row: object): void }) => table.put({ seller: 'a', id: 1 }),
  update: (table: { update(key: unknown, patch: object): void }) => table.update(['a', 1], { price: 1 }),
  add: (table: { add(key: unknown, deltas: object): void }) => table.add(['a', 1], { price: 1 }),
  delete: (table: { delete(key: unknown): void }) => table.delete(['a', 1]),
  set: (table: { row(key: unknown): { price: number } }) => (table.row(['a', 1]).price = 1),
  throughScan: (table: { rows(range: object): Iterable<{ price: number }> }) => {
    for (const row of table.rows({ prefix: ['a'] })) row.price = 1
  },
  throughIndex: (table: { index: { byKind: { rows(values: unknown): Iterable<{ price: number }> } } }) => {
    for (const row of table.index.byKind.rows(['a', 'tea'])) row.price = 1
  },
}
export const attempt = cart.procedure('attempt', { input: { how: c.text(), on: c.text() } }, (tx, { how, on }) => void tries[how]!((tx.db as never)[on]))
let kept: { readonly scan: Iterator<unknown>; readonly row: { readonly price: number } } | undefined
/** Takes something of a replica out of its transaction, and uses it in a later one. */
export const keep = cart.procedure('keep', { input: { on: c.text() } }, (tx, { on }) => {
  const table = on === 'now' ? tx.db.now : tx.db.last
  kept = { scan: table.scan()[Symbol.iterator](), row: table.row(['a', 1])! }
})
export const useKept = cart.procedure('useKept', { input: { what: c.text() } }, (_tx, { what }) => void (what === 'scan' ? kept!.scan.next() : kept!.row.price))

export const board = service('board', {
  replicas: {
    later: replica(() => catalog.tables.product, { columns, strength: 'eventual' }),
    rates: replica(() => catalog.tables.rate, { columns: ['value'], strength: 'eventual' }),
  },
})
export const seeLater = board.procedure('seeLater', { input: where, partition: (it) => it.seller }, (tx, { seller, id }) => ({
  get: tx.db.later.get([seller, id]),
  kinds: tx.db.later.index.byKind.get([seller, 'tea']).map((row) => row.id),
  indexes: Object.keys(tx.db.later.index),
}))
export const attemptLater = board.procedure('attemptLater', { input: { how: c.text() } }, (tx, { how }) => void tries[how]!(tx.db.later as never))

export default app(import.meta.url, [catalog, cart, board])

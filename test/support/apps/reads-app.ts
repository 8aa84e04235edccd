/** Stock and its movements, with every way of reading in procedures that only read. */
import { app, column as c, service, table } from 'sluicedb'

const item = table({
  columns: { id: c.text(), kind: c.enum(['tea', 'cup']), stock: c.int().min(0), tags: c.json<string[]>().default([]) },
  key: ['id'],
  indexes: { byKind: { on: ['kind'] }, byStock: { on: ['stock'], range: true } },
})
const move = table({ columns: { item: c.text(), n: c.int(), amount: c.int() }, key: ['item', 'n'], ordered: true })

export const store = service('store', { tables: { item, move }, events: { moved: { item: c.text() } }, aborts: { NO_ITEM: { id: c.text() } } })
/** Never tidy: what a read-only procedure keeps is of no use afterwards. */
export const kept: { tx?: any; row?: any; scan?: any } = {}

export const put = store.procedure('put', { input: { id: c.text(), kind: c.enum(['tea', 'cup']), stock: c.int() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.item.put(it)
})
/** Moves from one to another: the sum stays. */
export const moveStock = store.procedure('moveStock', { input: { from: c.text(), to: c.text(), n: c.int() } }, (tx, { from, to, n }) => {
  tx.db.item.add(from, { stock: -1 })
  tx.db.item.add(to, { stock: 1 })
  tx.db.move.insert({ item: from, n, amount: -1 })
  tx.db.move.insert({ item: to, n, amount: 1 })
})

export const stockOf = store.procedure('stockOf', { input: { id: c.text() }, readonly: true }, (tx, { id }) => {
  const row = tx.db.item.row(id) ?? tx.abort('NO_ITEM', { id })
  return row.stock
})
export const overview = store.procedure('overview', { readonly: true }, (tx) => {
  const items = [...tx.db.item.index.byStock.scan({ from: 0 })]
  return {
    items: tx.db.item.count(),
    moves: tx.db.move.count(),
    sum: items.reduce((sum, row) => sum + row.stock, 0),
    teas: tx.db.item.index.byKind.get('tea').map((row) => row.id),
    cups: Array.from(tx.db.item.index.byKind.rows('cup'), (row) => row.id),
    last: [...tx.db.move.scan({ reverse: true, limit: 2 })],
    moved: Array.from(tx.db.move.rows(), (row) => row.amount).reduce((sum, amount) => sum + amount, 0),
    first: items[0] === undefined ? null : tx.call(stockOf, { id: items[0].id }),
    at: tx.now,
    same: tx.now === Date.now() && new Date().getTime() === tx.now,
    chance: [tx.random(), tx.uuid()],
  }
})
/** The same from inside a transaction that writes. */
export const bookAndLook = store.procedure('bookAndLook', { input: { id: c.text() } }, (tx, { id }) => {
  tx.db.item.add(id, { stock: 1 })
  const { items, sum, first } = tx.call(overview)
  return { items, sum, first, stock: tx.call(stockOf, { id }) }
})

const attempts: Readonly<Record<string, (tx: any) => unknown>> = {
  insert: (tx) => tx.db.item.insert({ id: 'x', kind: 'tea', stock: 1 }),
  put: (tx) => tx.db.item.put({ id: 'x', kind: 'tea', stock: 1 }),
  update: (tx) => tx.db.item.update('a', { stock: 9 }),
  add: (tx) => tx.db.item.add('a', { stock: 9 }),
  delete: (tx) => tx.db.item.delete('a'),
  set: (tx) => (tx.db.item.row('a').stock = 9),
  setOfRows: (tx) => ([...tx.db.item.index.byKind.rows('tea')][0].stock = 9),
  define: (tx) => Object.defineProperty(tx.db.item.row('a'), 'stock', { value: 9 }),
  emit: (tx) => tx.emit('moved', { item: 'a' }),
  call: (tx) => tx.call(put, { id: 'a', kind: 'tea', stock: 9 }),
  start: (tx) => tx.start({}, {}),
}
export const writeAttempts = Object.keys(attempts)
/** Tries, and swallows what it meets. */
export const tries = store.procedure('tries', { input: { what: c.text() }, readonly: true }, (tx, { what }) => {
  try {
    attempts[what]!(tx)
  } catch {}
  return 'as if nothing had happened'
})
export const triesInside = store.procedure('triesInside', { input: { what: c.text() } }, (tx, { what }) => {
  tx.db.item.add('a', { stock: 1 })
  return tx.call(tries, { what })
})

export const ends = store.procedure('ends', { input: { how: c.text() }, readonly: true }, (tx, { how }): any => {
  if (how === 'throws') throw new RangeError('its own')
  if (how === 'promise') return Promise.reject(new Error('later'))
  if (how === 'accessor') return { row: tx.db.item.row('a') }
  if (how === 'timer') return setTimeout(() => {}, 1)
  if (how === 'reason') return (tx.abort as (reason: string) => never)('OTHER')
  if (how === 'scan') return [...(tx.db.item as unknown as { scan(): Iterable<unknown> }).scan()]
  kept.tx = tx
  kept.row = tx.db.item.row('a')
  kept.scan = tx.db.move.scan()
  return 'kept'
})

export default app(import.meta.url, [store])

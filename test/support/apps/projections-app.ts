/** Sales and what is made of them: a projection that follows, and one that is written where they happen. */
import { app, column as c, projection, type ProjectionTx, service, table } from 'sluicedb'

const stock = table({ columns: { product: c.text(), left: c.int() }, key: ['product'] })
export const shop = service('shop', {
  tables: { stock },
  events: { sold: { customer: c.text(), product: c.text(), quantity: c.int() }, returned: { customer: c.text(), product: c.text(), quantity: c.int() }, looked: { n: c.int() }, said: { text: c.text() } },
})
export const sell = shop.procedure('sell', { input: { customer: c.text(), product: c.text(), quantity: c.int() }, partition: (it) => it.customer }, (tx, it) => tx.emit('sold', it))
export const giveBack = shop.procedure('giveBack', { input: { customer: c.text(), product: c.text(), quantity: c.int() }, partition: (it) => it.customer }, (tx, it) => tx.emit('returned', it))
export const look = shop.procedure('look', { input: { n: c.int() } }, (tx, it) => tx.emit('looked', it))
/** Many sales in one transaction. */
export const sellMany = shop.procedure('sellMany', { input: { customer: c.text(), count: c.int() }, partition: (it) => it.customer }, (tx, { customer, count }) => {
  for (let n = 0; n < count; n += 1) tx.emit('sold', { customer, product: 'p', quantity: 1 })
})
export const say = shop.procedure('say', { input: { text: c.text() } }, (tx, it) => tx.emit('said', it))
export const restock = shop.procedure('restock', { input: { product: c.text(), left: c.int() }, partition: (it) => it.product }, (tx, it) => tx.db.stock.put(it))
export const remove = shop.procedure('remove', { input: { product: c.text() }, partition: (it) => it.product }, (tx, it) => tx.db.stock.delete(it.product))

const tables = () => ({
  total: table({ columns: { customer: c.text(), quantity: c.int(), last: c.text(), time: c.timestamp() }, key: ['customer'] }),
  sale: table({ columns: { customer: c.text(), n: c.int(), text: c.text() }, key: ['customer', 'n'], ordered: true, indexes: { byText: { on: ['text'] } } }),
})

/** `per`: what a piece counts for. `version`: of the projection. `keepOld`: as it says. */
export function appOf({ per = 1, version = 1, keepOld = false, url = import.meta.url }: { per?: number; version?: number; keepOld?: boolean; url?: string } = {}) {
  type Happened = { readonly type: string; readonly time: number; readonly payload: { readonly customer: string; readonly product: string; readonly quantity: number } }
  type Inside = ProjectionTx<ReturnType<typeof tables>>
  const count = (tx: Inside, { type, time, payload: { customer, product, quantity } }: Happened): void => {
    const row = tx.db.total.row(customer)
    const text = `${type} ${quantity} ${product}`
    if (row === undefined) tx.db.total.insert({ customer, quantity: quantity * per, last: product, time })
    else {
      row.quantity += quantity * per
      row.last = product
      row.time = time
    }
    const [newest] = tx.db.sale.scan({ prefix: [customer], reverse: true, limit: 1 })
    tx.db.sale.insert({ customer, n: (newest?.n ?? 0) + 1, text })
  }
  const inverse = ({ payload, ...rest }: Happened): Happened => ({ ...rest, payload: { ...payload, quantity: -payload.quantity } })
  const behind = projection('behind', { version, keepOld, tables: tables() })
    .on(shop.events.sold, (tx, event) => count(tx, event))
    .on(() => shop.events.returned, (tx, event) => count(tx, inverse(event)))
  const within = projection('within', { version, keepOld, inline: true, tables: tables() })
    .on(() => shop.events.sold, (tx, event) => count(tx, event))
    .on(shop.events.returned, (tx, event) => count(tx, inverse(event)))
  const levels = projection('levels', { version, tables: { level: table({ columns: { product: c.text(), left: c.int().nullable(), changes: c.int() }, key: ['product'] }) } }).on(
    shop.tables.stock,
    (tx, change) => {
      const before = tx.db.level.get(change.key)
      tx.db.level.put({ product: change.key, left: change.kind === 'delete' ? null : change.after.left, changes: (before?.changes ?? 0) + 1 })
    },
  )
  const report = service('report', { projections: { behind, within, levels } })
  const read = report.procedure('read', { input: { customer: c.text() }, readonly: true }, (tx, { customer }) => [
    tx.projection.behind.total.get(customer)?.quantity ?? 0,
    tx.projection.within.total.get(customer)?.quantity ?? 0,
  ])
  const readInLane = report.procedure('readInLane', { input: { customer: c.text() }, partition: (it) => it.customer }, (tx, { customer }) => tx.projection.within.total.get(customer)?.quantity ?? 0)
  return { application: app(url, [shop, report]), report, read, readInLane, ...report.projections }
}

const standard = appOf()
export const { application, report, read, readInLane, behind, within, levels } = standard
export default application

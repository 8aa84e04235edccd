/** The consumers-app, with projections of its orders, inline and behind, and one of what its consumer has made of them. */
import { app, column as c, projection, type ProjectionTx, service, table } from 'sluicedb'
import { post, shop } from './consumers-app.js'

const tables = () => ({ sum: table({ columns: { customer: c.text(), count: c.int(), hash: c.int() }, key: ['customer'] }) })

/** Depends on each number and on their order: one that is missing, or comes twice, or too early, is seen. */
export const hashOf = (hash: number, n: number): number => (hash * 31 + n + 1) % 1_000_003

function fold(tx: ProjectionTx<ReturnType<typeof tables>>, customer: string, n: number): void {
  const { count, hash } = tx.db.sum.get(customer) ?? { count: 0, hash: 0 }
  tx.db.sum.put({ customer, count: count + 1, hash: hashOf(hash, n) })
}

export const within = projection('within', { inline: true, tables: tables() }).on(shop.events.ordered, (tx, { payload }) => fold(tx, payload.customer, payload.n))
export const behind = projection('behind', { tables: tables() }).on(shop.events.ordered, (tx, { payload }) => fold(tx, payload.customer, payload.n))
/** Of the effects of the consumer. */
export const noted = projection('noted', { tables: tables() }).on(post.tables.seen, (tx, change) => {
  if (change.kind === 'insert') fold(tx, change.after.customer, change.after.n)
})

const report = service('report', { projections: { within, behind, noted } })

export default app(import.meta.url, [shop, post, report])

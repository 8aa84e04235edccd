/** Two services that do not wait for each other: what refers to nothing is told behind the commit, and counted by a third. */
import { app, column as c, referenceViolated, service, table } from 'sluicedb'

export const shop = service('shop', { tables: { order: table({ columns: { id: c.int() }, key: ['id'] }) } })
export const mail = service('mail', {
  tables: {
    parcel: table({
      columns: { id: c.int(), order: c.int().nullable().references(() => shop.tables.order, { strength: 'eventual' }), n: c.int().default(0) },
      key: ['id'],
    }),
  },
})
export const desk = service('desk', {
  tables: { complaint: table({ columns: { parcel: c.int(), order: c.int(), times: c.int() }, key: ['parcel', 'order'] }) },
})

export const order = shop.procedure('order', { input: { id: c.int() }, partition: (it) => it.id }, (tx, it) => tx.db.order.put(it))
export const cancel = shop.procedure('cancel', { input: { id: c.int() }, partition: (it) => it.id }, (tx, it) => tx.db.order.delete(it.id))
export const send = mail.procedure('send', { input: { id: c.int(), order: c.int().nullable() }, partition: (it) => it.id }, (tx, it) => tx.db.parcel.put(it))
export const touch = mail.procedure('touch', { input: { id: c.int() }, partition: (it) => it.id }, (tx, it) => tx.db.parcel.add(it.id, { n: 1 }))
desk.on(() => referenceViolated, { name: 'complain', atomic: true }, (tx, { payload }) => {
  const [parcel, to] = [payload.key as number, payload.value as number]
  const row = tx.db.complaint.row([parcel, to])
  if (row === undefined) tx.db.complaint.insert({ parcel, order: to, times: 1 })
  else row.times += 1
})

export default app(import.meta.url, [shop, mail, desk])

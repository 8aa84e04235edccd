/** Rows with one value of bytes, all the same. */
import { app, column as c, service, table } from 'sluicedb'

const rows = service('rows', { tables: { item: table({ columns: { id: c.int(), bytes: c.bytes() }, key: ['id'] }) } })

export const put = rows.procedure('put', { input: { id: c.int(), size: c.int(), fill: c.int() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.item.put({ id: it.id, bytes: new Uint8Array(it.size).fill(it.fill) })
})

export default app(import.meta.url, [rows])

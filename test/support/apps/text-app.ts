/** Rows with one long text. */
import { app, column as c, service, table } from 'sluicedb'

const notes = service('notes', { tables: { item: table({ columns: { id: c.int(), text: c.text() }, key: ['id'] }) } })

export const items = notes.tables.item
export const putText = notes.procedure('putText', { input: { id: c.int(), text: c.text() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.item.put(it)
})

export default app(import.meta.url, [notes])

/** What is published, and what counts what it has ingested: a call that came twice, or in another order, is seen in its rows. */
import { app, column as c, service, table } from 'sluicedb'

export const source = service('source', {
  tables: { item: table({ columns: { id: c.int(), text: c.text() }, key: ['id'] }) },
  events: { changed: { id: c.int(), text: c.text() } },
})
/** One change and one event. */
export const change = source.procedure('change', { input: { id: c.int(), text: c.text() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.item.put(it)
  tx.emit('changed', it)
})
export const quiet = source.procedure('quiet', { input: { id: c.int() }, partition: (it) => it.id }, (tx, { id }) => tx.db.item.put({ id, text: 'quiet' }))
export const drop = source.procedure('drop', { input: { id: c.int() }, partition: (it) => it.id }, (tx, { id }) => void tx.db.item.delete(id))

export const sink = service('sink', {
  tables: {
    /** In the order of the calls. */
    taken: table({ columns: { key: c.text(), n: c.int(), sequence: c.int(), text: c.text() }, key: ['key', 'n'], ordered: true }),
    count: table({ columns: { key: c.text(), n: c.int() }, key: ['key'] }),
    refused: table({ columns: { sequence: c.int(), reason: c.text() }, key: ['sequence'] }),
  },
  events: { took: { sequence: c.int() } },
  aborts: { POISON: {}, NOT_YET: {} },
})
export const take = sink.procedure('take', { input: { key: c.text().default(''), sequence: c.int(), text: c.text() }, partition: (it) => it.key }, (tx, { key, sequence, text }) => {
  if (text.startsWith('poison')) throw tx.abort('POISON')
  const n = (tx.db.count.get(key)?.n ?? 0) + 1
  tx.db.count.put({ key, n })
  tx.db.taken.insert({ key, n, sequence, text })
  tx.emit('took', { sequence })
})
/** Not before somebody has parked its message. */
export const takeParked = sink.procedure('takeParked', { input: { sequence: c.int(), text: c.text() } }, (tx, { sequence, text }) => {
  if (!tx.db.refused.has(sequence)) throw tx.abort('NOT_YET')
  tx.call(take, { key: '', sequence, text })
})
export const park = sink.procedure('park', { input: { sequence: c.int(), reason: c.text() }, partition: (it) => it.sequence }, (tx, it) => void tx.db.refused.insert(it))
export const look = sink.procedure('look', { readonly: true }, (tx) => ({ count: tx.db.taken.count() }))

export default app(import.meta.url, [source, sink])

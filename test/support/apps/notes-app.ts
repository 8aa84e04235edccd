/** Rows of every shape that a checkpoint has to keep: long values, composite keys, indexes, a global table, events, outcomes. */
import { app, column as c, service, table } from 'sluicedb'

const note = table({
  columns: { owner: c.text(), id: c.int(), text: c.text(), size: c.int(), tag: c.text().nullable(), data: c.json<unknown>().nullable() },
  key: ['owner', 'id'],
  ordered: true,
  indexes: { byTag: { on: ['tag'] }, bySize: { on: ['size'], range: true } },
})
const setting = table({ columns: { name: c.text(), value: c.bytes() }, key: ['name'], partition: 'global' })

export const notes = service('notes', { tables: { note, setting }, events: { written: { owner: c.text(), id: c.int() } } })

export const write = notes.procedure(
  'write',
  { input: { owner: c.text(), id: c.int(), text: c.text(), tag: c.text().nullable() }, partition: (it) => it.owner },
  (tx, { owner, id, text, tag }) => {
    tx.db.note.put({ owner, id, text, size: text.length, tag, data: text.length % 3 === 0 ? null : { length: text.length, text } })
    tx.emit('written', { owner, id })
    return { size: text.length }
  },
)
export const erase = notes.procedure('erase', { input: { owner: c.text(), id: c.int() }, partition: (it) => it.owner }, (tx, { owner, id }) =>
  tx.db.note.delete([owner, id]),
)
export const configure = notes.procedure('configure', { input: { name: c.text(), value: c.bytes() } }, (tx, it) => {
  tx.db.setting.put(it)
})
export const refuse = notes.procedure('refuse', { input: { owner: c.text() }, partition: (it) => it.owner }, (tx, { owner }) => {
  tx.db.note.put({ owner, id: 1, text: 'never', size: 5 })
  throw tx.abort('REFUSED', { owner })
})

export default app(import.meta.url, [notes])

/** Rows of people: some go with their subject, some stay without what is personal; events and answers that name people. */
import { app, column as c, service, table } from 'sluicedb'

export const people = service('people', {
  tables: {
    note: table({ columns: { id: c.int(), owner: c.text().subject(), text: c.text().nullable(), n: c.int() }, key: ['id'], indexes: { byOwner: { on: ['owner'], range: true } } }),
    visit: table({
      columns: { id: c.int(), owner: c.text().nullable().subject(), text: c.text().nullable(), n: c.int() },
      key: ['id'],
      ordered: true,
      erase: { columns: ['text'] },
    }),
  },
  events: { seen: { owner: c.text().subject(), n: c.int() } },
})
export const { note, visit } = people.tables

const row = { id: c.int(), owner: c.text(), text: c.text().nullable(), n: c.int() }
export const putNote = people.procedure('putNote', { input: row, partition: (it) => it.id }, (tx, it) => {
  tx.db.note.put(it)
  return it.owner
})
export const putVisit = people.procedure('putVisit', { input: row, partition: (it) => it.id }, (tx, it) => {
  tx.db.visit.put(it)
  tx.emit('seen', { owner: it.owner, n: it.n })
})
export const dropNote = people.procedure('dropNote', { input: { id: c.int() }, partition: (it) => it.id }, (tx, it) => void tx.db.note.delete(it.id))
export const dropVisit = people.procedure('dropVisit', { input: { id: c.int() }, partition: (it) => it.id }, (tx, it) => void tx.db.visit.delete(it.id))
/** A note that is on its way for a while. */
export const putNoteLate = people.procedure('putNoteLate', { input: { ...row, turns: c.int() }, partition: (it) => it.id }, (tx, { turns, ...it }) => {
  let sum = 0
  for (let n = 0; n < turns; n += 1) sum = (sum * 31 + n) | 0
  tx.db.note.put({ ...it, n: sum })
})
/** Several at once, over partitions. */
export const putBoth = people.procedure('putBoth', { input: row }, (tx, it) => {
  tx.db.note.put(it)
  tx.db.visit.put({ ...it, id: it.id + 1 })
})

export default app(import.meta.url, [people])

/** Procedures that go exactly to a limit, or one beyond: how far is their input. */
import { app, column as c, service, table } from 'sluicedb'

const text = table({ columns: { id: c.int(), text: c.text() }, key: ['id'] })
const keyed = table({ columns: { id: c.text(), n: c.int() }, key: ['id'], indexes: { byN: { on: ['n'] } } })

export const edge = service('edge', { tables: { text, keyed }, events: { said: { n: c.int() } } })

export const take = edge.procedure('take', { input: { text: c.text().nullable() } }, (_, it) => it.text?.length ?? -1)
/** Answers with text of so many characters. */
export const answer = edge.procedure('answer', { input: { characters: c.int() } }, (_, it) => 'a'.repeat(it.characters))
/** Writes rows of so many characters. */
export const put = edge.procedure('put', { input: { id: c.int(), rows: c.int(), characters: c.int() }, partition: (it) => it.id }, (tx, it) => {
  for (let n = 0; n < it.rows; n += 1) tx.db.text.put({ id: it.id, text: 'p'.repeat(it.characters - (it.rows === 1 ? 0 : n)) })
})
export const putKey = edge.procedure('putKey', { input: { characters: c.int(), n: c.int() } }, (tx, it) => {
  tx.db.keyed.put({ id: 'k'.repeat(it.characters), n: it.n })
})
export const say = edge.procedure('say', { input: { times: c.int() } }, (tx, it) => {
  for (let n = 0; n < it.times; n += 1) tx.emit('said', { n })
})
export const look = edge.procedure('look', { input: { times: c.int() } }, (tx, it) => {
  let found = 0
  for (let n = 0; n < it.times; n += 1) if (tx.db.text.get(1) !== undefined) found += 1
  return found
})
export const nest = edge.procedure('nest', { input: { depth: c.int() } }, (tx, it): number => (it.depth <= 1 ? 1 : 1 + (tx.call(nest, { depth: it.depth - 1 }) as number)))
export const touch = edge.procedure('touch', { input: { id: c.int() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.text.put({ id: it.id, text: '' })
})

export default app(import.meta.url, [edge])

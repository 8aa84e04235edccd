/** Calls that take as long as they are told, and leave a row each: what ran can be seen afterwards. */
import { app, column as c, service, table } from 'sluicedb'

const run = table({ columns: { id: c.int(), list: c.bool() }, key: ['id'] })

export const queue = service('queue', { tables: { run } })

/** `turns`: of a loop, about a nanosecond each. */
export const note = queue.procedure('note', { input: { id: c.int(), turns: c.int().default(0), list: c.bool().default(false) }, partition: (it) => it.id }, (tx, it) => {
  let n = 0
  for (; n < it.turns; n += 1);
  tx.db.run.insert({ id: it.id, list: it.list })
  return it.id
})

/** The place of the input is taken after the call: what the caller does with it then changes nothing. */
export const noteWord = queue.procedure('noteWord', { input: { id: c.int(), word: c.text() } }, (tx, it) => {
  tx.db.run.insert({ id: it.id, list: false })
  return it.word
})

export default app(import.meta.url, [queue])

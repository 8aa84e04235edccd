/**
 * Lists that only grow: for the judge of histories. The list is a JSON column in one table, and rows of
 * their own in another.
 */
import { app, column as c, service, table } from 'sluicedb'
import type { Action } from '../history.js'

const whole = table({ columns: { key: c.int(), items: c.json<number[]>() }, key: ['key'] })
const parts = table({
  columns: { key: c.int(), n: c.int(), value: c.int() },
  key: ['key', 'n'],
  partition: ['key'],
  ordered: true,
})

export const lists = service('lists', { tables: { whole, parts } })

export type Wish = { readonly append: number; readonly value: number } | { readonly read: number }

const input = { wishes: c.json<Wish[]>(), fails: c.bool().default(false) }

export const inWhole = lists.procedure('inWhole', { input }, (tx, it): Action[] => {
  const actions = it.wishes.map((wish): Action => {
    if ('read' in wish) return { read: wish.read, list: tx.db.whole.get(wish.read)?.items ?? [] }
    const row = tx.db.whole.row(wish.append)
    if (row) row.items = [...row.items, wish.value]
    else tx.db.whole.insert({ key: wish.append, items: [wish.value] })
    return wish
  })
  if (it.fails) throw tx.abort('UNWANTED')
  return actions
})

/** Declared by the key of its first wish; the others may make it stray. */
export const inParts = lists.procedure(
  'inParts',
  {
    input,
    partition: ({ wishes: [first] }) => (first && 'read' in first ? first.read : (first?.append ?? 0)),
  },
  (tx, it): Action[] => {
    const read = (key: number) => Array.from(tx.db.parts.scan({ prefix: [key] }), (row) => row.value)
    const actions = it.wishes.map((wish): Action => {
      if ('read' in wish) return { read: wish.read, list: read(wish.read) }
      tx.db.parts.insert({ key: wish.append, n: read(wish.append).length, value: wish.value })
      return wish
    })
    if (it.fails) throw tx.abort('UNWANTED')
    return actions
  },
)

export default app(import.meta.url, [lists])

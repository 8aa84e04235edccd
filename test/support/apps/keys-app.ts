/** Tables whose keys are drawn. */
import { app, column as c, service, table } from 'sluicedb'

/** Placed by its account; the sequence is that of the partition. */
const entry = table({
  columns: { account: c.text(), seq: c.int().generated(), amount: c.int().max(1_000).default(0) },
  key: ['account', 'seq'],
  partition: ['account'],
  ordered: true,
})
/** Placed by what it draws. */
const ticket = table({ columns: { id: c.int().generated(), title: c.text().default('') }, key: ['id'], ordered: true })
const world = table({
  columns: { id: c.u32().generated(), name: c.text() },
  key: ['id'],
  partition: 'global',
  ordered: true,
})
/** Drawn beside the key, from a number on, as long as it fits. */
const badge = table({
  columns: { owner: c.text(), number: c.i32().generated().min(100) },
  key: ['owner'],
})

export const keys = service('keys', {
  tables: { entry, ticket, world, badge },
  aborts: { UNWANTED: {} },
})

const book = { account: c.text(), amounts: c.json<number[]>(), aborts: c.bool().default(false) }
const bookBy = (tx: { db: { entry: { insert(row: object): readonly unknown[] } }; abort(reason: 'UNWANTED'): never }, it: { account: string; amounts: number[]; aborts: boolean }): number[] => {
  const drawn = it.amounts.map((amount) => tx.db.entry.insert({ account: it.account, amount })[1] as number)
  if (it.aborts) throw tx.abort('UNWANTED')
  return drawn
}
/** In the lane of the account, and in the cross-partition lane. */
export const add = keys.procedure('add', { input: book, partition: (it) => it.account }, (tx, it) => bookBy(tx as never, it))
export const addAcross = keys.procedure('addAcross', { input: book }, (tx, it) => bookBy(tx as never, it))
/** Draws, and deletes what it has drawn. */
export const addAndDrop = keys.procedure('addAndDrop', { input: { account: c.text() }, partition: (it) => it.account }, (tx, it) => {
  const [account, seq] = tx.db.entry.insert({ account: it.account })
  tx.db.entry.delete([account, seq])
  return seq
})
export const addAt = keys.procedure(
  'addAt',
  { input: { account: c.text(), seq: c.int(), puts: c.bool().default(false) }, partition: (it) => it.account },
  (tx, it) => {
    const row = { account: it.account, seq: it.seq }
    if (it.puts) tx.db.entry.put(row)
    else tx.db.entry.insert(row)
  },
)
/** Draws, and takes its worker along. */
export const perish = keys.procedure('perish', { input: { account: c.text() } }, (tx, it) => {
  tx.db.entry.insert({ account: it.account })
  tx.db.ticket.insert({})
  process.exit(3)
})
/** In the lane of any partition: `home` is a whole number. */
export const open = keys.procedure('open', { input: { home: c.int() }, partition: (it) => it.home }, (tx) => tx.db.ticket.insert({}))
export const openAcross = keys.procedure('openAcross', { input: { title: c.text().default('') } }, (tx, it) => tx.db.ticket.insert({ title: it.title }))
export const openAt = keys.procedure('openAt', { input: { id: c.int() } }, (tx, it) => tx.db.ticket.insert({ id: it.id }))
export const name = keys.procedure('name', { input: { name: c.text() } }, (tx, it) => tx.db.world.insert({ name: it.name }))
export const give = keys.procedure('give', { input: { owner: c.text(), number: c.int().nullable() } }, (tx, it) => {
  tx.db.badge.put({ owner: it.owner, ...(it.number !== null && { number: it.number }) })
  return tx.db.badge.get(it.owner)!.number
})

export default app(import.meta.url, [keys])

/** Parts with a key of two columns, one of every kind of column that a filter may ask for, and events: for the tests of streams. */
import { app, column as c, service, table } from 'sluicedb'

const part = table({
  columns: {
    shelf: c.text(), n: c.int(), count: c.int(), weight: c.f64().nullable(), kind: c.enum(['bolt', 'nut', 'gear']), note: c.text().nullable(), tags: c.json<readonly string[]>(), raw: c.bytes().nullable(), big: c.bigint(),
  },
  key: ['shelf', 'n'],
  ordered: true,
})
const label = table({ columns: { id: c.text(), text: c.text() }, key: ['id'] })

/** The columns of an event. */
export const counted = { count: c.int(), note: c.text().nullable() }
export const store = service('store', { tables: { part, label }, events: { moved: { shelf: c.text(), n: c.int() }, counted } })
const other = service('other', { tables: { thing: table({ columns: { id: c.int(), value: c.int() }, key: ['id'] }) } })

const row = { shelf: c.text(), n: c.int(), count: c.int(), weight: c.f64().nullable(), kind: c.enum(['bolt', 'nut', 'gear']), note: c.text().nullable(), tags: c.json<readonly string[]>(), raw: c.bytes().nullable(), big: c.bigint() }

/** Several steps of one transaction, in words: `+` puts, `-` deletes, `!` announces. */
export const work = store.procedure('work', { input: { steps: c.json<readonly Step[]>() } }, (tx, { steps }) => {
  for (const step of steps) {
    if (step.do === 'put') {
      const { weight, note, ...part } = step.row
      tx.db.part.put({ ...part, weight, note, raw: note === null ? null : new Uint8Array([part.count & 255, note.length]), big: BigInt(part.count) * 10_000_000_000n })
    } else if (step.do === 'delete') tx.db.part.delete([step.shelf, step.n])
    else if (step.do === 'label') tx.db.label.put({ id: step.id, text: step.text })
    else if (step.do === 'unlabel') tx.db.label.delete(step.id)
    else if (step.do === 'moved') tx.emit('moved', { shelf: step.shelf, n: step.n })
    else tx.emit('counted', { count: step.count, note: step.note ?? null })
  }
})
export type Step =
  | { readonly do: 'put'; readonly row: { shelf: string; n: number; count: number; weight: number | null; kind: 'bolt' | 'nut' | 'gear'; note: string | null; tags: readonly string[] } }
  | { readonly do: 'delete'; readonly shelf: string; readonly n: number }
  | { readonly do: 'label'; readonly id: string; readonly text: string }
  | { readonly do: 'unlabel'; readonly id: string }
  | { readonly do: 'moved'; readonly shelf: string; readonly n: number }
  | { readonly do: 'counted'; readonly count: number; readonly note?: string | null }

export const setThing = other.procedure('set', { input: { id: c.int(), value: c.int() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.thing.put(it)
})
/** One part, in the lane of its shelf. */
export const putPart = store.procedure('putPart', { input: row, partition: (it) => it.shelf }, (tx, it) => {
  tx.db.part.put(it)
})
export const count = store.procedure('count', { input: { shelf: c.text(), n: c.int() }, partition: (it) => it.shelf }, (tx, { shelf, n }) => {
  const part = tx.db.part.row([shelf, n])
  if (part) part.count += 1
  else tx.db.part.insert({ shelf, n, count: 1, weight: null, kind: 'nut', note: null, tags: [], raw: null, big: 0n })
})
/** `n` rows of one shelf in one transaction. */
export const fill = store.procedure('fill', { input: { shelf: c.text(), from: c.int(), n: c.int(), note: c.text().default('') }, partition: (it) => it.shelf }, (tx, it) => {
  for (let n = it.from; n < it.from + it.n; n += 1) tx.db.part.put({ shelf: it.shelf, n, count: 0, weight: null, kind: 'bolt', note: it.note, tags: [], raw: null, big: 0n })
})
/** Both at once, in different partitions. */
export const move = store.procedure('move', { input: { from: c.text(), to: c.text(), n: c.int() } }, (tx, { from, to, n }) => {
  for (const shelf of [from, to]) {
    const part = tx.db.part.row([shelf, n])
    if (part) part.count += shelf === from ? -1 : 1
    else tx.db.part.insert({ shelf, n, count: shelf === from ? -1 : 1, weight: null, kind: 'gear', note: null, tags: [], raw: null, big: 0n })
  }
  tx.emit('moved', { shelf: to, n })
})

export { other }
export default app(import.meta.url, [store, other])

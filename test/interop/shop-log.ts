/** A log with every type of column, every kind of change, two lives of a database and two segments, for readers that are not ours. */
import { join } from 'node:path'
import { app, column as c, service, table, type Commit, type Database } from 'sluicedb'
import { newFolder, openOnce, within } from '../support/fixture.js'
import type { Random } from '../support/random.js'

const states = ['new', 'in "use"', 'gone'] as const
const item = {
  id: c.text(), n: c.int(), weight: c.f64(), sold: c.bool(), note: c.text().nullable(), at: c.timestamp().nullable(), state: c.enum(states).nullable(),
  amount: c.bigint(), code: c.uuid(), data: c.bytes().nullable(), small: c.i32(), count: c.u32().nullable(), more: c.json<unknown>().nullable(),
}
const place = { row: c.int(), shelf: c.text(), item: c.text() }
const shop = service('shop', {
  tables: { item: table({ columns: item, key: ['id'] }), place: table({ columns: place, key: ['row', 'shelf'] }) },
  events: { stored: { item: c.text(), n: c.int().nullable() }, cleared: {} },
  aborts: { REFUSED: {} },
})
const store = shop.procedure('store', { input: item }, (tx, row) => {
  tx.db.item.put(row)
  tx.emit('stored', { item: row.id, n: row.n })
})
export const lay = shop.procedure('lay', { input: place }, (tx, row) => void tx.db.place.put(row))
const clear = shop.procedure('clear', { input: { id: c.text(), row: c.int(), shelf: c.text() } }, (tx, { id, row, shelf }) => {
  if (tx.db.item.get(id) !== undefined) tx.db.item.delete(id)
  if (tx.db.place.get([row, shelf]) !== undefined) tx.db.place.delete([row, shelf])
  tx.emit('cleared', {})
  tx.emit('stored', { item: id, n: null })
})
const refuse = shop.procedure('refuse', { input: { id: c.text() } }, (tx) => tx.abort('REFUSED', {}))
export const shopApp = app(import.meta.url, [shop])

/** Around the 20 bytes that stand in a row, and the multiples of 8 behind them. */
const lengths = [0, 1, 8, 19, 20, 21, 23, 24, 25, 100, 3_000]
const letters = ['a', 'Z', '"', '\\', '\n', '\u0001', 'é', '€', '𝄞'] as const
const textOf = (random: Random): string => {
  const length = random.pick(lengths)
  return random.chance(0.7) ? 'x'.repeat(length) : Array.from({ length: Math.min(length, 40) }, () => random.pick(letters)).join('')
}
const bytesOf = (random: Random): Uint8Array => Uint8Array.from({ length: random.pick(lengths) }, () => random.below(256))
const orNull = <Value>(random: Random, value: Value): Value | null => (random.chance(0.25) ? null : value)
const hex = (random: Random, digits: number): string => Array.from({ length: digits }, () => random.below(16).toString(16)).join('')

function itemOf(random: Random, id: string, old?: object) {
  const row = {
    id,
    n: random.pick([0, -1, 2 ** 53 - 1, -(2 ** 53 - 1), random.below(1_000)]),
    weight: random.pick([0, 1.5, -1e-320, 1.7976931348623157e308, 0.1, Infinity, -Infinity, random.fraction()]),
    sold: random.chance(0.5),
    note: orNull(random, textOf(random)),
    at: orNull(random, random.below(2 ** 31) * 1_000 + 7),
    state: orNull(random, random.pick(states)),
    amount: random.pick([0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), BigInt(random.below(1_000))]),
    code: `${hex(random, 8)}-${hex(random, 4)}-4${hex(random, 3)}-8${hex(random, 3)}-${hex(random, 12)}`,
    data: orNull(random, bytesOf(random)),
    small: random.pick([0, -(2 ** 31), 2 ** 31 - 1]),
    count: orNull(random, random.pick([0, 2 ** 32 - 1, 5])),
    more: orNull<unknown>(random, { list: [random.below(100), textOf(random)], none: null }),
  }
  // Few columns change: most words of the row before are those of the row after.
  if (old === undefined || random.chance(0.5)) return row
  const changed = random.pick(['note', 'data', 'n', 'state', 'count', 'more'] as const)
  return { ...(old as typeof row), [changed]: row[changed] }
}

/** A closed database of two lives, and what its stream says of it. */
export async function makeShop(random: Random, calls: number): Promise<{ readonly path: string; readonly commits: readonly Commit[] }> {
  const path = join(await newFolder(), 'shop')
  const options = { path, workers: 0, durability: 'os' } as const
  const first = await openOnce(shopApp, options)
  for (let n = 0; n < calls / 2; n += 1) await one(first, random)
  await first.call(refuse, { id: 'x' }, { id: 'refused' }).catch(() => undefined)
  await first.close()
  const db = await openOnce(shopApp, options)
  try {
    for (let n = 0; n < calls / 2; n += 1) await one(db, random)
    // Of a size that the first segment has no room for.
    for (let n = 0; n < 5; n += 1) await db.call(store, { ...itemOf(random, `long ${n}`), note: 'y'.repeat(1_000_001 + n) })
    const { position } = await db.submit(lay, { row: 9, shelf: 'the last', item: '' })
    const commits: Commit[] = []
    await within(10_000, 'the stream', (async () => {
      for await (const commit of db.changes({ from: 'beginning' })) if (commits.push(commit) > 0 && commit.position === position) break
    })())
    return { path, commits }
  } finally {
    await db.close()
  }
}

async function one(db: Database, random: Random): Promise<void> {
  const id = `item ${random.below(8)}`
  const where = { row: random.below(2), shelf: random.pick(['a', 'ü', 'a shelf with a long name']) }
  const kind = random.below(10)
  if (kind < 6) await db.call(store, itemOf(random, id, db.table(shop.tables.item).get(id)))
  else if (kind < 8) await db.call(lay, { ...where, item: textOf(random) })
  else await db.call(clear, { id, ...where })
}

/**
 * Two or three numbered values, and procedures that run a line of a schedule: `r 1`, `w 1 11`, `all`, `mod
 * 3`, `del 20`, ... See `../../schedules`.
 */
import { app, column as c, service, table, type TxOf } from 'sluicedb'

const value = table({
  columns: { id: c.int(), value: c.int() },
  key: ['id'],
  ordered: true,
  indexes: { byValue: { on: ['value'], range: true } },
})
/** The same rows, all of them in one partition. */
const together = table({
  columns: { place: c.int(), id: c.int(), value: c.int() },
  key: ['place', 'id'],
  ordered: true,
  indexes: { byValue: { on: ['place', 'value'], range: true } },
})

export const history = service('history', { tables: { value, together } })

export interface Values {
  get(id: number): number
  set(id: number, value: number): void
  insert(id: number, value: number): void
  delete(id: number): void
  all(): (readonly [id: number, value: number])[]
  equal(value: number): number[]
}

const apart = (tx: TxOf<typeof history>): Values => ({
  get: (id) => tx.db.value.get(id)?.value ?? -1,
  set: (id, value) => tx.db.value.update(id, { value }),
  insert: (id, value) => tx.db.value.insert({ id, value }),
  delete: (id) => tx.db.value.delete(id),
  all: () => Array.from(tx.db.value.scan(), (row) => [row.id, row.value] as const),
  equal: (value) => tx.db.value.index.byValue.get(value).map((row) => row.id),
})

const placed = (tx: TxOf<typeof history>): Values => ({
  get: (id) => tx.db.together.get([1, id])?.value ?? -1,
  set: (id, value) => tx.db.together.update([1, id], { value }),
  insert: (id, value) => tx.db.together.insert({ place: 1, id, value }),
  delete: (id) => tx.db.together.delete([1, id]),
  all: () => Array.from(tx.db.together.scan({ prefix: [1] }), (row) => [row.id, row.value] as const),
  equal: (value) => tx.db.together.index.byValue.get([1, value]).map((row) => row.id),
})

/** Runs one line; answers what it read. */
export function step(values: Values, tx: { abort(reason: string): never }, line: string): string {
  const [verb, ...rest] = line.trim().split(/\s+/)
  const [one = 0, two = 0] = rest.map(Number)
  const show = (found: readonly (readonly [number, number])[]) =>
    found.map(([id, it]) => `${id}=${it}`).join(' ') || 'nothing'
  switch (verb) {
    case 'r':
      return String(values.get(one))
    case 'w':
      values.set(one, two)
      return ''
    case 'insert':
      values.insert(one, two)
      return ''
    case 'all':
      return show(values.all())
    case 'mod':
      return show(values.all().filter(([, it]) => it % one === 0))
    case 'equal':
      return values.equal(one).join(' ') || 'nothing'
    case 'grow':
      for (const [id, it] of values.all()) values.set(id, it + one)
      return ''
    case 'change':
      for (const id of values.equal(one)) values.set(id, two)
      return ''
    case 'delete':
      for (const id of values.equal(one)) values.delete(id)
      return ''
    case 'abort':
      return tx.abort('UNWANTED')
    default:
      throw new Error(`no such step: ${line}`)
  }
}

const lines = { steps: c.json<string[]>() }

/** Rows in partitions of their own; no partition declared. */
export const across = history.procedure('across', { input: lines }, (tx, it) =>
  it.steps.map((line) => step(apart(tx), tx, line)),
)

/**
 * Rows in partitions of their own; declared as one of them. An index that does not fix the partition makes
 * each of them stray.
 */
export const stray = history.procedure('stray', { input: lines, partition: () => 1 }, (tx, it) => {
  tx.db.value.index.byValue.get(0)
  return it.steps.map((line) => step(apart(tx), tx, line))
})

/** All rows in the declared partition. */
export const inside = history.procedure('inside', { input: lines, partition: () => 1 }, (tx, it) =>
  it.steps.map((line) => step(placed(tx), tx, line)),
)

/** The same, reading what the batch before has left; and placed with the row of a number, whose rows are where they are. */
export const acrossSnapshot = history.procedure('acrossSnapshot', { input: lines, isolation: 'snapshot' }, (tx, it) => it.steps.map((line) => step(apart(tx), tx, line)))
export const insideSnapshot = history.procedure('insideSnapshot', { input: lines, partition: () => 1, isolation: 'snapshot' }, (tx, it) =>
  it.steps.map((line) => step(placed(tx), tx, line)),
)
export const apartSnapshot = history.procedure('apartSnapshot', { input: { at: c.int(), ...lines }, partition: (it) => it.at, isolation: 'snapshot' }, (tx, it) =>
  it.steps.map((line) => step(apart(tx), tx, line)),
)

export const reset = history.procedure('reset', {}, (tx) => {
  for (const row of tx.db.value.scan()) tx.db.value.delete(row.id)
  for (const row of tx.db.together.scan()) tx.db.together.delete([row.place, row.id])
  for (const [id, it] of [
    [1, 10],
    [2, 20],
  ] as const) {
    tx.db.value.insert({ id, value: it })
    tx.db.together.insert({ place: 1, id, value: it })
  }
})

export default app(import.meta.url, [history])

/**
 * For tests of lanes: what is drawn (time, chance, order) goes into rows, answers and events, so that any difference between
 * two runs of the same batch shows in the log. And procedures that go wrong in the ways an engine must survive.
 */
import { app, column as c, service, table, type TxOf } from 'sluicedb'

const cell = table({
  columns: {
    at: c.int(),
    n: c.int().min(0),
    twin: c.int(),
    name: c.text().default(''),
    note: c.text().nullable(),
    blob: c.bytes().nullable(),
    drawn: c.f64().default(0),
    time: c.timestamp().default(0),
  },
  key: ['at'],
  indexes: { byN: { on: ['n'], range: true }, byName: { on: ['name'] } },
})
/** Many rows of one place, in order. */
const line = table({
  columns: { at: c.int(), seq: c.int(), text: c.text(), rank: c.int().nullable() },
  key: ['at', 'seq'],
  ordered: true,
  indexes: { byRank: { on: ['rank'], range: true } },
})
const world = table({ columns: { name: c.text(), n: c.int() }, key: ['name'], partition: 'global', ordered: true })

export const lanes = service('lanes', {
  tables: { cell, line, world },
  events: { wrote: { at: c.int(), text: c.text(), chance: c.f64() } },
})
export const counting = service('counting', {
  tables: { count: table({ columns: { at: c.int(), n: c.int() }, key: ['at'] }) },
})

type Tx = TxOf<typeof lanes>

/** One step of `work`: `at` may lie in another partition than the call, which then strays. */
export interface Work {
  readonly kind: 'put' | 'add' | 'set' | 'drop' | 'line' | 'clear' | 'look' | 'emit' | 'world' | 'read' | 'abort' | 'throw' | 'draw'
  readonly at: number
  readonly n: number
  readonly text: string
}

function step(tx: Tx, { kind, at, n, text }: Work): unknown {
  switch (kind) {
    case 'put':
      tx.db.cell.put({ at, n, twin: -n, name: text.slice(0, 20), note: text, blob: Buffer.from(text), drawn: Math.random(), time: Date.now() })
      return tx.uuid()
    case 'add':
      if (!tx.db.cell.has(at)) tx.db.cell.insert({ at, n: 0, twin: 0 })
      tx.db.cell.add(at, { n, twin: -n })
      return tx.db.cell.get(at)!.n
    case 'set': {
      const row = tx.db.cell.row(at)
      if (row === undefined) return 'none'
      row.note = text
      row.twin -= n
      row.n += n
      return row.time
    }
    case 'drop':
      return tx.db.cell.delete(at)
    case 'line':
      return tx.db.line.put({ at, seq: n, text, rank: n % 3 === 0 ? null : n % 7 })
    case 'clear': {
      let cleared = 0
      for (const row of tx.db.line.scan({ prefix: [at], limit: n })) if (tx.db.line.delete([at, row.seq])) cleared += 1
      return cleared
    }
    case 'look':
      return [...tx.db.line.scan({ prefix: [at], reverse: n % 2 === 0, limit: 5 })].map((row) => [row.seq, row.text.length, row.rank])
    case 'emit':
      return tx.emit('wrote', { at, text, chance: tx.random() })
    case 'world':
      return tx.db.world.put({ name: text.slice(0, 30), n })
    case 'read':
      return [...tx.db.world.scan({ limit: 3 })].map((row) => row.n)
    case 'draw':
      return [tx.now, tx.random(), tx.uuid(), Math.random(), new Date().getTime(), crypto.randomUUID()]
    case 'abort':
      return tx.abort('UNWANTED', { at, n })
    case 'throw':
      throw new Error(`thrown at ${at}`)
  }
}

const steps = (tx: Tx, work: readonly Work[]): unknown[] => work.map((one) => step(tx, one) ?? null)

export const work = lanes.procedure('work', { input: { at: c.int(), work: c.json<Work[]>() }, partition: (it) => it.at }, (tx, it) => steps(tx, it.work))
/** Reads every partition through an index besides. */
export const workAnywhere = lanes.procedure('workAnywhere', { input: { work: c.json<Work[]>() } }, (tx, it) => [
  steps(tx, it.work),
  [...tx.db.cell.index.byN.scan({ limit: 4 })].map((row) => row.at),
])

counting.on(
  () => lanes.events.wrote,
  { name: 'counted', atomic: true },
  (tx, { payload }) => {
    const row = tx.db.count.row(payload.at)
    if (row) row.n += 1
    else tx.db.count.insert({ at: payload.at, n: 1 })
  },
)

// ── one purpose each ──────────────────────────────────────────────────────────────────────────────────────

/** Bulk: `rows` lines of `characters` each. */
export const fill = lanes.procedure(
  'fill',
  { input: { at: c.int(), from: c.int(), rows: c.int(), characters: c.int() }, partition: (it) => it.at },
  (tx, it) => {
    for (let n = 0; n < it.rows; n += 1) tx.db.line.insert({ at: it.at, seq: it.from + n, text: 'x'.repeat(it.characters), rank: n % 5 })
    return it.rows
  },
)
export const clear = lanes.procedure('clear', { input: { at: c.int(), limit: c.int() }, partition: (it) => it.at }, (tx, it) => {
  let n = 0
  for (const row of tx.db.line.scan({ prefix: [it.at], limit: it.limit })) if (tx.db.line.delete([it.at, row.seq])) n += 1
  return n
})

/** Moves `n` between two cells of any partitions; `n` and `twin` of a row always add up to 0. */
export const move = lanes.procedure('move', { input: { from: c.int(), to: c.int(), n: c.int() }, partition: (it) => it.from }, (tx, it) => {
  const from = tx.db.cell.row(it.from)!
  const to = tx.db.cell.row(it.to)!
  from.n -= it.n
  from.twin += it.n
  to.n += it.n
  to.twin -= it.n
})
export const bump = lanes.procedure('bump', { input: { at: c.int(), n: c.int() }, partition: (it) => it.at }, (tx, it) => {
  const row = tx.db.cell.row(it.at)
  if (row === undefined) tx.db.cell.insert({ at: it.at, n: it.n, twin: -it.n })
  else {
    row.n += it.n
    row.twin -= it.n
  }
})
/** Answers with so many characters, which say what was asked. */
export const answer = lanes.procedure('answer', { input: { at: c.int(), characters: c.int() }, partition: (it) => it.at }, (_, it) =>
  `${it.at}:`.padEnd(it.characters, String.fromCharCode(97 + (it.at % 26))),
)

/**
 * Writes on every level of an endless recursion and swallows the overflow: it strikes inside a table operation, sooner or later.
 * Between two writes lie `frames` calls that do nothing, so that the stack ends before the memory, and each time elsewhere.
 */
export const overflow = lanes.procedure('overflow', { input: { at: c.int(), frames: c.int() }, partition: (it) => it.at }, (tx, it) => {
  let n = 0
  const deeper = (left: number): void => (left > 0 ? deeper(left - 1) : down())
  const down = (): void => {
    try {
      n += 1
      tx.db.line.put({ at: it.at, seq: 1_000_000 + n, text: `deep ${'y'.repeat(n % 60)}`, rank: n % 11 })
      tx.db.cell.put({ at: it.at, n, twin: -n, name: `deep ${n % 13}` })
      if (n % 3 === 0) tx.db.line.delete([it.at, 1_000_000 + n - 1])
      deeper(it.frames)
    } catch {
      // Nobody hears of it.
    }
  }
  down()
  return n
})

/** Calls a procedure that throws, `times` times, and goes on. */
export const catching = lanes.procedure('catching', { input: { at: c.int(), times: c.int() }, partition: (it) => it.at }, (tx, it) => {
  let caught = 0
  for (let n = 0; n < it.times; n += 1) {
    try {
      tx.call(throwing, { at: it.at })
    } catch {
      caught += 1
    }
  }
  tx.db.cell.put({ at: it.at, n: caught, twin: -caught })
  return caught
})
export const throwing = lanes.procedure('throwing', { input: { at: c.int() }, partition: (it) => it.at }, (_, it) => {
  throw new Error(`nothing to do at ${it.at}`)
})

/** Keeps its thread for so many milliseconds' worth of steps. */
export const busy = lanes.procedure('busy', { input: { at: c.int(), ms: c.int() }, partition: (it) => it.at }, (_, it) => {
  let sum = 0
  for (let n = 0; n < it.ms * 400_000; n += 1) sum = (sum + n) | 0
  return sum
})

export default app(import.meta.url, [lanes, counting])

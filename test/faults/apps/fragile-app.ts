/**
 * Procedures that take their worker along, in every phase of a transaction and in every way a thread can go. Each call
 * has a number of its own and leaves it in an entry, so that what became of it can be read back (`told.ts`).
 */
import { app, column as c, service, table, type TxOf } from 'sluicedb'

/** Where in its transaction a call dies. */
export const phases = ['start', 'middle', 'scan', 'check', 'called', 'handler', 'end', 'result'] as const
/** What it does there. `throw` is only an error; `later` and `reject` leave theirs to the thread; the others end or stop it. */
export const deaths = ['throw', 'exit', 'later', 'reject', 'loop', 'wait', 'heap'] as const
export type Phase = (typeof phases)[number]
export type Death = (typeof deaths)[number]

const cell = table({
  columns: {
    at: c.int(),
    n: c.int().default(0),
    fate: c
      .text()
      .check((fate) => meet(fate, 'check'), 'fate')
      .default(''),
  },
  key: ['at'],
})
const entry = table({
  columns: { at: c.int(), n: c.int(), filler: c.text().default('') },
  key: ['at', 'n'],
  ordered: true,
  indexes: { byN: { on: ['n'], range: true } },
})

export const fragile = service('fragile', { tables: { cell, entry }, events: { wrote: { at: c.int(), n: c.int(), fate: c.text() }, removed: { at: c.int() } } })
/** Counts what it hears of, inside the transaction it hears of. */
export const heard = service('heard', { tables: { count: table({ columns: { at: c.int(), n: c.int() }, key: ['at'] }) } })

type Tx = TxOf<typeof fragile>

/** Does what `fate`, text such as 'scan exit', says for this phase; answers true, if it answers. */
function meet(fate: string, phase: Phase): boolean {
  const [when, how] = fate.split(' ')
  if (when !== phase) return true
  switch (how as Death) {
    case 'throw':
      throw new Error(`thrown in phase ${phase}`)
    case 'exit':
      process.exit(3)
      break
    case 'later':
      process.nextTick(() => {
        throw new Error('left behind')
      })
      break
    case 'reject':
      void Promise.reject(new Error('left behind'))
      break
    case 'loop':
      for (;;);
    case 'wait':
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
      break
    case 'heap': {
      const all: unknown[] = []
      for (;;) all.push(new Array(1_000).fill(all.length))
    }
  }
  return true
}

function leave(tx: Tx, at: number, n: number, filler: string, fate: string): void {
  meet(fate, 'start')
  tx.db.entry.insert({ at, n, filler })
  meet(fate, 'middle')
  for (const row of tx.db.entry.scan({ prefix: [at], limit: 3 })) if (row.n >= 0) meet(fate, 'scan')
  const found = tx.db.cell.row(at)
  if (found === undefined) tx.db.cell.insert({ at, n: 1, fate: fate.startsWith('check') ? fate : '' })
  else {
    if (fate.startsWith('check')) found.fate = fate
    found.n += 1
  }
  if (fate.startsWith('called')) tx.call(called, { at, fate })
  tx.emit('wrote', { at, n, fate })
  meet(fate, 'end')
}

const called = fragile.procedure('called', { input: { at: c.int(), fate: c.text() }, partition: (it) => it.at }, (_, it) => {
  meet(it.fate, 'called')
})

/** The answer; where it shall die of being read, one that notices. */
function answerOf(n: number, fate: string): { n: number } {
  if (!fate.startsWith('result')) return { n }
  return new Proxy(
    { n },
    {
      getOwnPropertyDescriptor: (target, name) => {
        meet(fate, 'result')
        return Reflect.getOwnPropertyDescriptor(target, name)
      },
    },
  )
}

export const write = fragile.procedure(
  'write',
  { input: { at: c.int(), n: c.int(), filler: c.text().default(''), fate: c.text().default('') }, partition: (it) => it.at },
  (tx, it) => {
    leave(tx, it.at, it.n, it.filler, it.fate)
    return answerOf(it.n, it.fate)
  },
)

/** The same in two places, in the cross-partition lane. */
export const writeBoth = fragile.procedure(
  'writeBoth',
  { input: { at: c.int(), other: c.int(), n: c.int(), filler: c.text().default(''), fate: c.text().default('') } },
  (tx, it) => {
    leave(tx, it.other, it.n, it.filler, '')
    leave(tx, it.at, it.n, it.filler, it.fate)
    return answerOf(it.n, it.fate)
  },
)

/** Begins in a lane and leaves its partition: it runs twice in its batch. */
export const stray = fragile.procedure(
  'stray',
  { input: { at: c.int(), other: c.int(), n: c.int(), filler: c.text().default(''), fate: c.text().default('') }, partition: (it) => it.at },
  (tx, it) => {
    leave(tx, it.at, it.n, it.filler, '')
    leave(tx, it.other, it.n, it.filler, it.fate)
    return answerOf(it.n, it.fate)
  },
)

/** Takes back what a call left in one place. */
export const remove = fragile.procedure('remove', { input: { at: c.int(), n: c.int() }, partition: (it) => it.at }, (tx, it) => {
  if (!tx.db.entry.delete([it.at, it.n])) return false
  tx.db.cell.add(it.at, { n: -1 })
  tx.emit('removed', { at: it.at })
  return true
})

/** Work of a known length on one partition. */
export const work = fragile.procedure('work', { input: { at: c.int(), steps: c.int() }, partition: (it) => it.at }, (tx, it) => {
  let sum = 0
  for (let n = 0; n < it.steps; n += 1) sum = (sum + n) | 0
  const row = tx.db.cell.row(-it.at - 1)
  if (row === undefined) tx.db.cell.insert({ at: -it.at - 1, n: 1 })
  else row.n += 1
  return sum
})

heard.on(
  () => fragile.events.wrote,
  { name: 'counted', atomic: true },
  (tx, { payload }) => {
    const row = tx.db.count.row(payload.at)
    if (row === undefined) tx.db.count.insert({ at: payload.at, n: 1 })
    else row.n += 1
    meet(payload.fate, 'handler')
  },
)

heard.on(
  () => fragile.events.removed,
  { name: 'discounted', atomic: true },
  (tx, { payload }) => {
    tx.db.count.add(payload.at, { n: -1 })
  },
)

export default app(import.meta.url, [fragile, heard])

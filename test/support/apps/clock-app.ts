/** Looks at the clock, at randomness and at timers from inside a procedure. */
import { app, column as c, service, table, type TxOf } from 'sluicedb'

const mark = table({ columns: { id: c.int(), at: c.timestamp() }, key: ['id'] })
export const clock = service('clock', { tables: { mark } })

/** Busy for long enough that any real clock would have moved. */
function spin(): number {
  let sum = 0
  for (let n = 0; n < 4_000_000; n += 1) sum = (sum + n) % 1_000_003
  return sum
}

export const times = clock.procedure('times', {}, (tx) => {
  const before = [tx.now, Date.now(), new Date().getTime(), Number(new Date()), performance.now()]
  spin()
  const after = [tx.now, Date.now(), new Date().getTime(), Number(new Date()), performance.now()]
  return {
    before,
    after,
    text: Date(),
    now: tx.now,
    zoned: new Date(0).getTime(),
    instance: new Date() instanceof Date,
    parsed: Date.parse('2020-01-01T00:00:00Z'),
    utc: Date.UTC(2020, 0),
  }
})

const random = (tx: TxOf<typeof clock>) => ({
  tx: [tx.random(), tx.random(), tx.random()],
  uuids: [tx.uuid(), tx.uuid()],
  math: [Math.random(), Math.random()],
  crypto: crypto.randomUUID(),
  bytes: crypto.getRandomValues(new Uint8Array(16)),
  now: tx.now,
})

export const draw = clock.procedure('draw', {}, (tx) => random(tx))

/** Every run of a transaction leaves what it drew here: strays run twice (same thread only). */
export const drawn: unknown[] = []
export const drawAt = clock.procedure(
  'drawAt',
  { input: { at: c.int(), ids: c.json<number[]>() }, partition: (it) => it.at },
  (tx, it) => {
    const all = random(tx)
    drawn.push(all)
    for (const id of it.ids) tx.db.mark.put({ id, at: tx.now })
    return all
  },
)

export let timersFired = 0
export const timers = clock.procedure('timers', {}, () => {
  const fired = () => {
    timersFired += 1
  }
  const kinds = {
    setTimeout: () => setTimeout(fired, 0),
    setInterval: () => setInterval(fired, 1),
    setImmediate: () => setImmediate(fired),
  }
  return Object.entries(kinds).map(([name, set]) => {
    try {
      set()
      return `${name} ignored`
    } catch {
      return `${name} refused`
    }
  })
})

export const boom = clock.procedure('boom', { input: { how: c.text() } }, (tx, it) => {
  if (it.how === 'abort') tx.abort('NO')
  if (it.how === 'overflow') {
    const down = (): number => 1 + down()
    return down()
  }
  if (it.how === 'promise') return Promise.resolve(1) as never
  throw new Error('boom')
})

export const put = clock.procedure('put', { input: { id: c.int() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.mark.put({ id: it.id, at: tx.now })
  return tx.now
})

export default app(import.meta.url, [clock])

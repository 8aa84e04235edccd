/** Services joined by atomic handlers: chains, fan-out, fan-in, and what must be refused. */
import { app, column as c, service, table } from 'sluicedb'

const start = service('start', {
  tables: { trace: table({ columns: { run: c.int(), at: c.int(), step: c.text() }, key: ['run', 'at'], ordered: true }) },
  events: { begun: { run: c.int(), left: c.bool(), right: c.bool() }, said: { run: c.int(), n: c.int() } },
})
const left = service('left', { events: { done: { run: c.int(), by: c.text() } } })
const right = service('right', { events: { done: { run: c.int(), by: c.text() } } })
const join = service('join', {
  tables: { both: table({ columns: { run: c.int(), left: c.text(), right: c.text() }, key: ['run'] }) },
  events: { joined: { run: c.int() } },
  aborts: { NOT_ODD: {} },
})

/** Writes the next step of a run. */
const note = start.procedure('note', { input: { run: c.int(), step: c.text() }, partition: (it) => it.run }, (tx, { run, step }) => {
  tx.db.trace.insert({ run, at: [...tx.db.trace.scan({ prefix: [run] })].length, step })
})
const begin = start.procedure('begin', { input: { run: c.int(), left: c.bool(), right: c.bool(), says: c.int().default(0) }, partition: (it) => it.run }, (tx, { says, ...it }) => {
  tx.call(note, { run: it.run, step: 'begin' })
  tx.emit('begun', it)
  for (let n = 0; n < says; n += 1) tx.emit('said', { run: it.run, n })
  return it.run
})

left.on(() => start.events.begun, { name: 'go', atomic: true, emits: () => [left.events.done] }, (tx, { payload }) => {
  tx.call(note, { run: payload.run, step: 'left' })
  if (payload.left) tx.emit('done', { run: payload.run, by: 'left' })
  if (payload.left) tx.emit('done', { run: payload.run, by: 'left again' })
})
right.on(() => start.events.begun, { name: 'go', atomic: true }, (tx, { payload }) => {
  tx.call(note, { run: payload.run, step: 'right' })
  if (payload.right) tx.emit('done', { run: payload.run, by: 'right' })
})
start.on(start.events.said, { name: 'hear', atomic: true, emits: [] }, (tx, { payload }) => {
  tx.call(note, { run: payload.run, step: `said ${payload.n}` })
})
join.on([() => left.events.done, () => right.events.done], { name: 'meet', atomic: true }, (tx, [one, other]) => {
  tx.call(note, { run: one.payload.run, step: `${one.payload.by} + ${other.payload.by}` })
  tx.db.both.insert({ run: one.payload.run, left: one.payload.by, right: other.payload.by })
  tx.emit('joined', { run: other.payload.run })
})
join.on([join.events.joined, start.events.begun], { name: 'end', atomic: true }, (tx, [{ payload }, begun]) => {
  tx.call(note, { run: payload.run, step: `end of ${begun.type}` })
  if (payload.run % 10 === 9) throw tx.abort('NOT_ODD')
})

export { begin, join, left, note, right, start }
export default app(import.meta.url, [start, left, right, join])

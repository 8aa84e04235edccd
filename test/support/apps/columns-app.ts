/** Every type of column, with and without rules, and procedures that take and answer them. */
import { app, column as c, service, table } from 'sluicedb'

const plain = {
  flag: c.bool(), i32: c.i32(), u32: c.u32(), int: c.int(), f64: c.f64(), big: c.bigint(), text: c.text(), uuid: c.uuid(),
  word: c.enum(['open', 'shut']), bytes: c.bytes(), time: c.timestamp(), json: c.json(),
}
const ruled = {
  i32: c.i32().min(-5).max(300), u32: c.u32().positive(), int: c.int().min(7), f64: c.f64().min(-1.5).max(2.5), above: c.f64().positive(), below: c.f64().max(0),
  big: c.bigint().min(-1234n).max(987_654_321n), bigPositive: c.bigint().positive(), text: c.text().notBlank().maxLength(5), code: c.text().pattern(/^[a-z]+-\d{1,3}$/).maxLength(6),
  loose: c.text().pattern(/b/i), uuid: c.uuid().pattern(/^0/), bytes0: c.bytes(), maybe: c.int().nullable(), usual: c.text().default('usual'), maybeJson: c.json().nullable(),
  checked: c.int().default(2).check((n) => n % 2 === 0, 'even'),
}
const key = { big: c.bigint(), data: c.bytes(), flag: c.bool(), n: c.f64() }

export const columns = service('columns', {
  tables: {
    plain: table({ columns: { id: c.int(), ...plain }, key: ['id'], ordered: true }),
    keyed: table({ columns: { ...key, note: c.text().default('') }, key: ['big', 'data', 'flag', 'n'], partition: ['big'], ordered: true }),
    world: table({ columns: { id: c.text(), n: c.int() }, key: ['id'], partition: 'global', indexes: { byN: { on: ['n'] } } }),
    pair: table({ columns: { a: c.text(), b: c.int(), n: c.int() }, key: ['a', 'b'], indexes: { byAN: { on: ['n', 'a'], range: true }, byN: { on: ['n'] } } }),
  },
  events: { wrote: { id: c.int(), big: c.bigint(), bytes: c.bytes() } },
  aborts: { ODD: { big: c.bigint() } },
})

export const takePlain = columns.procedure('takePlain', { input: plain }, (_tx, it) => it)
export const takeRuled = columns.procedure('takeRuled', { input: ruled }, (_tx, it) => Object.keys(it).length)
export const write = columns.procedure('write', { input: { id: c.int(), ...plain }, partition: (it) => it.id }, (tx, it) => {
  tx.db.plain.put(it)
  tx.emit('wrote', { id: it.id, big: it.big, bytes: it.bytes })
})
export const writeKey = columns.procedure('writeKey', { input: key, partition: (it) => it.big }, (tx, it) => {
  tx.db.keyed.put(it)
})
export const refuse = columns.procedure('refuse', { input: { big: c.bigint() } }, (tx, { big }) => tx.abort('ODD', { big }))
export const fail = columns.procedure('fail', {}, () => {
  throw new Error('the secret is 42')
})
/** Keeps its lane busy: procedures have no clock, so it counts. Without end it lasts until the watchdog comes, on any machine. */
export const spin = columns.procedure('spin', { input: { turns: c.int() } }, (_tx, it) => {
  let turns = 0
  while (turns < it.turns) turns += Math.sqrt(turns) < 0 ? 2 : 1
})
export const nothing = columns.procedure('nothing', {}, () => undefined)
export default app(import.meta.url, [columns])

/** An application with one of everything that a transaction may meet: for tests of forks, histories and compensation. */
import { app, column as c, count, eq, replica, select, service, sum, table } from 'sluicedb'

const member = table({
  columns: {
    id: c.int().generated(),
    email: c.text().maxLength(80).nullable().unique(),
    room: c.text(),
    seat: c.int().nonNegative(),
    status: c.enum(['here', 'gone']).default('here'),
    about: c.text().default(''),
    extra: c.json().nullable(),
  },
  key: ['id'],
  ordered: true,
  indexes: {
    bySeat: { on: ['room', 'seat'], unique: true, where: { status: 'here' } },
    byRoom: { on: ['room'], range: true },
  },
})
const pet = table({
  columns: { member: c.int().references(() => member, { onDelete: 'cascade' }), n: c.int().generated(), points: c.int(), of: c.int(), name: c.text().default('') },
  key: ['member', 'n'],
  partition: ['member'],
  ordered: true,
  checks: { notTooMany: (row) => row.points <= row.of },
  indexes: { byName: { on: ['name'] } },
})
const friend = table({ columns: { id: c.int(), of: c.int().nullable().references(() => member, { onDelete: 'setNull' }) }, key: ['id'] })
const loan = table({ columns: { id: c.int(), to: c.int().references(() => member) }, key: ['id'] })
const tally = table({ columns: { what: c.text(), times: c.int() }, key: ['what'], partition: 'global' })

export const club = service('club', {
  tables: { member, pet, friend, loan, tally },
  events: { happened: { what: c.text() } },
  aborts: { NO: { at: c.int() } },
})
export const watch = service('watch', {
  tables: { seen: table({ columns: { what: c.text(), times: c.int() }, key: ['what'] }) },
  replicas: { before: replica(() => member, { columns: ['room', 'seat'], strength: 'batch' }) },
})

export const perRoom = select(member)
  .where((row) => eq(row.status, 'here'))
  .groupBy((row) => row.room)
  .columns((row) => ({ room: row.room, members: count(), seats: sum(row.seat) }))
  .orderBy((row) => row.room)

type Handle = Readonly<Record<string, (...given: unknown[]) => unknown>> & { readonly index: Readonly<Record<string, Readonly<Record<string, (...given: unknown[]) => unknown>>>> }
/** A table, what is done with it, and what that is given. */
export type Step = readonly [table: string, work: string, ...given: unknown[]]

function run(tx: { readonly db: object; emit(event: 'happened', payload: { what: string }): void; abort(reason: 'NO', details: { at: number }): never }, steps: readonly Step[]): unknown[] {
  return steps.map(([name, work, ...given], at) => {
    if (name === 'emit') return tx.emit('happened', { what: work })
    if (name === 'abort') throw tx.abort('NO', { at })
    const handle = (tx.db as Readonly<Record<string, Handle>>)[name]!
    const [method, index] = work.split(' by ')
    if (index !== undefined) {
      const found = handle.index[index]![method!]!(...given)
      return method === 'scan' ? [...(found as Iterable<unknown>)] : found
    }
    if (work === 'scan') return [...(handle['scan']!(...given) as Iterable<unknown>)]
    if (work === 'set') {
      const row = handle['row']!(given[0]) as Record<string, unknown> | undefined
      return row === undefined ? 'none' : void Object.assign(row, given[1])
    }
    if (work === 'change') return handle['update']!(given[0], (row: object) => ({ ...(given[1] as object), room: `${(row as { room: string }).room}` }))
    return handle[work]!(...given)
  }).map((one) => one ?? null)
}

const steps = c.json().default([])
/** Anywhere. */
export const act = club.procedure('act', { input: { steps } }, (tx, it) => run(tx, it.steps as unknown as readonly Step[]))
/** In the lane of a member; who leaves it strays. */
export const actIn = club.procedure('actIn', { input: { member: c.int(), steps }, partition: (it) => it.member }, (tx, it) => run(tx, it.steps as unknown as readonly Step[]))
export const look = club.procedure('look', { input: { steps }, readonly: true }, (tx, it) => run(tx as never, it.steps as unknown as readonly Step[]))
export const rooms = club.procedure('rooms', {}, (tx) => tx.query(perRoom))
export const seatBefore = watch.procedure('seatBefore', { input: { id: c.int() } }, (tx, { id }) => tx.db.before.get(id)?.seat ?? null)
club.on(club.events.happened, { name: 'tallies', atomic: true }, (tx, { payload }) => {
  if (tx.db.tally.has(payload.what)) tx.db.tally.add(payload.what, { times: 1 })
  else tx.db.tally.insert({ what: payload.what, times: 1 })
})
watch.on(club.events.happened, { name: 'sees' }, (tx, { payload }) => {
  const times = (tx.db.seen.get(payload.what)?.times ?? 0) + 1
  tx.db.seen.put({ what: payload.what, times })
})

export default app(import.meta.url, [club, watch])

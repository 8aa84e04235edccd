/** Tables with unique and partial indexes. */
import { app, column as c, service, table } from 'sluicedb'

const member = table({
  columns: {
    id: c.int(),
    /** One tree for all partitions: equal addresses may lie anywhere. */
    email: c.text().unique(),
    card: c.bigint().nullable().unique(),
    club: c.text().default('none'),
    seat: c.int().default(0),
    points: c.int().default(0),
    status: c.enum(['open', 'shut']).default('open'),
  },
  key: ['id'],
  ordered: true,
  indexes: {
    bySeat: { on: ['club', 'seat'], unique: true, where: { status: 'open' } },
    byPoints: { on: ['points'], range: true, where: { status: 'open' } },
    shutIn: { on: ['club'], where: { status: 'shut', points: 0 } },
  },
})
/** Its unique indexes hold the partition column, so they lie in the partition. */
const room = table({
  columns: {
    house: c.text(),
    id: c.int(),
    door: c.int().nullable(),
    free: c.bool().default(true),
  },
  key: ['house', 'id'],
  partition: ['house'],
  indexes: {
    byDoor: { on: ['house', 'door'], unique: true, range: true },
    free: { on: ['house'], where: { free: true } },
    noDoor: { on: ['house'], where: { door: null } },
  },
})

export const members = service('members', { tables: { member, room }, aborts: { UNWANTED: {} } })

type Row = Record<string, unknown>
export type Step =
  | { readonly do: 'insert' | 'put'; readonly row: Row }
  | { readonly do: 'update' | 'set' | 'add'; readonly key: unknown; readonly patch: Row }
  | { readonly do: 'delete'; readonly key: unknown }
  | { readonly do: 'abort' }
  /** Takes the worker along. */
  | { readonly do: 'exit' }
  /** Answers what the index has. */
  | { readonly do: 'get' | 'row' | 'all' | 'scan'; readonly index: string; readonly values?: unknown }

interface Handle {
  insert(row: Row): unknown
  put(row: Row): void
  update(key: unknown, patch: Row): void
  add(key: unknown, patch: Row): void
  delete(key: unknown): boolean
  row(key: unknown): Row | undefined
  readonly index: Readonly<
    Record<string, { get(values: unknown): unknown; row(values: unknown): Row | undefined; scan(range?: unknown): Iterable<Row> }>
  >
}

const keyName = (name: 'member' | 'room') => (row: Row | undefined) =>
  row === undefined ? null : name === 'member' ? row['id'] : [row['house'], row['id']]

function runSteps(tx: { db: unknown; abort(reason: 'UNWANTED'): never }, name: 'member' | 'room', steps: readonly Step[]): unknown[] {
  const handle = (tx.db as Record<string, Handle>)[name]!
  const key = keyName(name)
  const seen: unknown[] = []
  for (const step of steps) {
    switch (step.do) {
      case 'insert':
        handle.insert(step.row)
        break
      case 'put':
        handle.put(step.row)
        break
      case 'update':
        handle.update(step.key, step.patch)
        break
      case 'add':
        handle.add(step.key, step.patch)
        break
      case 'set': {
        const row = handle.row(step.key)!
        for (const [column, value] of Object.entries(step.patch)) row[column] = value
        break
      }
      case 'delete':
        handle.delete(step.key)
        break
      case 'abort':
        throw tx.abort('UNWANTED')
      case 'exit':
        process.exit(3)
      case 'get':
        seen.push(key(handle.index[step.index]!.get(step.values) as Row | undefined))
        break
      case 'row':
        seen.push(key(handle.index[step.index]!.row(step.values)))
        break
      case 'all':
        seen.push((handle.index[step.index]!.get(step.values) as Row[]).map(key))
        break
      case 'scan':
        seen.push([...handle.index[step.index]!.scan(step.values)].map(key))
    }
  }
  return seen
}

/** Across all partitions. */
export const change = members.procedure('change', { input: { steps: c.json<Step[]>() } }, (tx, it) => runSteps(tx, 'member', it.steps))
/** In the lane of a member: it strays where a tree of all partitions is touched. */
export const changeAt = members.procedure(
  'changeAt',
  { input: { id: c.int(), steps: c.json<Step[]>() }, partition: (it) => it.id },
  (tx, it) => runSteps(tx, 'member', it.steps),
)
export const furnish = members.procedure(
  'furnish',
  { input: { house: c.text(), steps: c.json<Step[]>() }, partition: (it) => it.house },
  (tx, it) => runSteps(tx, 'room', it.steps),
)

export default app(import.meta.url, [members])

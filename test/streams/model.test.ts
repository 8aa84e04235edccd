/**
 * Filters and the seam, against their definition: a subscriber sees what a naive filter over the whole log sees, whatever its buffer,
 * its pauses, its policy, and wherever it was cut off and went on from its position.
 */
import { and, type Commit, type Database, eq, gte, isNull, lt, not, only, oneOf, or, Position } from 'sluicedb'
import { expect, test } from 'vitest'
import streamsApp, { count, fill, other, setThing, type Step, store, work } from '../support/apps/streams-app.js'
import { newFolder, openFor, within } from '../support/fixture.js'
import { type Random, seeds, withSeed } from '../support/random.js'
import { canon } from '../support/same.js'

const { part, label } = store.tables
const shelves = ['a', 'ab', 'abc', 'b', 'long shelf name, beyond twenty bytes', 'größer']
const kinds = ['bolt', 'nut', 'gear'] as const

// ── the load ────────────────────────────────────────────────────────────────────────────────────────────────

function stepOf(random: Random): Step {
  const shelf = random.pick(shelves)
  const n = random.below(4)
  const draw = random.below(10)
  if (draw < 6) {
    const note = random.chance(0.3) ? null : random.chance(0.5) ? 'short' : `a note that is longer than twenty bytes, ${random.below(3)}`
    return { do: 'put', row: { shelf, n, count: random.below(5), weight: random.chance(0.3) ? null : random.below(3) / 2, kind: random.pick(kinds), note, tags: random.chance(0.5) ? [] : ['x', 'y'].slice(0, random.below(3)) } }
  }
  if (draw === 6) return { do: 'delete', shelf, n }
  if (draw === 7) return random.chance(0.7) ? { do: 'label', id: random.pick(shelves), text: `${random.below(3)}` } : { do: 'unlabel', id: random.pick(shelves) }
  return draw === 8 ? { do: 'moved', shelf, n } : { do: 'counted', count: random.below(3), note: random.chance(0.3) ? null : random.pick(shelves) }
}

async function load(db: Database, random: Random, calls: number): Promise<void> {
  let left = calls
  while (left > 0) {
    const width = Math.min(left, 1 + random.below(30))
    left -= width
    await Promise.all(
      Array.from({ length: width }, () => {
        const draw = random.below(10)
        if (draw === 0) return db.call(setThing, { id: random.below(3), value: random.below(3) })
        if (draw < 4) return db.call(count, { shelf: random.pick(shelves), n: random.below(4) })
        return db.call(work, { steps: Array.from({ length: 1 + random.below(4) }, () => stepOf(random)) })
      }),
    )
    if (random.chance(0.3)) await new Promise((resolve) => setImmediate(resolve))
  }
}

// ── filters, twice: as the stream is asked, and as plain functions of a commit ──────────────────────────────

type AnyCommit = Commit
type Change = AnyCommit['changes'][number]
type Event = AnyCommit['events'][number]
interface Filter {
  readonly options: object
  readonly change: (change: Change) => boolean
  readonly event: (event: Event) => boolean
}
const always = () => true
const image = (change: Change): Record<string, unknown> => (change.after ?? change.before) as Record<string, unknown>
const ofPart = (holds: (row: Record<string, unknown>, change: Change) => boolean) => (change: Change) => change.table === 'store.part' && holds(image(change), change)
const differs = (change: Change, column: string) => change.kind !== 'update' || canon(change.before[column]) !== canon(change.after[column])
const ofEvent = (type: string, holds: (payload: Record<string, unknown>) => boolean = always) => (event: Event) => event.type === type && holds(event.payload)
const never = () => false

function filterOf(random: Random): Filter {
  const shelf = random.pick(shelves)
  const n = random.below(4)
  const { moved, counted } = store.events
  switch (random.below(17)) {
    case 0: return { options: {}, change: always, event: always }
    case 1: return { options: { tables: [part] }, change: ofPart(always), event: never }
    case 2: return { options: { tables: [only(part, { key: [shelf, n] })] }, change: ofPart((row) => row['shelf'] === shelf && row['n'] === n), event: never }
    case 3: return { options: { tables: [only(part, { prefix: [shelf] }), label] }, change: (change) => change.table === 'store.label' || ofPart((row) => row['shelf'] === shelf)(change), event: never }
    case 4: return { options: { tables: [only(label, { prefix: 'ab' })] }, change: (change) => change.table === 'store.label' && (image(change)['id'] as string).startsWith('ab'), event: never }
    case 5: return { options: { tables: [only(part, { columns: ['count', 'note'] })] }, change: ofPart((_, change) => differs(change, 'count') || differs(change, 'note')), event: never }
    case 6: return { options: { tables: [only(part, { kinds: ['update'], columns: ['tags', 'raw', 'big'] })] }, change: ofPart((_, change) => change.kind === 'update' && ['tags', 'raw', 'big'].some((column) => differs(change, column))), event: never }
    case 7: return { options: { tables: [only(part, { where: (row) => and(eq(row.kind, 'gear'), or(gte(row.count, 2), isNull(row.note))) })] }, change: ofPart((row) => row['kind'] === 'gear' && ((row['count'] as number) >= 2 || row['note'] === null)), event: never }
    case 8: return { options: { tables: [only(part, { where: (row) => lt(row.weight, 1), kinds: ['insert', 'delete'] })] }, change: ofPart((row, change) => change.kind !== 'update' && row['weight'] !== null && (row['weight'] as number) < 1), event: never }
    case 9: return { options: { tables: [only(part, { where: (row) => not(oneOf(row.shelf, ['a', 'b'])) })], events: [store.events.moved] }, change: ofPart((row) => !['a', 'b'].includes(row['shelf'] as string)), event: ofEvent('store.moved') }
    // Two slices of one table: a change that both want comes once.
    case 10: return { options: { tables: [only(part, { key: [shelf, n] }), only(part, { where: (row) => eq(row.count, 1) })] }, change: ofPart((row) => (row['shelf'] === shelf && row['n'] === n) || row['count'] === 1), event: never }
    case 11: return { options: { events: [store.events.counted] }, change: never, event: ofEvent('store.counted') }
    case 12: return { options: { events: [only(counted, { where: (it) => eq(it.count, n) })] }, change: never, event: ofEvent('store.counted', (it) => it['count'] === n) }
    case 13: return { options: { events: [only(counted, { where: (it) => or(isNull(it.note), gte(it.count, 2)) }), moved] }, change: never, event: (event) => event.type === 'store.moved' || ofEvent('store.counted', (it) => it['note'] === null || (it['count'] as number) >= 2)(event) }
    // Two slices of one event, and rows besides: what both want comes once.
    case 14: return { options: { tables: [only(part, { prefix: [shelf] })], events: [only(moved, { where: (it) => and(eq(it.shelf, shelf), lt(it.n, 2)) }), only(moved, { where: (it) => eq(it.n, n) })] }, change: ofPart((row) => row['shelf'] === shelf), event: ofEvent('store.moved', (it) => (it['shelf'] === shelf && (it['n'] as number) < 2) || it['n'] === n) }
    case 15: return { options: { events: [only(counted, { where: (it) => not(eq(it.note, shelf)) }), counted] }, change: never, event: ofEvent('store.counted') }
    default: return { options: { services: [other], events: [store.events.moved] }, change: (change) => change.table === 'other.thing', event: ofEvent('store.moved') }
  }
}

function naive(log: readonly AnyCommit[], { change, event }: Filter): AnyCommit[] {
  return log.flatMap((commit) => {
    const changes = commit.changes.filter(change)
    const events = commit.events.filter(event)
    return changes.length + events.length === 0 ? [] : [{ ...commit, changes, events }]
  })
}

// ── subscribers ─────────────────────────────────────────────────────────────────────────────────────────────

/** Reads until it has passed `end`; is slow now and then, stops now and then, and goes on from its position. */
async function subscriber(db: Database, random: Random, filter: Filter, from: string, end: () => string | undefined): Promise<AnyCommit[]> {
  const seen: AnyCommit[] = []
  let start: string = from
  for (;;) {
    const stream = db.changes({ ...filter.options, from: start === 'beginning' ? 'beginning' : Position.parse(start), buffer: 1 + random.below(40) } as object)
    const iterator = stream[Symbol.asyncIterator]()
    const lives = 1 + random.below(60)
    let next: Promise<IteratorResult<AnyCommit>> | undefined
    for (let life = 0; life < lives; ) {
      next ??= iterator.next() as Promise<IteratorResult<AnyCommit>>
      const found = await Promise.race([next, new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 3))])
      if (found !== undefined) {
        next = undefined
        life += 1
        seen.push(found.value as AnyCommit)
        const draw = random.below(12)
        if (draw === 0) await new Promise((resolve) => setTimeout(resolve, random.below(8)))
        else if (draw < 4) await new Promise((resolve) => setImmediate(resolve))
      } else {
        const last = end()
        if (last !== undefined && stream.position! >= last) {
          await stream.close()
          return seen
        }
      }
    }
    // Nothing is in the making: what it stands at has been taken, and what it waits for has not.
    start = stream.position!
    await stream.close()
  }
}

const hosts = [
  { name: 'in memory', disk: false, workers: 0, cases: 6 },
  { name: 'on disk', disk: true, workers: 0, cases: 2 },
  { name: 'with a worker', disk: false, workers: 1, cases: 1 },
]

test.each(hosts)('$name: what subscribers see is what a filter over the whole log sees', { timeout: 120_000 }, async ({ disk, workers, cases }) => {
  const db = await openFor(streamsApp, { workers, partitions: 4, ...(disk ? { path: await newFolder(), durability: 'os' as const } : {}) })
  const before: AnyCommit[] = []
  for (const seed of seeds(cases)) {
    await withSeed(seed, async (random) => {
      const whole = db.changes()
      let last: string | undefined
      const filters = Array.from({ length: 8 }, () => filterOf(random))
      const starts = filters.map(() => (random.chance(0.5) || before.length === 0 ? 'beginning' : random.pick(before).position as string))
      const reading = filters.map((filter, n) => subscriber(db, random, filter, starts[n]!, () => last))
      await load(db, random, 150)
      // A new row: what changes nothing has no record, and no position of its own.
      last = (await db.submit(fill, { shelf: 'end', from: before.length, n: 1 })).position
      const log = await untilPosition(whole, last)
      before.push(...log)
      const seen = await within(60_000, 'all subscribers are there', Promise.all(reading))
      for (const [n, filter] of filters.entries()) {
        const expected = naive(before, filter).filter(({ position }) => starts[n] === 'beginning' || position > starts[n]!)
        expect(seen[n]!.map(canon), `subscriber ${n}: ${JSON.stringify(Object.keys(filter.options))}`).toEqual(expected.map(canon))
      }
    })
  }
})

async function untilPosition(stream: AsyncIterable<unknown>, last: string): Promise<AnyCommit[]> {
  const log: AnyCommit[] = []
  for await (const commit of stream) {
    log.push(commit as AnyCommit)
    if ((commit as AnyCommit).position >= last) return log
  }
  return log
}

test('merged backlogs and snapshots end in the rows that are there', { timeout: 60_000 }, async () => {
  for (const seed of seeds(4)) {
    await withSeed(seed, async (random) => {
      const db = await openFor(streamsApp, { partitions: 4 })
      await load(db, random, 80)
      const rows = new Map<string, string>()
      let [last, merged, snapshots, position] = [undefined as string | undefined, 0, 0, '']
      const stream = db.changes({ tables: [part], from: 'snapshot', slow: 'conflate', buffer: 2 })
      const reading = stream.each(async (commit) => {
        for (const change of commit.changes) {
          const key = canon(change.key)
          // Each change begins where the one before it of its key has ended.
          expect(rows.get(key), key).toBe(change.before === undefined ? undefined : canon(change.before))
          if (change.after === undefined) rows.delete(key)
          else rows.set(key, canon(change.after))
        }
        merged += commit.merged === undefined ? 0 : 1
        snapshots += commit.snapshot === true ? 1 : 0
        expect(commit.position >= position).toBe(true)
        position = commit.position
        if (random.chance(0.2)) await new Promise((resolve) => setTimeout(resolve, 4))
      })
      await load(db, random, 200)
      last = (await db.submit(fill, { shelf: 'end', from: 0, n: 1 })).position
      await within(20_000, 'the stream gets there', (async () => {
        while (!((stream.position ?? '') >= last)) await new Promise((resolve) => setTimeout(resolve, 2))
      })())
      await stream.close()
      await reading
      expect([...rows.values()].sort()).toEqual([...db.table(part)].map(canon).sort())
      expect(snapshots).toBeGreaterThan(0)
      expect(merged, 'it was slow, so something was merged').toBeGreaterThan(0)
    })
  }
})

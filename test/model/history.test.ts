/**
 * Strict serializability as a client sees it, without a model and without trusting positions: list-append
 * histories under load, with snapshot reads on the main thread among them, judged by
 * `../support/history.ts`. The judge itself is judged first.
 */
import { describe, expect, test } from 'vitest'
import { SluiceError, type Database, type OpenOptions } from 'sluicedb'
import listApp, { inParts, inWhole, lists, type Wish } from '../support/apps/list-app.js'
import { newFolder, openFor } from '../support/fixture.js'
import { anomalies, type Action, type Observed } from '../support/history.js'
import { seeds, withSeed, type Random } from '../support/random.js'

describe('the judge', () => {
  /**
   * `called-answered actions`, with `a1:10` for append 10 to list 1 and `r1:10,11` for a read; `!` aborted,
   * `?` unknown.
   */
  const parse = (text: string): Observed[] =>
    text.split('|').map((line) => {
      const [when, ...rest] = line.trim().split(' ') as [string, ...string[]]
      const [called, answered] = when.replace(/[!?]/, '').split('-').map(Number) as [number, number]
      const actions = rest.map((it): Action => {
        const [key, values] = [Number(it[1]), it.slice(3)]
        return it[0] === 'a'
          ? { append: key, value: Number(values) }
          : { read: key, list: values === '' ? [] : values.split(',').map(Number) }
      })
      return {
        called,
        answered,
        actions,
        outcome: when.endsWith('!') ? 'aborted' : when.endsWith('?') ? 'unknown' : 'committed',
      }
    })
  const histories: Readonly<Record<string, readonly [string, RegExp | undefined]>> = {
    serial: ['0-1 a1:10 | 2-3 r1:10 a1:11 | 4-5 r1:10,11', undefined],
    'concurrent, in the order that fits': ['0-9 a1:10 | 1-8 r1: | 2-7 r1:10', undefined],
    'write skew': ['0-9 r1: a2:20 | 0-9 r2: a1:10 | 10-11 r1:10 r2:20', /^G2 cycle/],
    'lost update': ['0-9 r1: a1:10 | 0-9 r1: a1:11 | 10-11 r1:10,11', /^G-single cycle/],
    'read skew': ['0-9 a1:10 a2:20 | 0-9 r1:10 r2: | 10-11 r1:10 r2:20', /^G-single cycle/],
    'aborted read': ['0-1! a1:10 | 2-3 r1:10', /aborted/],
    'intermediate read': ['0-9 a1:10 a1:11 | 0-9 r1:10 | 10-11 r1:10,11', /intermediate/],
    'dirty write': ['0-9 a1:10 a2:20 | 0-9 a1:11 a2:21 | 10-11 r1:10,11 r2:21,20', /^G0 cycle/],
    'circular flow': ['0-9 a1:10 r2:20 | 0-9 a2:20 r1:10', /^G1c cycle/],
    'stale read after the answer': ['0-1 a1:10 | 2-3 r1: | 4-5 r1:10', /^G-single-realtime cycle/],
    'long fork': ['0-9 a1:10 | 0-9 a2:20 | 0-9 r1:10 r2: | 0-9 r1: r2:20', /^G2 cycle/],
    'fractured order': ['0-1 a1:10 | 0-1 a1:11 | 2-3 r1:10,11 | 2-3 r1:11', /incompatible/],
    'its own write unseen': ['0-1 a1:10 r1:', /internal/],
    garbage: ['0-1 r1:10', /garbage/],
    twice: ['0-1 a1:10 | 2-3 r1:10,10', /twice/],
    'unknown, and it happened': ['0-1? a1:10 | 2-3 r1:10', undefined],
    'unknown, and it happened after all': ['0-1? a1:10 | 2-3 r1: | 4-5 r1:10', undefined],
    'unknown, and it did not': ['0-1? a1:10 | 2-3 r1:', undefined],
    'half of an unknown one': ['0-1? a1:10 a2:20 | 2-3 r1:10 r2: | 4-5 r1:10 r2:20', /^G-single cycle/],
    'an unknown one before it was called': ['0-1 a2:20 | 4-5? a1:10 a2:21 | 2-3 r1:10', /^G1c-realtime cycle/],
    'a write after it was overwritten': ['0-1 a1:10 | 2-3 a1:11 | 4-5 r1:11,10', /^G0-realtime cycle/],
    'a read of what is written later': ['0-1 r1:10 | 2-3 a1:10', /^G1c-realtime cycle/],
    'write skew, told by time': ['0-9 r1: a2:20 | 0-9 r2: a1:10 | 20-21 r1:10 | 22-23 r2:20', /^G2 cycle/],
    'an acknowledged one that a crash has lost': ['0-1 a1:10 | 2-3 a1:11 | 8-9 r1:10', /^G-single-realtime cycle/],
  }
  test.each(Object.entries(histories))('%s', (_, [text, expected]) => {
    const found = anomalies(parse(text)).join('; ')
    if (expected) expect(found).toMatch(expected)
    else expect(found).toBe('')
  })
})

const settings: readonly (readonly [string, boolean, OpenOptions])[] = [
  ['workers 0, memory', false, { workers: 0, partitions: 4 }],
  ['workers 1, memory', false, { workers: 1, partitions: 4 }],
  ['workers 2, memory', false, { workers: 2, partitions: 8 }],
  ['workers 2, fsync', true, { workers: 2, partitions: 8 }],
]

describe.each(settings)('%s', (_, disk, options) => {
  test.each(seeds(2))('no anomaly in a history under load, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const db = await openFor(listApp, disk ? { ...options, path: await newFolder() } : options)
      const history = await record(db, random, 3_000, 24)
      expect(history.filter(({ outcome }) => outcome === 'committed').length).toBeGreaterThan(2_000)
      // Each table has lists of its own: number them apart, and judge them together.
      expect(anomalies(history)).toEqual([])
    })
  })
})

/**
 * `count` transactions, `width` in flight, over a few lists that are replaced when they have grown long.
 */
async function record(db: Database, random: Random, count: number, width: number): Promise<Observed[]> {
  const history: Observed[] = []
  let [clock, value, done] = [0, 0, 0]
  const keyOf = () => Math.floor(done / 150) * 4 + random.below(4)
  const wishes = () =>
    Array.from({ length: 1 + random.below(4) }, (): Wish =>
      random.chance(0.5) ? { read: keyOf() } : { append: keyOf(), value: (value += 1) },
    )
  const partsApart = 1_000_000
  const client = async () => {
    while (done < count) {
      done += 1
      const called = (clock += 1)
      const note = (outcome: Observed['outcome'], actions: readonly Action[]) =>
        history.push({ called, answered: (clock += 1), outcome, actions })
      if (random.chance(0.15)) {
        note('committed', snapshotReads(db, [keyOf(), keyOf()], partsApart))
        await new Promise((resolve) => setImmediate(resolve))
        continue
      }
      const parts = random.chance(0.5)
      const [wished, fails] = [wishes(), random.chance(0.08)]
      const moved = (actions: readonly Action[]) =>
        parts ? actions.map((it) => apart(it, partsApart)) : actions
      try {
        note('committed', moved(await db.call(parts ? inParts : inWhole, { wishes: wished, fails })))
      } catch (error) {
        if (!SluiceError.is(error, 'ABORTED')) throw error
        note('aborted', moved(wished.filter((it) => 'append' in it)))
      }
    }
  }
  await Promise.all(Array.from({ length: width }, client))
  const everyKey = Array.from({ length: Math.floor(done / 150) * 4 + 4 }, (_, key) => key)
  history.push({
    called: (clock += 1),
    answered: (clock += 1),
    outcome: 'committed',
    actions: snapshotReads(db, everyKey, partsApart),
  })
  return history
}

const apart = (action: Action, by: number): Action =>
  'append' in action ? { ...action, append: action.append + by } : { ...action, read: action.read + by }

/** One moment, both tables. */
function snapshotReads(db: Database, keys: readonly number[], partsApart: number): Action[] {
  const snapshot = db.snapshot()
  try {
    return keys.flatMap((key): Action[] => [
      { read: key, list: snapshot.table(lists.tables.whole).get(key)?.items ?? [] },
      {
        read: key + partsApart,
        list: Array.from(snapshot.table(lists.tables.parts).scan({ prefix: [key] }), (row) => row.value),
      },
    ])
  } finally {
    snapshot.close()
  }
}

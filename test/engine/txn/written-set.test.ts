/**
 * Who is stale. Random transactions run in order on a bare store; after each of them the set is asked about random reads and ranges, and
 * says what comparing all rows before and after, as values and as keys, says.
 */
import { describe, expect, test } from 'vitest'
import { LaneLog } from '../../../engine/shared/lane-log.js'
import { type SpeculationEntry, SpeculationLog } from '../../../engine/shared/speculation-log.js'
import { absentKey, existence, wholeRow } from '../../../engine/store/column-groups.js'
import { flagDeleted } from '../../../engine/store/domain.js'
import { Store } from '../../../engine/store/store.js'
import type { TableStore } from '../../../engine/store/table-store.js'
import { compareKeys, KeyBuffer } from '../../../engine/schema/key-codec.js'
import { ReadSet } from '../../../engine/txn/read-set.js'
import { makeServiceScope } from '../../../engine/txn/service-scope.js'
import { crossLane, Transaction } from '../../../engine/txn/transaction.js'
import { WrittenSet } from '../../../engine/txn/written-set.js'
import { withSystemTables } from '../../../engine/worker/engine-plan.js'
import stirApp from '../../support/apps/stir-app.js'
import { canon } from '../../support/canon.js'
import { programOf } from '../../support/inside.js'
import { seeds, withSeed, type Random } from '../../support/random.js'

const program = withSystemTables(programOf(stirApp) as never)
const anywhere = programOf(stirApp).procedures.findIndex(({ descriptor }) => descriptor.name === 'stir.anywhere')
const nothing = { memory: new Uint8Array(0), length: 0 }
const noInts = { words: new Int32Array(0), length: 0 }

class Bed {
  readonly store: Store
  readonly written: WrittenSet
  readonly log = new SpeculationLog(SpeculationLog.create())
  readonly entry: SpeculationEntry = {
    readsAt: 0, reads: 0, rangesAt: 0, rangesEnd: 0, operationsAt: 0, operations: 0, eventsAt: 0, events: 0, valueAt: 0, valueBytes: 0, payloadsAt: 0,
  }
  readonly reads = new ReadSet()
  readonly #lane = LaneLog.create({ lanes: 2, transactions: 5_000, changes: 100_000, events: 10_000, bytes: 16 * 2 ** 20 })
  readonly #transaction: Transaction
  #batch = 1

  constructor() {
    const plan = Store.plan(program, { bytes: 32 * 2 ** 20, isDefault: false, workers: 1, partitions: 4, historyBytes: 0 })
    this.store = new Store(program, plan, 0)
    this.written = new WrittenSet(this.store)
    this.#transaction = new Transaction(program, this.store, this.#lane, makeServiceScope)
  }

  begin(): void {
    this.#batch += 1
    for (const domain of this.store.domains) domain.beginBatch()
    this.written.begin()
    this.#lane.clear()
    this.#lane.beginLane(-1)
    this.#transaction.beginBatch(this.#batch, this.#batch, 7)
  }
  /** True when it has committed, and was noted. */
  run(script: readonly number[], undoes: boolean): boolean {
    this.#transaction.begin(crossLane, 0)
    try {
      this.#transaction.run(anywhere, { script } as never)
    } catch {
      this.#transaction.undo()
      return false
    }
    if (undoes) {
      this.#transaction.undo()
      return false
    }
    this.#transaction.commit()
    this.#lane.addTransaction(0, 0, 0, 0, 0, 0, 0, 0)
    this.written.note(this.#transaction.writer.journal)
    return true
  }
  end(): void {
    this.#lane.endLane()
    for (const domain of this.store.domains) domain.endBatch(this.#batch)
  }

  /** What has been noted in `reads` becomes an entry. */
  load(): void {
    this.log.clear()
    this.log.read(this.log.add(this.reads.reads, this.reads.ranges, noInts, noInts, nothing, nothing), this.entry)
  }
  get isStale(): boolean {
    return this.written.isStale(this.log.words, this.log.bytes, this.entry)
  }
}

interface SeenRow {
  readonly row: number
  readonly isLive: boolean
  readonly values: Readonly<Record<string, unknown>>
  /** By tree; undefined where the tree does not hold the row. */
  readonly keys: readonly (Uint8Array | undefined)[]
}
/** By canonical key. */
type Seen = ReadonlyMap<string, SeenRow>

function seenIn(store: Store, table: TableStore): Seen {
  const seen = new Map<string, SeenRow>()
  for (let partition = 0; partition < table.partitions; partition += 1) {
    table.part(partition).hash.forEach((row) => {
      const values = table.codec.decode(row)
      const key = canon(table.descriptor.key.map((n) => values[table.descriptor.columns[n]!.name]))
      const keys = table.trees.map((plan) => {
        if (!plan.holdsPlain(values)) return undefined
        const buffer = new KeyBuffer()
        plan.codec.encode(plan.columns.map((n) => values[table.descriptor.columns[n]!.name]), buffer)
        return buffer.copy()
      })
      seen.set(key, { row, isLive: (store.region.i32[row * 2 + 3]! & flagDeleted) === 0, values, keys })
    })
  }
  return seen
}

/** Groups that differ between two states of a row; absent and deleted are the same. */
function groupsBetween(table: TableStore, before: SeenRow | undefined, after: SeenRow | undefined): number {
  const [was, is] = [before?.isLive === true, after?.isLive === true]
  if (was !== is) return wholeRow
  if (!was || before === undefined || after === undefined) return 0
  let groups = 0
  table.descriptor.columns.forEach(({ name }, n) => {
    if (canon(before.values[name]) !== canon(after.values[name])) groups |= table.groups.ofColumn[n]!
  })
  return groups
}

function rangeOf(random: Random, known: readonly Uint8Array[]): { from: Uint8Array | undefined; to: Uint8Array | undefined; withTo: boolean } {
  const bound = (): Uint8Array | undefined => {
    if (known.length === 0 || random.chance(0.2)) return undefined
    const key = random.pick(known)
    return random.chance(0.3) ? key.slice(0, random.below(key.length + 1)) : key
  }
  const [one, other] = [bound(), bound()]
  const isTurned = one !== undefined && other !== undefined && compareKeys(one, other) > 0 && random.chance(0.9)
  return { from: isTurned ? other : one, to: isTurned ? one : other, withTo: random.chance(0.4) }
}

describe('random transactions', () => {
  test.each(seeds(4))('a read of a row is stale when one of its columns was written, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const bed = new Bed()
      const { store, reads } = bed
      const counts = { stale: 0, fresh: 0, missed: 0 }
      for (let batch = 0; batch < 120; batch += 1) {
        const before = store.tables.map((table) => seenIn(store, table))
        bed.begin()
        // Some of them are undone: what they leave behind must not be taken for a change.
        for (let n = 1 + random.below(4); n > 0; n -= 1) bed.run(Array.from({ length: 1 + random.below(5) }, () => random.below(2 ** 31)), random.chance(0.2))
        store.tables.forEach((table, ordinal) => {
          const after = seenIn(store, table)
          const keys = [...new Set([...before[ordinal]!.keys(), ...after.keys()])]
          for (let n = 0; n < 4 && keys.length > 0; n += 1) {
            const key = random.pick(keys)
            const [was, is] = [before[ordinal]!.get(key), after.get(key)]
            const groups = random.chance(0.3) ? existence : random.chance(0.3) ? wholeRow : existence | random.below(2 ** 31)
            table.key.setFromRow(table.descriptor.columns.map(({ name }) => (was ?? is)!.values[name]))
            reads.clear()
            // As a run ahead has met it: a row, deleted or not, or no row at all.
            reads.note(was === undefined ? absentKey(ordinal, table.key.hash) : was.row, groups)
            bed.load()
            const mustBe = (groupsBetween(table, was, is) & groups) !== 0
            if (mustBe && !bed.isStale) expect.fail(`batch ${batch}: ${table.name} ${key} was ${canon(was?.values)}, is ${canon(is?.values)}, and a read of ${groups} holds`)
            counts[mustBe ? 'stale' : bed.isStale ? 'missed' : 'fresh'] += 1
          }
        })
        bed.end()
      }
      expect(counts.stale).toBeGreaterThan(50)
      expect(counts.fresh).toBeGreaterThan(500)
      // There and back again counts as written, and an absent key may share its place: seldom.
      expect(counts.missed).toBeLessThan(counts.fresh / 10)
    })
  })

  test.each(seeds(4))('a range is stale when a key has entered or left it, and not before anybody was expected, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const bed = new Bed()
      const { store, reads } = bed
      const counts = { stale: 0, fresh: 0, missed: 0 }
      const trees = store.tables.flatMap((table) => table.trees.map((plan) => ({ table, plan })))
      for (let batch = 0; batch < 120; batch += 1) {
        const before = new Map(store.tables.map((table) => [table, seenIn(store, table)]))
        const ranges = Array.from({ length: 12 }, () => {
          const { table, plan } = random.pick(trees)
          const known = [...before.get(table)!.values()].flatMap(({ keys }) => keys[plan.ordinal] ?? [])
          return { table, plan, ...rangeOf(random, known) }
        })
        bed.begin()
        const end = (key: Uint8Array | undefined) => key && { bytes: key, length: key.length }
        const note = ({ table, plan, from, to, withTo }: (typeof ranges)[number]): void => {
          reads.clear()
          reads.noteRange(table.ordinal, plan.ordinal, end(from), end(to), withTo)
          bed.load()
        }
        for (const range of ranges) {
          note(range)
          bed.written.expectRanges(bed.log.words, bed.entry)
          expect(bed.isStale).toBe(false)
        }
        for (let n = 1 + random.below(4); n > 0; n -= 1) bed.run(Array.from({ length: 1 + random.below(5) }, () => random.below(2 ** 31)), random.chance(0.2))
        for (const range of ranges) {
          const { table, plan, from, to, withTo } = range
          const isIn = (key: Uint8Array): boolean => (from === undefined || compareKeys(key, from) >= 0) && (to === undefined || compareKeys(key, to) < (withTo ? 1 : 0))
          const keysOf = (seen: Seen): string => [...seen.values()].flatMap(({ isLive, keys }) => (isLive ? (keys[plan.ordinal] ?? []) : [])).filter(isIn).map((key) => Buffer.from(key).toString('hex')).sort().join()
          note(range)
          const mustBe = keysOf(before.get(table)!) !== keysOf(seenIn(store, table))
          if (mustBe && !bed.isStale) expect.fail(`batch ${batch}: ${table.name} "${plan.name}" from ${from} to ${to}${withTo ? ' included' : ''} holds`)
          counts[mustBe ? 'stale' : bed.isStale ? 'missed' : 'fresh'] += 1
        }
        bed.end()
      }
      expect(counts.stale).toBeGreaterThan(50)
      expect(counts.fresh).toBeGreaterThan(300)
      // A key that left and came back.
      expect(counts.missed).toBeLessThan(counts.fresh / 5)
    })
  })
})

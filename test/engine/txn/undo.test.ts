/**
 * Undoing, at three depths: a transaction from its journal (R9, R10, R11), a batch from its saved versions (R36), and the past
 * from its undo chains (R8, R13). Random transactions of every kind run against a bare store; after each undo every row has the
 * very words it had before, every snapshot still shows what it showed, and the whole store is in order.
 */
import { describe, expect, test } from 'vitest'
import { SluiceError } from '../../../engine/base/errors.js'
import { LaneLog } from '../../../engine/shared/lane-log.js'
import { SnapshotView } from '../../../engine/store/snapshot-view.js'
import { checkStore } from '../../../engine/store/check.js'
import { classesCount, flagDeleted, flagQueued, wordsOfClass } from '../../../engine/store/domain.js'
import { Store } from '../../../engine/store/store.js'
import { makeServiceScope } from '../../../engine/txn/service-scope.js'
import { crossLane, Transaction } from '../../../engine/txn/transaction.js'
import modelApp from '../../support/apps/model-app.js'
import { programOf } from '../../support/inside.js'
import { planOf } from '../../support/plans.js'
import { seeds, withSeed, type Random } from '../../support/random.js'
import { canon } from '../../support/same.js'

const program = programOf(modelApp) as never
const runProcedure = programOf(modelApp).procedures.findIndex(({ descriptor }) => descriptor.name === 'main.run')

/** One store, one lane, no threads. */
function bench(bytes: number, historyBytes: number) {
  const plan = Store.plan(program, { bytes, isDefault: false, workers: 1, partitions: 4, historyBytes })
  const store = new Store(program, plan, 0)
  const log = LaneLog.create({ lanes: 2, transactions: 5_000, changes: 100_000, events: 100_000, bytes: 64 * 2 ** 20 })
  const transaction = new Transaction(program, store, log, makeServiceScope)
  return { store, log, transaction }
}

/** The words of every row but ts and undo; rows that are deleted count as absent. */
function wordsOf(store: Store): Map<number, string> {
  const words = new Map<number, string>()
  for (const table of store.tables) {
    for (let p = 0; p < table.partitions; p += 1) {
      table.part(p).hash.forEach((row) => {
        const { i32 } = store.region
        if ((i32[row * 2 + 3]! & flagDeleted) !== 0) return
        const columns = i32.subarray(row * 2 + 4, (row + table.layout.words) * 2)
        words.set(row, `${i32[row * 2 + 3]! & ~flagQueued} ${columns.join(' ')} ${canon(table.codec.decode(row))}`)
      })
    }
  }
  return words
}

function mustBeEqual(now: Map<number, string>, before: Map<number, string>, what: string): void {
  for (const [row, words] of before) if (now.get(row) !== words) expect.fail(`${what}: row ${row}\n  now    ${now.get(row)}\n  before ${words}`)
  for (const row of now.keys()) if (!before.has(row)) expect.fail(`${what}: row ${row} is new: ${now.get(row)}`)
}

const rowsAt = (store: Store, view: SnapshotView): string =>
  canon(store.tables.map((table) => [...view.all(table)].map(canon).sort()))

describe('random transactions', () => {
  test.each(seeds(6))('R9, R10, R11, R36: undone leave every word of every row as it was, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const { store, log, transaction } = bench(64 * 2 ** 20, 0)
      const scripts = planOf(random, { steps: 90, reopen: false }).flatMap((step) => ('calls' in step ? step.calls.map(({ script }) => script) : []))
      const counts = { committed: 0, undone: 0, failed: 0, rolledBack: 0, snapshots: 0, reclaimed: 0 }
      const held: { slot: number; view: SnapshotView; rows: string }[] = []
      let durable = 1

      const runOne = (batch: number, place: number): void => {
        const script = random.pick(scripts)
        const before = wordsOf(store)
        transaction.begin(crossLane, place)
        let failed = false
        try {
          transaction.run(runProcedure, { script } as never)
        } catch {
          failed = true
        }
        if (transaction.isBroken) throw transaction.bug ?? new Error('an operation did not come to its end')
        if (failed || random.chance(0.4)) {
          transaction.undo()
          mustBeEqual(wordsOf(store), before, `an undone transaction of batch ${batch}`)
          counts[failed ? 'failed' : 'undone'] += 1
        } else {
          transaction.commit()
          log.addTransaction(place, 0, 0, 0, 0, 0, 0, 0)
          counts.committed += 1
        }
      }
      const runLane = (batch: number): void => {
        log.clear()
        log.beginLane(-1)
        transaction.beginBatch(batch, batch, 7)
        for (let place = random.below(6); place >= 0; place -= 1) runOne(batch, place)
        log.endLane()
      }

      const reclaim = (batch: number): void => {
        for (const [ordinal, domain] of store.domains.entries()) {
          const kept = domain.keptWords()
          store.reclaim(ordinal, durable, batch, 64)
          if (domain.keptWords() < kept) counts.reclaimed += 1
        }
      }

      const end = 70
      for (let batch = 2; batch < end; batch += 1) {
        for (const domain of store.domains) domain.beginBatch()
        reclaim(batch)
        const sealed = wordsOf(store)
        for (let runs = random.chance(0.3) ? 1 + random.below(3) : 0; runs > 0; runs -= 1) {
          runLane(batch)
          store.rollback()
          mustBeEqual(wordsOf(store), sealed, `batch ${batch}, rolled back`)
          checkStore(store, batch)
          counts.rolledBack += 1
        }
        runLane(batch)
        for (const domain of store.domains) domain.endBatch(batch)
        checkStore(store, batch)
        for (const { view, rows } of held) if (rowsAt(store, view) !== rows) expect.fail(`the snapshot of batch ${view.batch} shows something else after batch ${batch}`)
        durable = random.chance(0.8) ? batch : durable
        if (durable === batch && random.chance(0.3)) {
          const slot = store.snapshots.take()
          const view = new SnapshotView(store, slot, store.snapshots.holdNewest(slot, () => durable))
          held.push({ slot, view, rows: rowsAt(store, view) })
          counts.snapshots += 1
        }
        if (held.length > 4) held.splice(random.below(held.length), 1)[0]!.view.close()
      }
      // Nobody looks at the past any more: it goes, also where a snapshot has held all of it.
      for (const { view } of held) view.close()
      durable = end - 1
      for (const domain of store.domains) domain.beginBatch()
      reclaim(end)
      for (const domain of store.domains) domain.endBatch(end)
      checkStore(store, end)
      for (const [what, count] of Object.entries(counts)) expect(count, what).toBeGreaterThan(0)
    })
  })
})

describe('memory', () => {
  const churned = (random: Random, rollbackChance: number): { readonly words: number; readonly rollbacks: number } => {
    const { store, log, transaction } = bench(32 * 2 ** 20, 0)
    const place = () => random.pick(['a', 'b', 'c'])
    const churn = (n: number) => [
      { op: 'put', table: 'pair', row: { place: place(), day: random.below(30), rank: random.below(9), title: `t${n}` } },
      { op: 'put', table: 'long', row: { id: String(random.below(20)), body: 'b'.repeat(random.below(900)), blob: null, data: null } },
      { op: 'delete', table: 'pair', key: [place(), random.below(30)] },
      { op: 'delete', table: 'long', key: String(random.below(20)) },
    ]
    let top = 0
    let rollbacks = 0
    for (let batch = 2; batch < 3_000; batch += 1) {
      for (const domain of store.domains) domain.beginBatch()
      for (let domain = 0; domain < store.domains.length; domain += 1) store.reclaim(domain, batch - 1, batch, 64)
      log.clear()
      log.beginLane(-1)
      transaction.beginBatch(batch, batch, 7)
      for (let n = 0; n < 4; n += 1) {
        transaction.begin(crossLane, n)
        try {
          transaction.run(runProcedure, { script: churn(n) } as never)
          random.chance(0.3) ? transaction.undo() : transaction.commit()
        } catch {
          transaction.undo()
        }
      }
      log.endLane()
      if (random.chance(rollbackChance)) {
        store.rollback()
        if (batch > 1_500) rollbacks += 1
      }
      for (const domain of store.domains) domain.endBatch(batch)
      if (batch === 1_500) top = store.region.usedWords()
    }
    checkStore(store, 3_000)
    return { words: store.region.usedWords() - top, rollbacks }
  }
  const extentWords = 32_768

  test.each(seeds(2))('R13, R14: what nobody can look at any more is used again: millions of words written, none more taken, seed %i', { timeout: 60_000 }, async (seed) => {
    // Half as long again would need more, if anything leaked; one extent comes and goes with the sizes of values.
    await withSeed(seed, async (random) => expect(churned(random, 0).words, 'words taken in the second half').toBeLessThanOrEqual(extentWords))
  })

  test.each(seeds(2))('R36: a batch that is rolled back gives up the pages that its run had copied (ordered-index.ts), and no more, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const { words, rollbacks } = churned(random, 0.1)
      expect(rollbacks).toBeGreaterThan(50)
      expect(words / rollbacks, 'words for each rollback').toBeLessThan(4_096)
    })
  })
})

/** Words that an allocation could still have, in the free lists and in the chunk of a domain. */
function freeWords(store: Store): number {
  const { i32 } = store.region
  let words = 0
  for (const { address } of store.domains) {
    for (let sizeClass = 0; sizeClass < classesCount; sizeClass += 1) {
      for (let free = i32[(address + 16) * 2 + sizeClass]!; free !== 0; free = i32[free * 2]!) words += wordsOfClass(sizeClass)
    }
    words += i32[address * 2 + 1]! - i32[address * 2]!
  }
  return words
}

describe('a memory that ends', () => {
  test.each(seeds(4))('R5, R11: at any allocation, the transaction is undone whole, and what it had taken is free again, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random: Random) => {
      const { store, log, transaction } = bench(64 * 2 ** 20, 0)
      const place = () => random.pick(['a', 'b', 'c', 'd'])
      const body = () => random.pick(['x', 'é'.repeat(30), 'b'.repeat(900), 'c'.repeat(3_000)])
      const steps = (): object[] =>
        Array.from({ length: 1 + random.below(6) }, () => {
          switch (random.below(6)) {
            case 0:
              return { op: 'put', table: 'pair', row: { place: place(), day: random.below(40), rank: random.below(9), title: body() } }
            case 1:
              return { op: 'delete', table: 'pair', key: [place(), random.below(40)] }
            case 2:
              return { op: 'delete', table: 'long', key: String(random.below(20)) }
            case 3:
              return { op: 'put', table: 'world', row: { name: place(), n: random.below(50), note: body() } }
            default:
              return { op: 'put', table: 'long', row: { id: String(random.below(20)), body: body(), blob: Buffer.from(body()), data: [body()] } }
          }
        })
      // Extents are as small as they can be, so that the end may come at every allocation.
      let budget = Infinity
      const takeExtent = store.region.takeExtent.bind(store.region)
      store.region.takeExtent = (words) => {
        if (words > 512 || (budget -= 1) < 0) return 0
        return takeExtent(words)
      }
      const counts = { full: 0, committed: 0 }
      let batch = 1
      const runBatch = (extents: number): boolean => {
        batch += 1
        budget = Infinity
        for (const domain of store.domains) domain.beginBatch()
        for (let domain = 0; domain < store.domains.length; domain += 1) store.reclaim(domain, batch - 1, batch, 64)
        log.clear()
        log.beginLane(-1)
        transaction.beginBatch(batch, batch, 7)
        const before = wordsOf(store)
        transaction.begin(crossLane, 0)
        budget = extents
        let isFull = false
        try {
          transaction.run(runProcedure, { script: steps() } as never)
          transaction.commit()
          counts.committed += 1
        } catch (error) {
          if (transaction.isBroken) throw transaction.bug ?? error
          isFull = SluiceError.is(error, 'OUT_OF_SPACE')
          transaction.undo()
          mustBeEqual(wordsOf(store), before, `a transaction that found no memory, batch ${batch}`)
          if (isFull) counts.full += 1
        }
        budget = Infinity
        log.endLane()
        for (const domain of store.domains) domain.endBatch(batch)
        checkStore(store, batch)
        return isFull
      }
      for (let n = 0; n < 400; n += 1) runBatch(random.chance(0.5) ? Infinity : random.below(6))
      expect(counts.full).toBeGreaterThan(20)
      expect(counts.committed).toBeGreaterThan(100)

      // Again and again into the wall: nothing may be lost in it.
      const settle = (): number => {
        for (let n = 0; n < 3; n += 1) {
          batch += 1
          for (const domain of store.domains) domain.beginBatch()
          for (let domain = 0; domain < store.domains.length; domain += 1) store.reclaim(domain, batch - 1, batch, 1_000)
          for (const domain of store.domains) domain.endBatch(batch)
        }
        return freeWords(store) - store.region.usedWords()
      }
      let lost = 0
      for (let n = 0; n < 300; n += 1) {
        const before = settle()
        if (runBatch(random.below(3))) lost += before - settle()
      }
      // A slab of slots or a piece of a hash that has grown stays; blocks of values, some hundred words each, must not.
      expect(lost, 'words lost').toBeLessThan(1_500)
    })
  })
})

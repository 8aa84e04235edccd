/**
 * Rows 18 and 19: no memory, and a reader that does not go away.
 *
 * Row 18 makes the one allocator that hands out memory (`Region.takeExtent`) say no at the n-th time it is asked, once or from
 * then on, for every n until a workload gets through. So that it is asked for each thing and not once for 256 KiB, it refuses
 * the round size that a domain asks for first, and the domain then asks for what it needs; and before each batch it takes away
 * what the domains have in hand: free blocks, the rest of a chunk, the room in the segments of their logs.
 */
import { SluiceError } from 'sluicedb'
import { describe } from 'vitest'
import type { Store } from '../../dist/engine/store/store.js'
import { domainWords } from '../../engine/store/domain.js'
import { openInside, type Inside } from '../support/inside.js'
import type { Random } from '../support/random.js'
import fragileApp, { fragile, work, write } from './apps/fragile-app.js'
import { Told, type Order } from './apps/told.js'
import { faultRow } from './row.js'

const MiB = 2 ** 20
const kinds = ['write', 'writeBoth', 'stray'] as const
const chunkWordsMin = 512
const freeListsAt = 16
const fifosAt = [1, 4, 7]

/** The allocator of a database, under control. */
class Allocator {
  /** How often it was asked since `arm`. */
  asked = 0
  #failsAt = Infinity
  #isPersistent = false
  #refused = 0
  readonly #store: Store

  constructor({ store }: Inside) {
    this.#store = store
    const { region } = store
    const take = region.takeExtent.bind(region)
    region.takeExtent = (words) => {
      const isRound = words >= chunkWordsMin && (words & (words - 1)) === 0
      if (isRound && this.#refused !== words && this.#failsAt < Infinity) {
        this.#refused = words
        return 0
      }
      this.#refused = 0
      this.asked += 1
      if (this.asked === this.#failsAt || (this.#isPersistent && this.asked > this.#failsAt)) return 0
      return take(words)
    }
  }
  arm(failsAt: number, isPersistent: boolean): void {
    this.asked = 0
    this.#failsAt = failsAt
    this.#isPersistent = isPersistent
  }
  /** Between two batches: the next one has to ask for everything. Layouts: engine/store/domain.ts and fifo.ts. */
  drain(): void {
    if (this.#failsAt === Infinity) return
    const { i32 } = this.#store.region
    for (const { address } of this.#store.domains) {
      i32[address * 2] = 0
      i32[address * 2 + 1] = 0
      i32.fill(0, (address + freeListsAt) * 2, (address + domainWords) * 2)
      for (const fifo of fifosAt) i32[(address + fifo) * 2 + 2] = i32[(address + fifo) * 2 + 1]!
    }
  }
  disarm(): void {
    this.#failsAt = Infinity
    this.#refused = 0
  }
}

interface Bench {
  readonly inside: Inside
  readonly told: Told
  readonly allocator: Allocator
}

async function makeBench(historyBytes: number): Promise<Bench> {
  const inside = await openInside(fragileApp, { workers: 0, partitions: 3, memoryBytes: 512 * MiB, historyBytes })
  return { inside, told: new Told(), allocator: new Allocator(inside) }
}

/** A few calls of every kind: small and long values, with ids and without, alone and several in a batch. */
function workloadOf(random: Random): (bench: Bench) => Promise<string[]> {
  const plan = Array.from({ length: 4 }, () => ({
    kind: random.pick(kinds),
    at: random.below(7),
    other: random.below(6) + 1,
    filler: random.chance(0.4) ? 'f'.repeat(random.below(9_000)) : '',
    withId: random.chance(0.4),
    isAlone: random.chance(0.5),
    removes: random.chance(0.5),
  }))
  return async ({ inside, told, allocator }) => {
    const codes: string[] = []
    let together: Promise<string>[] = []
    allocator.drain()
    for (const step of plan) {
      const n = told.nextNumber()
      const order: Order = { n, kind: step.kind, at: step.at, other: (step.at + step.other) % 7, filler: step.filler, ...(step.withId ? { id: `call ${n}` } : {}) }
      together.push(told.call(inside.db, order))
      if (!step.isAlone) continue
      codes.push(...(await Promise.all(together)))
      together = []
      allocator.drain()
      const oldest = told.standing[0]
      if (step.removes && oldest !== undefined) codes.push(await told.remove(inside.db, oldest, oldest.at))
      allocator.drain()
    }
    return [...codes, ...(await Promise.all(together))]
  }
}

/** What a database that has stopped says. */
const whyOf = ({ db }: Inside): Promise<string> => db.call(work, { at: 0, steps: 0 }).then(
  () => 'it goes on',
  (error: unknown) => String((error as Error).cause instanceof Error ? ((error as Error).cause as Error).stack : error),
)

describe('memory', () => {
  faultRow(
    18,
    {
      title: 'the version heap is exhausted',
      injected: 'the allocator fails at the n-th time that it is asked, once or from then on, for every n until a random workload gets through (inserts, updates, deletes, indexes, long values, ids, atomic handlers, all lanes), with and without history; the whole engine inline',
      invariant: 'OUT_OF_SPACE (OVERLOADED where an outcome cannot be remembered) for the transaction, nothing of it is there, reads go on; with memory again the same calls succeed; the store is whole; what failed leaves nothing behind',
      pr: 3_000,
      nightly: 60_000,
    },
    async (run) => {
      const counts: Record<string, number> = {}
      let cases = 0
      let workloads = 0
      let most = 0
      while (cases < run.count && !run.isOver) {
        const bench = await makeBench(workloads % 2 === 0 ? 256 * MiB : 0)
        const { inside, told, allocator } = bench
        // A database serves a few workloads, so that the next ones meet free lists and trees that others left.
        for (let round = 0; round < 4 && cases < run.count && !run.isOver; round += 1) {
          const workload = workloadOf(run.chance)
          workloads += 1
          for (const isPersistent of [false, true]) {
            for (let n = 1; ; n += 1) {
              allocator.arm(n, isPersistent)
              const codes = await workload(bench)
              const { asked } = allocator
              allocator.disarm()
              for (const code of codes) {
                if (code === 'COMMIT_UNKNOWN') throw new Error(`allocation ${n} of ${asked} failed ${isPersistent ? 'for good' : 'once'}, and the database stopped: ${await whyOf(inside)}`)
                counts[code] = (counts[code] ?? 0) + 1
                if (!['ok', 'OUT_OF_SPACE', 'OVERLOADED'].includes(code)) throw new Error(`allocation ${n} of ${asked} failed ${isPersistent ? 'for good' : 'once'}, and a call was told ${code}`)
              }
              told.mustHold(inside.db)
              cases += 1
              run.done()
              if (cases % 20 === 0) inside.check()
              if (asked < n) {
                most = Math.max(most, asked)
                break
              }
            }
            const again = await workload(bench)
            if (again.some((code) => code !== 'ok')) throw new Error(`there is memory again, and the calls were told ${again.join()}`)
            // Small, so that looking at all of it stays cheap.
            for (const order of told.standing.slice(0, -6)) {
              const code = await told.remove(inside.db, order, order.at)
              if (code !== 'ok') throw new Error(`a delete was told ${code} while there is memory`)
            }
          }
        }
        inside.check()
        await inside.close()
      }
      run.figure('workloads', workloads)
      run.figure('allocations of the longest workload', most)
      for (const [code, count] of Object.entries(counts)) run.figure(`calls told ${code}`, count)
    },
  )

  faultRow(
    '18 pinned',
    {
      title: 'the memory is full, and a snapshot pins the past',
      injected: '16 MiB of memory, a snapshot of all rows, and updates of rows with long values until the memory has been filled several times; and inserts until nothing fits',
      invariant: 'what the snapshot answers never changes until it is SNAPSHOT_TOO_OLD; then updates have room; inserts end in OUT_OF_SPACE, deletes make room again, and as much fits as before',
      pr: 2,
      nightly: 40,
    },
    async (run) => {
      for (const index of run.cases()) {
        const inside = await openInside(fragileApp, { workers: index % 2, partitions: 2, memoryBytes: 16 * MiB, historyBytes: 0 })
        const { db, store } = inside
        const told = new Told()
        const first: Order[] = Array.from({ length: 20 }, (_, n) => ({ n: told.nextNumber(), kind: 'write', at: n, other: 0, filler: 'o'.repeat(2_000) }))
        for (const order of first) await told.call(db, order)
        const snapshot = db.snapshot()
        const read = (): string => [...snapshot.table(fragile.tables.entry)].map(({ at, n, filler }) => `${at} ${n} ${filler.length}`).sort().join()
        const before = read()
        let churned = 0
        let tooOld = 0
        for (let bytes = 0; bytes < 2 * 16 * MiB; bytes += 8_000) {
          const order: Order = { n: told.nextNumber(), kind: 'write', at: churned % 20, other: 0, filler: 'n'.repeat(8_000) }
          const code = await told.call(db, order)
          churned += 1
          if (code === 'ok') await told.remove(db, order, order.at)
          else if (code !== 'OUT_OF_SPACE') throw new Error(`an update was told ${code}`)
          if (churned % 50 !== 0 || tooOld > 0) continue
          try {
            if (read() !== before) throw new Error('the snapshot changed its answer')
          } catch (error) {
            if (!SluiceError.is(error, 'SNAPSHOT_TOO_OLD')) throw error
            tooOld = churned
          }
        }
        if (tooOld === 0) throw new Error('32 MiB of the past fitted into 16')
        run.figure(`workers ${index % 2}: calls until the snapshot was too old`, tooOld)
        snapshot.close()
        told.mustHold(db)
        const fitted: number[] = []
        for (let round = 0; round < 3; round += 1) {
          const inserted: Order[] = []
          for (;;) {
            const order: Order = { n: told.nextNumber(), kind: 'write', at: inserted.length % 20, other: 0, filler: 'i'.repeat(4_000) }
            const code = await told.call(db, order)
            if (code === 'OUT_OF_SPACE') break
            if (code !== 'ok') throw new Error(`an insert was told ${code}`)
            inserted.push(order)
          }
          fitted.push(inserted.length)
          told.mustHold(db)
          for (const order of inserted) {
            let code = await told.remove(db, order, order.at)
            // The very last words may be gone: a delete needs a few, and the next batch has freed some.
            for (let attempt = 0; code === 'OUT_OF_SPACE' && attempt < 20; attempt += 1) code = await told.remove(db, order, order.at)
            if (code !== 'ok') throw new Error(`a delete in a full memory was told ${code}, ${store.region.usedWords()} words used`)
          }
        }
        run.figure(`workers ${index % 2}: rows that fitted, three times`, fitted.join(', '))
        if (fitted[2]! < fitted[1]! * 0.95) throw new Error(`memory is lost: ${fitted.join()} rows fitted`)
        told.mustHold(db)
        await inside.close()
      }
    },
  )

  faultRow(
    19,
    {
      title: 'a snapshot is held over 100,000 batches of updates of the same rows',
      injected: 'one database with a snapshot and one without, the same calls in turn, a batch for each call; then 16 MiB of memory, until the snapshot is given up',
      invariant: 'its answers are constant until SNAPSHOT_TOO_OLD; the memory stays within its bound; p99 of the writes at most 1.2 of what it is without the snapshot',
      pr: 1,
      nightly: 5,
    },
    async (run) => {
      for (const index of run.cases()) {
        void index
        const rows = 10
        const inside = await openInside(fragileApp, { workers: 0, partitions: 2, memoryBytes: 64 * MiB, historyBytes: 0 })
        const plain = await openInside(fragileApp, { workers: 0, partitions: 2, memoryBytes: 64 * MiB, historyBytes: 0 })
        const bump = (one: Inside, at: number): Promise<number> => one.db.call(work, { at, steps: 0 })
        for (const one of [inside, plain]) {
          for (let at = 0; at < rows; at += 1) await one.db.call(write, { at, n: at })
          for (let n = 0; n < 3_000; n += 1) await bump(one, n % rows)
        }
        const snapshot = inside.db.snapshot()
        const read = (): string => JSON.stringify([...snapshot.table(fragile.tables.cell)].map(({ at, n }) => [at, n]).sort((a, b) => a[0]! - b[0]!))
        const before = read()
        const medians = { held: [] as number[], free: [] as number[] }
        const batches = 100_000
        const block = 1_000
        const times = new Float64Array(block)
        for (let done = 0; done < batches; done += block) {
          // Now one first, now the other: what the machine does besides hits both.
          for (const one of (done / block) % 2 === 0 ? [inside, plain] : [plain, inside]) {
            for (let n = 0; n < block; n += 1) {
              const startedMs = performance.now()
              await bump(one, n % rows)
              times[n] = performance.now() - startedMs
            }
            const sorted = times.slice().sort()
            ;(one === inside ? medians.held : medians.free).push(sorted[Math.floor(block * 0.99)]!)
          }
          if ((done / block) % 5 === 0 && read() !== before) throw new Error(`the snapshot changed its answer after ${done} batches`)
        }
        if (read() !== before) throw new Error('the snapshot changed its answer')
        const middle = (values: number[]): number => values.sort((a, b) => a - b)[values.length >>> 1]!
        const ratio = middle(medians.held) / middle(medians.free)
        run.figure('batches', batches)
        run.figure('p99 of a write with the snapshot (median over blocks of 1,000)', Math.round(middle(medians.held) * 1_000), 'µs')
        run.figure('p99 without', Math.round(middle(medians.free) * 1_000), 'µs')
        run.figure('their ratio', ratio.toFixed(2))
        run.figure('memory used', Math.round((inside.store.region.usedWords() * 8) / MiB), 'MiB of 64')
        if (ratio > 1.2) throw new Error(`with the snapshot a write takes ${ratio.toFixed(2)} times as long (p99)`)
        snapshot.close()
        await inside.close()
        await plain.close()

        const small = await openInside(fragileApp, { workers: 0, partitions: 2, memoryBytes: 16 * MiB, historyBytes: 0 })
        for (let at = 0; at < rows; at += 1) await bump(small, at)
        const held = small.db.snapshot()
        const look = (): string => JSON.stringify([...held.table(fragile.tables.cell)].map(({ at, n }) => [at, n]).sort((a, b) => a[0]! - b[0]!))
        const wanted = look()
        let lasted = 0
        for (let n = 1; lasted === 0 && n < 2_000_000; n += 1) {
          await bump(small, n % rows)
          if (n % 2_000 !== 0) continue
          try {
            if (look() !== wanted) throw new Error(`the snapshot changed its answer after ${n} batches`)
          } catch (error) {
            if (!SluiceError.is(error, 'SNAPSHOT_TOO_OLD')) throw error
            lasted = n
          }
        }
        if (lasted === 0) throw new Error('the snapshot was never given up')
        for (let n = 0; n < 1_000; n += 1) await bump(small, n % rows)
        run.figure('batches until SNAPSHOT_TOO_OLD with 16 MiB', lasted)
        held.close()
        await small.close()
      }
    },
  )
})

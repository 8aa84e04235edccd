/**
 * The store as one thread sees it: the region, the domains, the tables, and the rules of reading at a snapshot.
 *
 * `StorePlan` is what main hands to the workers: buffers and addresses, no state. Everything that changes lies in the region.
 *
 * Reading a row at a snapshot (R12), on any thread and without waiting: one opaque load, copy the row, then read ts, then
 * undo. If ts is not newer than the snapshot, the copy is whole; otherwise the chain of images leads to the version that
 * counts. The copy goes to a scratch row in the region, so that one decoder reads rows, images and copies alike.
 */
import { assert, AssertionError } from '../base/assert.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { Program } from '../schema/descriptor.js'
import { lengthMask } from '../schema/row-layout.js'
import { Region, wordsFor } from '../shared/region.js'
import { SnapshotTable } from '../shared/snapshot-table.js'
import { Domain, domainWords, flagDeleted, flagQueued, type RetireKind, retireKind } from './domain.js'
import type { OrderedIndex } from './ordered-index.js'
import { type CheckedReferences, linkReferences } from './references.js'
import { CellMemory, longAddress } from './row-codec.js'
import { partStateWords, type TablePart, TableStore } from './table-store.js'

export interface StorePlan {
  readonly region: SharedArrayBuffer
  readonly snapshots: SharedArrayBuffer
  /** Workers, 1 at least: each has a domain. The global domain comes after them. */
  readonly domains: number
  readonly partitions: number
  readonly domainsAt: number
  readonly tablesAt: readonly number[]
  /** A scratch row for each worker, then one for main. */
  readonly scratchAt: number
  /** Copies of rows that workers make when they run ahead: so many words for each, one behind the other. 0 words: nobody does. */
  readonly copiesAt: number
  readonly copiesWords: number
  readonly historyBytes: number
}

const scratchWords = limits.rowBytesMax / 8
const copiesWordsFor = (regionWords: number): number =>
  Math.min(wordsFor(limits.speculationScratchBytesMax), Math.max(wordsFor(limits.speculationScratchBytesMin), Math.floor(regionWords / 256)))
/** Steps of an undo chain after which a reader looks whether it was expired (R15). */
const stepsBetweenLooks = 64

export class Store {
  readonly plan: StorePlan
  readonly region: Region
  readonly snapshots: SnapshotTable
  readonly memory: CellMemory
  readonly domains: readonly Domain[]
  readonly tables: readonly TableStore[]
  readonly references: CheckedReferences
  readonly partitions: number
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly #scratch: number

  /** `seat`: the worker, or `plan.domains` for main: it decides the scratch row. */
  constructor(program: Program, plan: StorePlan, seat: number) {
    this.plan = plan
    this.region = new Region(plan.region)
    this.snapshots = new SnapshotTable(plan.snapshots, plan.domains + 1)
    this.memory = new CellMemory(this.region)
    this.partitions = plan.partitions
    this.domains = Array.from({ length: plan.domains + 1 }, (_, n) => new Domain(this.region, plan.domainsAt + n * domainWords, n))
    this.tables = program.tables.map((table, n) => new TableStore(table, n, plan.partitions, plan.tablesAt[n]!, this.domains, this.memory))
    this.references = linkReferences(program, this.tables)
    this.#i32 = this.region.i32
    this.#f64 = this.region.f64
    this.#scratch = plan.scratchAt + seat * scratchWords
  }

  /** Reserves the region and lays out everything that is not data. */
  static plan(program: Program, options: { bytes: number; isDefault: boolean; workers: number; partitions: number; historyBytes: number; runsAhead?: boolean }): StorePlan {
    const region = Region.reserve(options.bytes, options.isDefault)
    const domains = Math.max(1, options.workers)
    const take = (words: number): number => {
      const at = region.takeExtent(words)
      if (at === 0) throw SluiceError.of('OUT_OF_SPACE', `memory.bytes is too small for the tables of this application: it needs more than ${options.bytes} bytes.`)
      return at
    }
    const copiesWords = options.runsAhead === true ? copiesWordsFor(region.words) : 0
    return {
      region: region.buffer,
      snapshots: SnapshotTable.create(domains + 1).buffer,
      domains,
      partitions: options.partitions,
      domainsAt: take((domains + 1) * domainWords),
      tablesAt: program.tables.map(({ descriptor }) => take(partStateWords(descriptor) * (descriptor.partition === 'global' ? 1 : options.partitions))),
      scratchAt: take((domains + 1) * scratchWords),
      copiesAt: copiesWords === 0 ? 0 : take(domains * copiesWords),
      copiesWords,
      historyBytes: options.historyBytes,
    }
  }

  // ── reading at a snapshot ─────────────────────────────────────────────────────────────────────────────

  /** The address at which the version of a row at `snapshot` can be read until the next call, or 0. */
  versionAt(row: number, words: number, snapshot: number, slot: number): number {
    const version = this.cellAt(row, words, snapshot, slot)
    return version !== 0 && (this.#i32[version * 2 + 3]! & flagDeleted) === 0 ? version : 0
  }

  /** The row is not deleted, as its flags stand now. */
  isLive(row: number): boolean {
    return (this.#i32[row * 2 + 3]! & flagDeleted) === 0
  }

  /** The same for any cell with a row's header: roots and counts. */
  cellAt(cell: number, words: number, snapshot: number, slot: number): number {
    const { i32, f64 } = this.region
    this.region.fence()
    const scratch = this.#scratch
    for (let from = cell * 2 + 3, to = scratch * 2 + 3, end = (cell + words) * 2; from < end; from += 1, to += 1) i32[to] = i32[from]!
    const ts = f64[cell]!
    if (ts <= snapshot) {
      if (ts === 0) return 0
      this.#mustHold(slot)
      return scratch
    }
    let image = i32[cell * 2 + 2]!
    for (let step = 1; image !== 0; step += 1) {
      if (f64[image]! <= snapshot) {
        this.#mustHold(slot)
        return f64[image] === 0 ? 0 : image
      }
      image = i32[image * 2 + 2]!
      if (step % stepsBetweenLooks === 0) this.#mustHold(slot)
    }
    this.#mustHold(slot)
    return 0
  }

  #mustHold(slot: number): void {
    if (slot >= 0 && this.snapshots.isExpired(slot)) {
      throw SluiceError.of('SNAPSHOT_TOO_OLD', 'This snapshot was given up because memory ran short: take a new one, hold it for less time, or open with more memory.')
    }
  }

  /** Above this nothing is kept for anybody's convenience (design §2). */
  get isShort(): boolean {
    return this.region.usedWords() > this.region.words * limits.expireSnapshotsAbove
  }

  // ── reclaiming ────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Frees what no snapshot needs in one domain, as long as it keeps more than its share of the history hold (R48).
   * Runs in the lane's thread between batches; `batch` is the one that is about to run.
   */
  reclaim(ordinal: number, durable: number, batch: number, budget: number): void {
    const domain = this.domains[ordinal]!
    const share = this.plan.historyBytes / 8 / this.domains.length
    const { isShort } = this
    // Not a little after every batch but more now and then: a look at all slots is paid for once.
    if (domain.keptWords() <= share + share / 16 && !isShort) return
    for (let n = 0; n < budget; n += 1) {
      const oldest = domain.oldestMark()
      if (oldest > durable || (domain.keptWords() <= share && !isShort)) return
      // S4, for every mark: floor first, then the slots. A reader of the past who came in between sees the one or is seen.
      if (oldest > this.snapshots.floor(ordinal)) this.snapshots.raiseFloor(ordinal, oldest)
      const bound = this.snapshots.oldestHeld(durable)
      if (oldest > bound) {
        if (isShort && this.snapshots.expireOldest(0)) continue
        return
      }
      domain.reclaimOldest((kind, address, extra, extra2) => this.#reclaimOne(domain, kind, address, extra, extra2, bound, batch))
    }
  }

  /** Replay: nobody reads, so everything retired so far goes at once. */
  reclaimAll(domain: Domain, batch: number): void {
    while (domain.oldestMark() <= batch) {
      domain.reclaimOldest((kind, address, extra, extra2) => this.#reclaimOne(domain, kind, address, extra, extra2, batch, batch))
    }
  }

  #reclaimOne(domain: Domain, kind: RetireKind, address: number, extra: number, extra2: number, bound: number, batch: number): void {
    switch (kind) {
      case retireKind.row:
        return this.#reclaimRow(domain, address, extra, extra2, bound)
      case retireKind.leaf:
        return this.#treeAt(address).trim(extra, batch)
      default:
        throw new AssertionError(`retire record of kind ${kind}`)
    }
  }

  /** The tree whose cell stands at an address. */
  #treeAt(cell: number): OrderedIndex {
    let tree = this.#treesByCell.get(cell)
    if (tree !== undefined) return tree
    const table = this.tables.findLast((one) => this.plan.tablesAt[one.ordinal]! <= cell)!
    const partition = Math.floor((cell - this.plan.tablesAt[table.ordinal]!) / partStateWords(table.descriptor))
    tree = table.part(partition).trees.find((one) => one.cell === cell)
    assert(tree !== undefined, 'every cell of a tree belongs to a part of a table')
    this.#treesByCell.set(cell, tree)
    return tree
  }
  readonly #treesByCell = new Map<number, OrderedIndex>()

  /** R36: takes back all that the running batch did, in every domain. Nobody else may be working. */
  rollback(): void {
    for (const domain of this.domains) {
      domain.rollback((row) => {
        this.#i32[row * 2 + 3] = this.#i32[row * 2 + 3]! | flagDeleted
      })
    }
  }

  /** R14: a deleted row goes when its deletion is below the bound; a row that was revived stays. */
  #reclaimRow(domain: Domain, row: number, table: number, partition: number, bound: number): void {
    const i32 = this.#i32
    const flags = i32[row * 2 + 3]!
    if ((flags & flagDeleted) === 0) {
      i32[row * 2 + 3] = flags & ~flagQueued
      return
    }
    if (this.#f64[row]! > bound) {
      // Without room for the note the row waits for the next time that somebody deletes it.
      if (domain.hasRoomToRetire()) domain.retire(retireKind.row, row, table, partition)
      else i32[row * 2 + 3] = flags & ~flagQueued
      return
    }
    const store = this.tables[table]!
    const part = store.part(partition)
    part.hash.remove(store.key.hashOfRow(row), row)
    this.releaseLongValues(part, row)
    part.freeSlot(row)
  }

  /** Queues a deleted row once (see `flagQueued`). Needs room in the retire log. */
  retireRow(part: TablePart, row: number): void {
    const at = row * 2 + 3
    if ((this.#i32[at]! & flagQueued) !== 0) return
    this.#i32[at] = this.#i32[at]! | flagQueued
    part.domain.retire(retireKind.row, row, part.table.ordinal, part.partition)
  }

  /** Gives back the blocks of a row that nobody can reach. */
  releaseLongValues(part: TablePart, row: number): void {
    for (const column of part.table.layout.vars) {
      const cell = row * 2 + column.at
      const address = longAddress(this.#i32, cell)
      if (address !== 0) part.domain.release(address, wordsFor(this.#i32[cell]! & lengthMask))
    }
  }
}

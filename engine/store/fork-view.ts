/**
 * Reading a fork from outside of its lanes: what it knows at a batch, over the rows of its base (fork-store.ts, K3).
 *
 * Nothing is brought over by reading here. A range is two ranges merged in key order: rows of the base that are not known, and own ones.
 */
import { AssertionError } from '../base/assert.js'
import { compareKeys, KeyBuffer } from '../schema/key-codec.js'
import { flagDeleted } from './domain.js'
import { type ForkStore, flagUnknown } from './fork-store.js'
import type { Bounds } from './range-bounds.js'
import type { PlainRow } from './row-codec.js'
import { SnapshotView } from './snapshot-view.js'
import type { TablePart, TableStore, TreePlan } from './table-store.js'

/** It is not for this store to say. */
const unknown = -1

export class ForkView extends SnapshotView {
  override readonly isLayered = true
  readonly #store: ForkStore
  readonly #guarded: number

  constructor(store: ForkStore, slot: number, batch: number) {
    super(store, slot, batch)
    this.#store = store
    this.#guarded = slot > 0 ? slot : -1
  }

  /** Whether there is one: of a row of the base no address can be told, so it is 1. */
  override find(table: TableStore, key: unknown): number {
    const version = this.#own(table, key)
    return version === unknown ? (this.#store.base.get(table, key) === undefined ? 0 : 1) : version
  }

  override get(table: TableStore, key: unknown): PlainRow | undefined {
    const version = this.#own(table, key)
    if (version === unknown) return this.#store.base.get(table, key)
    return version === 0 ? undefined : table.codec.decode(version)
  }

  override value(table: TableStore, key: unknown, column: number): unknown {
    const version = this.#own(table, key)
    if (version === unknown) return this.#store.base.get(table, key)?.[table.descriptor.columns[column]!.name]
    return version === 0 ? undefined : table.codec.readers[column]!(version)
  }

  /** K2. */
  override count(table: TableStore): number {
    return super.count(table) + this.#store.base.count(table)
  }

  override *all(table: TableStore): Generator<PlainRow, void, void> {
    this.mustBeOpen()
    if (table.ordered) {
      yield* this.scan(table, table.trees[0]!, undefined)
      return
    }
    for (const row of this.#store.base.all(table)) if (!this.#knows(table, row)) yield row
    for (let p = 0; p < table.partitions; p += 1) {
      for (const version of this.#knownOf(table, table.part(p))) if (this.#isLive(version)) yield table.codec.decode(version)
    }
  }

  override rowsIn(table: TableStore, plan: TreePlan, bounds: Bounds): Generator<PlainRow, void, void> {
    this.mustBeOpen()
    const own = [...super.rowsIn(table, plan, bounds)]
    const base = bounds.isEmpty ? [] : this.#store.base.rowsIn(table, plan, this.#store.boundsInBase(table, bounds))
    return this.#merged(table, plan, bounds, own, base)
  }

  *#merged(table: TableStore, plan: TreePlan, { range, limit }: Bounds, own: readonly PlainRow[], base: Iterable<PlainRow>): Generator<PlainRow, void, void> {
    const sign = range.reverse ? -1 : 1
    let mine = 0
    let left = limit
    let mineKey = own.length === 0 ? undefined : keyIn(plan, own[0]!)
    for (const row of base) {
      if (left <= 0) return
      if (this.#store.broughtOf(table) > 0 && this.#knows(table, row)) continue
      while (mineKey !== undefined && left > 0 && sign * compareKeys(mineKey, keyIn(plan, row)) < 0) {
        yield own[mine]!
        left -= 1
        mine += 1
        mineKey = mine < own.length ? keyIn(plan, own[mine]!) : undefined
      }
      if (left <= 0) return
      yield row
      left -= 1
    }
    for (; mine < own.length && left > 0; mine += 1, left -= 1) yield own[mine]!
  }

  override addressesIn(): never {
    throw new AssertionError('a fork has no addresses for the rows of its base')
  }
  override addressesWith(): never {
    return this.addressesIn()
  }
  override addressesOfAll(): never {
    return this.addressesIn()
  }

  /** The rows that the fork knows at this view, for who compares them with the base: `after` undefined where one is gone. */
  *known(table: TableStore): Generator<{ readonly key: unknown; readonly after: PlainRow | undefined }, void, void> {
    this.mustBeOpen()
    const names = table.descriptor.key.map((column) => table.descriptor.columns[column]!.name)
    for (let p = 0; p < table.partitions; p += 1) {
      for (const version of this.#knownOf(table, table.part(p))) {
        const row = table.codec.decode(version)
        yield { key: names.length === 1 ? row[names[0]!] : names.map((name) => row[name]), after: this.#isLive(version) ? row : undefined }
      }
    }
  }
  inBase(table: TableStore, key: unknown): PlainRow | undefined {
    return this.#store.base.get(table, key)
  }

  *#knownOf(table: TableStore, part: TablePart): Generator<number, void, void> {
    const rows: number[] = []
    part.hash.forEach((row) => void rows.push(row))
    for (const row of rows) {
      const version = this.#store.cellAt(row, table.layout.words, this.batch, this.#guarded)
      if (version !== 0 && (this.#flagsOf(version) & flagUnknown) === 0) yield version
    }
  }

  /** Where the version of a known row can be read until the next call, 0 where it is known that there is none, or `unknown`. */
  #own(table: TableStore, key: unknown): number {
    this.mustBeOpen()
    table.key.set(key)
    const row = table.part(table.partitionOfKey()).findAny()
    if (row === 0) return unknown
    const version = this.#store.cellAt(row, table.layout.words, this.batch, this.#guarded)
    if (version === 0 || (this.#flagsOf(version) & flagUnknown) !== 0) return unknown
    return this.#isLive(version) ? version : 0
  }
  #knows(table: TableStore, row: PlainRow): boolean {
    const values = table.descriptor.key.map((column) => row[table.descriptor.columns[column]!.name])
    return this.#own(table, values.length === 1 ? values[0] : values) !== unknown
  }

  #flagsOf(version: number): number {
    return this.#store.region.i32[version * 2 + 3]!
  }
  #isLive(version: number): boolean {
    return (this.#flagsOf(version) & flagDeleted) === 0
  }
}

function keyIn(plan: TreePlan, row: PlainRow): Uint8Array {
  const buffer = new KeyBuffer()
  plan.codec.encode(plan.codec.columns.map((column) => row[column.name]), buffer)
  return buffer.view()
}

/**
 * Random tables, and random changes to them, made twice: by the writer that transactions use, and from its images by a loader.
 */
import { expect } from 'vitest'
import type { ColumnDescriptor, ColumnType, Program, TableProgram } from '../../../engine/schema/descriptor.js'
import { columnTypes } from '../../../engine/schema/descriptor.js'
import { LaneLog, changeInts } from '../../../engine/shared/lane-log.js'
import { checkStore } from '../../../engine/store/check.js'
import { RowLoader } from '../../../engine/store/row-loader.js'
import { Store } from '../../../engine/store/store.js'
import type { TableStore } from '../../../engine/store/table-store.js'
import { changeKind, RowWriter } from '../../../engine/txn/row-writer.js'
import type { Random } from '../../support/random.js'
import { canon, expectSame } from '../../support/same.js'

export const batch = 1
const moods = ['calm', 'glad', 'sad', 'überrascht']

// ── programs ──────────────────────────────────────────────────────────────────────────────────────────────────

function randomColumn(random: Random, n: number, type: ColumnType, nullable: boolean): ColumnDescriptor {
  const words = random.chance(0.2) ? Array.from({ length: 300 }, (_, w) => `w${w}`) : moods
  return { name: `c${n}`, type, nullable, ...(type === 'enum' ? { values: words } : {}) }
}

export function randomTable(random: Random, name: string): TableProgram {
  const keyTypes = columnTypes.filter((type) => type !== 'json')
  const keys = 1 + random.below(3)
  const count = keys + random.below(9)
  const key = new Set<number>()
  while (key.size < keys) key.add(random.below(count))
  const columns = Array.from({ length: count }, (_, n) =>
    key.has(n) ? randomColumn(random, n, random.pick(keyTypes), false) : randomColumn(random, n, random.pick(columnTypes), random.chance(0.5)),
  )
  const partition = random.chance(0.2) ? ('global' as const) : [...key].filter(() => random.chance(0.5))
  const indexed = columns.flatMap((column, n) => (column.type === 'json' ? [] : [n]))
  const indexes = Array.from({ length: random.below(4) }, (_, n) => ({
    name: `index${n}`,
    on: [...new Set(Array.from({ length: 1 + random.below(2) }, () => random.pick(indexed)))],
    range: random.chance(0.5),
    unique: false,
  }))
  return {
    descriptor: { name, columns, key: [...key], partition: partition.length === 0 ? [[...key][0]!] : partition, ordered: random.chance(0.5), indexes },
    checks: [],
    json: [],
  }
}

export function programWith(tables: readonly TableProgram[]): Program {
  return { url: '', services: [], tables, events: [], procedures: [], atomicHandlers: [], handlers: [] }
}

export function storeOf(program: Program, partitions: number, bytes = 64 * 2 ** 20): Store {
  const plan = Store.plan(program, { bytes, isDefault: false, workers: 2, partitions, historyBytes: 0 })
  return new Store(program, plan, plan.domains)
}

// ── values ────────────────────────────────────────────────────────────────────────────────────────────────────

const letters = ['a', 'b', 'é', '☂', '😀', '\u0000', '\u0001']
function randomText(random: Random, lengthMax: number): string {
  const length = random.below(random.pick([4, 24, lengthMax]) + 1)
  return Array.from({ length }, () => random.pick(letters)).join('')
}

/** Values of a type that lie at its edges, or at those of what is made of them. */
export const edges: Readonly<Partial<Record<ColumnType, readonly unknown[]>>> = {
  i32: [2 ** 31 - 1, -(2 ** 31)],
  u32: [2 ** 32 - 1, 2 ** 31],
  int: [2 ** 31, -(2 ** 31) - 1, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER],
  f64: [0.5, 1e300, -1e-300, Infinity, -Infinity, 2 ** 60],
  bigint: [2n ** 63n - 1n, -(2n ** 63n), 2n ** 31n, -(2n ** 31n) - 1n, 2n ** 53n + 1n],
}

/** From a small set, so that keys and entries meet again. `textMax`: in UTF-16 units. */
export function randomValue(random: Random, column: ColumnDescriptor, textMax: number): unknown {
  if (column.nullable && random.chance(0.3)) return null
  const small = random.below(5) - 2
  switch (column.type) {
    case 'bool':
      return random.chance(0.5)
    case 'i32':
      return random.pick([small, small, ...edges.i32!])
    case 'u32':
      return random.pick([random.below(5), ...edges.u32!])
    case 'int':
    case 'timestamp':
      return random.pick([small, small, ...edges.int!])
    case 'f64':
      return random.pick([small, ...edges.f64!])
    case 'bigint':
      return random.pick([BigInt(small), ...edges.bigint!])
    case 'text':
      return randomText(random, textMax)
    case 'bytes':
      return Uint8Array.from({ length: random.pick([0, 3, 20, 21, 24, textMax]) }, () => random.pick([0, 1, 2, 255]))
    case 'json':
      return random.pick([null, small, { a: [small] }, ['x'.repeat(textMax)]])
    case 'uuid':
      return `${random.pick(['0', '9', 'f'])}123456${random.below(10)}-89ab-cdef-0123-456789abcdef`
    case 'enum':
      return random.pick(column.values!)
  }
}

// ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────

/** A store that is written as transactions do, and what it records. */
export class Written {
  readonly store: Store
  readonly log: LaneLog
  readonly #writer: RowWriter

  constructor(store: Store) {
    this.store = store
    this.log = LaneLog.create({ lanes: 1, transactions: 10, changes: 20_000, events: 1, bytes: 32 * 2 ** 20 })
    this.#writer = new RowWriter(store)
    this.#writer.batch = batch
    for (const domain of store.domains) domain.beginBatch()
    this.log.beginLane(-1)
  }

  insertOrUpdate(table: TableStore, values: readonly unknown[]): void {
    table.key.setFromRow(values)
    const part = table.part(table.partitionOfKey())
    const found = part.find()
    this.#writer.begin()
    if (found !== 0) {
      table.codec.stage(values, part.domain)
      this.#writer.update(part, found, table.layout.columns.map((column) => column.ordinal))
    } else {
      const known = part.findAny()
      table.codec.stage(values, part.domain)
      this.#writer.insert(part, known)
    }
    this.#writer.commit(this.log)
  }

  delete(table: TableStore, values: readonly unknown[]): void {
    table.key.setFromRow(values)
    const part = table.part(table.partitionOfKey())
    const found = part.find()
    if (found === 0) return
    this.#writer.begin()
    this.#writer.delete(part, found)
    this.#writer.commit(this.log)
  }

  /** Hands what was recorded since the last time to the loader, in groups of the caller's choice. */
  replayInto(loader: RowLoader, mayFlush: () => boolean): number {
    const { log, store } = this
    const count = log.changesOfTransaction
    loader.begin(log.byteWords, log.bytes)
    for (let n = 0; n < count; n += 1) {
      const [layout, kind, image, imageBytes, before, beforeBytes] = log.changes.subarray(n * changeInts, (n + 1) * changeInts)
      const isDelete = kind === changeKind.delete
      const at = log.absoluteOffset(isDelete ? before! : image!) >>> 2
      loader.table(store.tables[layout!]!.name)!.add(kind!, at, isDelete ? beforeBytes! : imageBytes!)
      if (mayFlush()) loader.flush()
    }
    loader.flush()
    this.next()
    return count
  }

  /** What was recorded is forgotten, and what was retired is free. */
  next(): void {
    const { log, store } = this
    log.clear()
    log.beginLane(-1)
    for (const domain of store.domains) {
      domain.endBatch(batch)
      store.reclaimAll(domain, batch)
      domain.beginBatch()
    }
  }
}

export function rowsOf(table: TableStore): string[] {
  const rows: string[] = []
  for (let p = 0; p < table.partitions; p += 1) table.part(p).hash.forEach((row) => void rows.push(`${p} ${canon(table.codec.decode(row))}`))
  return rows.sort()
}

/** Both hold the same rows, in the same partitions, and the loaded one is sound. */
export function expectSameStores(loaded: Store, written: Store): void {
  checkStore(loaded, batch)
  for (const table of written.tables) {
    const other = loaded.tables[table.ordinal]!
    expectSame(rowsOf(other), rowsOf(table), `rows of ${table.name}`)
    for (let p = 0; p < table.partitions; p += 1) {
      expect(other.part(p).countNow(), `rows of ${table.name} in partition ${p}`).toBe(table.part(p).countNow())
      other.part(p).hash.forEach((row) => {
        const { f64, i32 } = loaded.region
        expect([f64[row], i32[row * 2 + 2], i32[row * 2 + 3]], 'a row of the oldest batch, without a past').toEqual([batch, 0, 0])
      })
    }
  }
}

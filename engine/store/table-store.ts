/**
 * One table on one thread: compiled codecs, and the parts of the table that lie in each partition.
 *
 * A part keeps its state in the region (R3), so the objects here are handles that any thread can make:
 *
 *   hash state | slots [free | bump, end | slab words] | count cell [ts | undo, flags | count] | tree cells ...
 *
 * Trees: the primary key first where the table is ordered, then every index; an entry is the index columns followed by the
 * primary key (R19). The count is a versioned cell like a root, so that `count()` is right for every snapshot.
 */
import { assert } from '../base/assert.js'
import { limits } from '../base/limits.js'
import type { ColumnValidator } from '../schema/column-check.js'
import { compileColumnCheck } from '../schema/column-check.js'
import type { IndexDescriptor, OnDelete, ReferenceStrength, RowCheck, TableDescriptor, TableProgram } from '../schema/descriptor.js'
import type { KeyCodec } from '../schema/key-codec.js'
import { compileKeyCodec } from '../schema/key-codec.js'
import { partitionOf } from '../schema/placement.js'
import type { RowLayout } from '../schema/row-layout.js'
import { layoutOf, rowHeaderWords } from '../schema/row-layout.js'
import type { Region } from '../shared/region.js'
import { ColumnGroups } from './column-groups.js'
import { type Domain, flagDeleted, headerWords } from './domain.js'
import { type AppendEntry, compileEntryKey } from './entry-key.js'
import { HashIndex, hashStateWords } from './hash-index.js'
import { OrderedIndex, orderedCellWords } from './ordered-index.js'
import { membershipOf, type TreeMembership } from './tree-membership.js'
import { CellMemory, RowCodec } from './row-codec.js'
import { StagedKey } from './staged-key.js'

assert(headerWords === rowHeaderWords, 'rows and versioned cells have one header')

const slotStateWords = 2
export const countCellWords = 3
const slabWordsMax = limits.extentBytesMax / 8
const slabWordsMin = limits.extentBytesMin / 8

/** A B+tree of a table. */
export interface TreePlan extends TreeMembership {
  readonly name: string
  /** Place in `TableStore.trees` and in `TablePart.trees`. */
  readonly ordinal: number
  /** Columns of an entry: the index columns, then the primary key. Ordinals. */
  readonly columns: readonly number[]
  /** How many of them are the index columns. */
  readonly own: number
  readonly codec: KeyCodec
  /** The entry of a stored row. */
  readonly entry: AppendEntry
  readonly range: boolean
}

/** Both ends of a reference (references.ts). */
export interface Reference {
  readonly name: string
  readonly strength: ReferenceStrength
  /** The table that refers, and its columns in the order of the key of `parent`. */
  readonly child: TableStore
  readonly on: readonly number[]
  readonly parent: TableStore
  readonly onDelete: OnDelete
  /** The tree of `child` for the way back. */
  readonly tree: TreePlan
  /** For each of its leading columns, its place in `on`. */
  readonly places: readonly number[]
  /** The groups of columns that they are (column-groups.ts). */
  readonly groups: number
}

export function partStateWords(table: TableDescriptor): number {
  return hashStateWords + slotStateWords + countCellWords + treesOf(table) * orderedCellWords
}
const treesAt = (state: number): number => state + hashStateWords + slotStateWords + countCellWords
const treesOf = (table: TableDescriptor): number => (table.ordered ? 1 : 0) + table.indexes.length

export class TableStore {
  readonly ordinal: number
  readonly name: string
  readonly descriptor: TableDescriptor
  readonly layout: RowLayout
  readonly codec: RowCodec
  readonly key: StagedKey
  readonly groups: ColumnGroups
  readonly validators: readonly ColumnValidator[]
  readonly trees: readonly TreePlan[]
  /** The primary tree of an ordered table is `trees[0]`. */
  readonly ordered: boolean
  readonly isGlobal: boolean
  readonly partitions: number
  readonly uniqueTrees: readonly TreePlan[]
  /** Some tree is one for all partitions: rows come and go in the cross-partition lane. */
  readonly hasAcross: boolean
  /** Columns of such trees. */
  readonly movedAcross: ReadonlySet<number>
  /** Columns that take part in an index: changing one of them maintains it. */
  readonly indexed: ReadonlySet<number>
  /** Columns with named checks: their values always go through a validator. */
  readonly checked: ReadonlySet<number>
  /** Rules of whole rows, which hold when a transaction ends (R26). */
  readonly rowChecks: readonly RowCheck[]
  /** References of strength `strong` and `batch`, as linkReferences fills them in: both ways, and the columns of those that go out. */
  readonly declaredTo: Reference[] = []
  readonly declaredBy: Reference[] = []
  readonly referring = new Set<number>()
  /** Of them, those that transactions of the running batch check when they end (R62): see CheckedReferences. */
  refersTo: readonly Reference[] = []
  referredBy: readonly Reference[] = []
  /** References from here of strength `eventual`. */
  readonly watched: Reference[] = []
  /** Columns that are drawn when they are left out; one that places its row comes first. */
  readonly generated: readonly number[]
  readonly #region: Region
  readonly #domains: readonly Domain[]
  readonly #stateAt: number
  readonly #parts: (TablePart | undefined)[]
  readonly #partitionColumns: readonly number[]
  readonly #partitionValues: unknown[]

  /** `stateAt`: `partStateWords` zeroed words for each partition. `domains`: one for each worker, and the global one last. */
  constructor(program: TableProgram, ordinal: number, partitions: number, stateAt: number, domains: readonly Domain[], memory: CellMemory) {
    const table = program.descriptor
    this.ordinal = ordinal
    this.name = table.name
    this.descriptor = table
    this.layout = layoutOf(table)
    this.codec = new RowCodec(this.layout, memory)
    this.groups = new ColumnGroups(this.layout)
    this.validators = table.columns.map((column, n) => compileColumnCheck(column, n, program))
    this.ordered = table.ordered
    this.isGlobal = table.partition === 'global'
    this.partitions = this.isGlobal ? 1 : partitions
    this.key = new StagedKey(table, this.layout, memory, this.partitions)
    const plan = (index: IndexDescriptor, place: number): TreePlan => {
      const columns = [...index.on, ...table.key]
      return {
        name: index.name,
        ordinal: place,
        columns,
        own: index.on.length,
        codec: compileKeyCodec(columns.map((c) => table.columns[c]!)),
        entry: compileEntryKey(columns.map((c) => this.layout.columns[c]!), memory),
        range: index.range,
        ...membershipOf(table, index, this.layout, this.codec),
      }
    }
    const primary = table.ordered ? [plan({ name: '', on: [], range: true, unique: false }, 0)] : []
    this.trees = [...primary, ...table.indexes.map((index, n) => plan(index, primary.length + n))]
    this.uniqueTrees = this.trees.filter((tree) => tree.unique)
    const across = this.trees.filter((tree) => tree.isAcross)
    this.hasAcross = across.length > 0
    this.movedAcross = new Set(across.flatMap((tree) => [...tree.movedBy]))
    this.indexed = new Set(this.trees.flatMap((tree) => [...tree.movedBy]))
    this.checked = new Set(program.checks.map((check) => check.column))
    const isPlacing = (column: number): boolean => table.partition !== 'global' && table.partition.includes(column)
    const generated = table.columns.flatMap((column, n) => (column.generated === true ? [n] : []))
    this.generated = [...generated.filter(isPlacing), ...generated.filter((n) => !isPlacing(n))]
    this.rowChecks = program.rowChecks ?? []
    this.#region = memory.region
    this.#domains = domains
    this.#stateAt = stateAt
    this.#parts = Array.from({ length: this.partitions }, () => undefined)
    const placing = table.partition === 'global' ? [] : table.partition
    this.#partitionColumns = placing
    this.#partitionValues = placing.map(() => undefined)
  }

  part(partition: number): TablePart {
    return (this.#parts[partition] ??= this.#makePart(partition))
  }

  /** The partition of the staged key; 0 for a global table. */
  partitionOfKey(): number {
    return this.key.partition
  }

  /** The partition of a stored row. */
  partitionOfRow(row: number): number {
    if (this.isGlobal) return 0
    for (let n = 0; n < this.#partitionColumns.length; n += 1) this.#partitionValues[n] = this.codec.readers[this.#partitionColumns[n]!]!(row)
    return partitionOf(this.#partitionValues, this.partitions)
  }

  /** The partition of leading index values, when they fix it; -1 otherwise (R20). */
  partitionOfLeading(columns: readonly number[], values: readonly unknown[]): number {
    if (this.isGlobal) return 0
    for (let n = 0; n < this.#partitionColumns.length; n += 1) {
      const place = columns.indexOf(this.#partitionColumns[n]!)
      if (place < 0 || place >= values.length) return -1
      this.#partitionValues[n] = values[place]
    }
    return partitionOf(this.#partitionValues, this.partitions)
  }

  /** The parts that a look at a tree needs, when its leading values fix a partition, or none (-1). */
  partsOf(plan: TreePlan, partition: number): readonly TablePart[] {
    if (plan.isAcross) return [this.part(0)]
    return partition >= 0 ? [this.part(partition)] : Array.from({ length: this.partitions }, (_, n) => this.part(n))
  }

  /** The tree of the whole table: one handle on each thread, for it remembers where it was (ordered-index.ts, T6). Its cell is that of part 0. */
  acrossTree(plan: TreePlan): OrderedIndex {
    return (this.#across[plan.ordinal] ??= new OrderedIndex(this.#region, this.#domains.at(-1)!, treesAt(this.#stateAt) + plan.ordinal * orderedCellWords))
  }
  readonly #across: OrderedIndex[] = []

  #makePart(partition: number): TablePart {
    const domain = this.isGlobal ? this.#domains.at(-1)! : this.#domains[partition % (this.#domains.length - 1)]!
    const at = this.#stateAt + partition * partStateWords(this.descriptor)
    return new TablePart(this, partition, this.#region, domain, at)
  }
}

export class TablePart {
  readonly table: TableStore
  readonly partition: number
  readonly domain: Domain
  readonly hash: HashIndex
  readonly trees: readonly OrderedIndex[]
  readonly countCell: number
  /** The transaction that counted here last, and its op in the journal: all that it adds is one op. Of this thread alone. */
  countedBy = 0
  countedOp = 0
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly #slots: number

  constructor(table: TableStore, partition: number, region: Region, domain: Domain, at: number) {
    this.table = table
    this.partition = partition
    this.domain = domain
    this.#i32 = region.i32
    this.#f64 = region.f64
    this.hash = new HashIndex(region, domain, at)
    this.#slots = (at + hashStateWords) * 2
    this.countCell = at + hashStateWords + slotStateWords
    this.trees = table.trees.map((plan, n) => (plan.isAcross ? table.acrossTree(plan) : new OrderedIndex(region, domain, treesAt(at) + n * orderedCellWords)))
  }

  // ── slots ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Memory for one row. Throws OUT_OF_SPACE before any change. */
  takeSlot(): number {
    const i32 = this.#i32
    const free = i32[this.#slots]!
    if (free !== 0) {
      i32[this.#slots] = i32[free * 2 + 2]!
      return free
    }
    const words = this.table.layout.words
    if (i32[this.#slots + 2]! - i32[this.#slots + 1]! < words) {
      const slab = Math.min(slabWordsMax, Math.max(slabWordsMin, i32[this.#slots + 3]! * 2, words))
      const address = this.domain.allocate(slab)
      i32[this.#slots + 1] = address
      i32[this.#slots + 2] = address + slab
      i32[this.#slots + 3] = slab
    }
    const at = i32[this.#slots + 1]!
    i32[this.#slots + 1] = at + words
    return at
  }

  /** Only when no snapshot can reach the row. The link stands in the undo word: ts stays what it was (R10). */
  freeSlot(row: number): void {
    this.#i32[row * 2 + 2] = this.#i32[this.#slots]!
    this.#i32[this.#slots] = row
  }

  // ── looking ───────────────────────────────────────────────────────────────────────────────────────────

  /** The row of the staged key as the lane sees it now, or 0. */
  find(): number {
    const row = this.hash.find(this.table.key.hash, this.table.key)
    return row !== 0 && (this.#i32[row * 2 + 3]! & flagDeleted) === 0 ? row : 0
  }

  /** The row of the staged key, deleted or not. */
  findAny(): number {
    return this.hash.find(this.table.key.hash, this.table.key)
  }

  countNow(): number {
    return this.#f64[this.countCell + headerWords]!
  }
  /** Needs `domain.reserveVersion(countCellWords)`. */
  addToCount(delta: number, batch: number): void {
    if (this.#f64[this.countCell] !== batch) this.domain.saveVersion(this.countCell, countCellWords, batch)
    this.#f64[this.countCell + headerWords]! += delta
  }
}

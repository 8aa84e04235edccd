/**
 * Trees out of rows: recovery builds them once, when all rows are there, instead of carrying them through every change.
 *
 *   rows       by address: where nothing was deleted that is the order of arrival, which for rows of a checkpoint is key order
 *   keys       one arena of bytes for the part at hand; where each begins, and its first six bytes as a number
 *   order      sorted unless it is already; then the tree takes entries that ascend, the cheapest there are
 *
 * One part of one tree at a time, so the extra memory is that of the keys of one part.
 */
import { assert } from '../base/assert.js'
import { SluiceError } from '../base/errors.js'
import { compareKeys, KeyBuffer } from '../schema/key-codec.js'
import { orderedKeyBytesMax } from './ordered-index.js'
import { prefixOf, sharedBytes } from './ordered-page.js'
import type { TablePart, TableStore, TreePlan } from './table-store.js'

export class TreeBuilder {
  readonly #batch: number
  readonly #keys = new KeyBuffer(64 * 1_024)
  /** What a unique index would refuse, if there is anything: the first that was met. */
  twice: SluiceError | undefined
  #starts = new Float64Array(0)
  #prefixes = new Float64Array(0)

  constructor(batch: number) {
    this.#batch = batch
  }

  /** The trees of all parts of a table. They are empty. */
  build(table: TableStore): void {
    if (table.trees.length === 0) return
    for (let p = 0; p < table.partitions; p += 1) {
      const part = table.part(p)
      const rows = rowsOf([part])
      for (const plan of table.trees) if (!plan.isAcross) this.#tree(part, plan, rows)
    }
    if (!table.hasAcross) return
    const rows = rowsOf(Array.from({ length: table.partitions }, (_, p) => table.part(p)))
    for (const plan of table.trees) if (plan.isAcross) this.#tree(table.part(0), plan, rows)
  }

  #tree(part: TablePart, plan: TreePlan, all: Int32Array): void {
    const tree = part.trees[plan.ordinal]!
    assert(tree.entriesNow() === 0, 'a tree is built once')
    const rows = plan.isPlain ? all : all.filter(plan.holds)
    if (rows.length === 0) return
    const isSorted = this.#encode(part.table, plan, rows)
    const starts = this.#starts
    const order = isSorted ? undefined : this.#sorted(rows.length)
    let leaf = 0
    for (let n = 0; n < rows.length; n += 1) {
      const one = order === undefined ? n : order[n]!
      leaf = tree.append(leaf, this.#keys.bytes, starts[one]!, starts[one + 1]! - starts[one]!, rows[one]!, this.#batch)
    }
    if (plan.unique) this.#lookForTwice(part.table, plan, rows, order)
  }

  /** Rows with equal values stand beside each other. A database can have them when its application declares an index unique later. */
  #lookForTwice(table: TableStore, plan: TreePlan, rows: Int32Array, order: Int32Array | undefined): void {
    let last = new KeyBuffer()
    let next = new KeyBuffer()
    let hasLast = false
    for (let n = 0; n < rows.length && this.twice === undefined; n += 1) {
      const row = rows[order === undefined ? n : order[n]!]!
      next.reset()
      const hasNext = plan.appendValues(row, next)
      if (hasLast && hasNext && compareKeys(last.view(), next.view()) === 0) this.twice = notUnique(table, plan, rows[order === undefined ? n - 1 : order[n - 1]!]!, row)
      const spare = last
      last = next
      next = spare
      hasLast = hasNext
    }
  }

  /** The keys of all rows into the arena; answers whether they ascend. */
  #encode(table: TableStore, plan: TreePlan, rows: Int32Array): boolean {
    const count = rows.length
    if (this.#prefixes.length < count) {
      this.#starts = new Float64Array(count + 1)
      this.#prefixes = new Float64Array(count)
    }
    const keys = this.#keys
    const starts = this.#starts
    keys.reset()
    let isSorted = true
    for (let n = 0; n < count; n += 1) {
      const start = keys.length
      plan.entry(rows[n]!, keys)
      const length = keys.length - start
      if (length > orderedKeyBytesMax) throw tooLong(table, plan, length)
      starts[n] = start
      starts[n + 1] = keys.length
      isSorted &&= n === 0 || this.#compare(n - 1, n, 0) < 0
    }
    return isSorted
  }

  #compare(a: number, b: number, skip: number): number {
    const { bytes } = this.#keys
    const aAt = this.#starts[a]!
    const bAt = this.#starts[b]!
    const aLength = this.#starts[a + 1]! - aAt
    const bLength = this.#starts[b + 1]! - bAt
    const common = Math.min(aLength, bLength)
    for (let n = skip; n < common; n += 1) {
      const difference = bytes[aAt + n]! - bytes[bAt + n]!
      if (difference !== 0) return difference
    }
    return aLength - bLength
  }

  /** Places by ascending key: a merge from the bottom up, which asks the numbers first and the bytes where they tie. */
  #sorted(count: number): Int32Array {
    const { bytes } = this.#keys
    const prefixes = this.#prefixes
    const skip = this.#sharedHead(count)
    for (let n = 0; n < count; n += 1) {
      const start = this.#starts[n]!
      prefixes[n] = prefixOf(bytes, start, this.#starts[n + 1]! - start, skip)
    }
    let from = new Int32Array(count)
    let to = new Int32Array(count)
    for (let n = 0; n < count; n += 1) from[n] = n
    for (let width = 1; width < count; width *= 2) {
      for (let low = 0; low < count; low += 2 * width) this.#merge(from, to, low, Math.min(low + width, count), Math.min(low + 2 * width, count), skip)
      const merged = to
      to = from
      from = merged
    }
    return from
  }

  #merge(from: Int32Array, to: Int32Array, low: number, middle: number, high: number, skip: number): void {
    const prefixes = this.#prefixes
    let left = low
    let right = middle
    for (let n = low; n < high; n += 1) {
      let takesLeft = right >= high
      if (!takesLeft && left < middle) {
        const difference = prefixes[from[left]!]! - prefixes[from[right]!]!
        takesLeft = difference < 0 || (difference === 0 && this.#compare(from[left]!, from[right]!, skip) < 0)
      }
      to[n] = takesLeft ? from[left++]! : from[right++]!
    }
  }

  /** How many leading bytes all keys share: the numbers are taken behind them. */
  #sharedHead(count: number): number {
    const { bytes } = this.#keys
    const starts = this.#starts
    let shared = starts[1]!
    for (let n = 1; n < count && shared > 0; n += 1) {
      shared = Math.min(shared, sharedBytes(bytes, 0, shared, bytes, starts[n]!, starts[n + 1]! - starts[n]!))
    }
    return shared
  }
}

function rowsOf(parts: readonly TablePart[]): Int32Array {
  const rows = new Int32Array(parts.reduce((sum, part) => sum + part.hash.entries, 0))
  let count = 0
  for (const part of parts) {
    part.hash.forEach((row) => {
      rows[count] = row
      count += 1
    })
  }
  return rows.sort()
}

function notUnique(table: TableStore, plan: TreePlan, row: number, other: number): SluiceError {
  const columns = plan.columns.slice(0, plan.own)
  const names = columns.map((column) => table.descriptor.columns[column]!.name)
  const [one, two] = [keyOf(table, row), keyOf(table, other)]
  return SluiceError.of('SCHEMA_MISMATCH', `The rows of "${table.name}" do not fit its unique index "${plan.name}": ${shown(one)} and ${shown(two)} have the same ${names.join(', ')}. Open with the application before, and change these rows first.`, {
    details: { table: table.name, index: plan.name, values: columns.map((column) => table.codec.readers[column]!(row)), keys: [one, two] },
  })
}

function keyOf({ descriptor, codec }: TableStore, row: number): unknown {
  const values = descriptor.key.map((column) => codec.readers[column]!(row))
  return values.length === 1 ? values[0] : values
}

const shown = (key: unknown): string => (Array.isArray(key) ? `[${key.map(String).join(', ')}]` : String(key))

function tooLong(table: TableStore, plan: TreePlan, bytes: number): SluiceError {
  const what = plan.name === '' ? 'primary key' : `index "${plan.name}"`
  return SluiceError.of('INVALID_INPUT', `An entry of the ${what} of "${table.name}" takes ${bytes} bytes, more than ${orderedKeyBytesMax}: index a shorter column.`, {
    details: { table: table.name, index: plan.name, bytes },
  })
}

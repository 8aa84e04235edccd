/**
 * Generated keys (R29): one sequence for each table and partition, so that lanes draw without asking each other.
 *
 *   partition p of P draws     the whole numbers from 1 that are p mod P, in order: 16, 32, … in partition 0 of 16; 1, 17, … in 1
 *   a row goes where its other columns say, or where the drawn number says, when it is the partition column itself: p mod P is p
 *
 * So numbers are unique in the table, and grow in a partition: a page of rows of one account never misses a later one. A row that its
 * number places may go anywhere; in the lane of a partition it stays there, in the cross-partition lane it takes the smallest next
 * number of all. A number that somebody gives moves the sequence of its partition beyond it.
 *
 * Counters are rows (schema/sequence-table.ts). What is drawn by a transaction that is undone is drawn again.
 */
import { i32Max, u32Max } from '../schema/column-check.js'
import { partitionOf } from '../schema/placement.js'
import { SluiceError } from '../base/errors.js'
import type { TableStore } from '../store/table-store.js'

/** The counter of one table, as its transaction sees it. */
export interface Counter {
  /** What the partition draws next; undefined: it has not drawn yet. */
  next(partition: number): number | undefined
  /** Follows `next` of the same partition. */
  moveTo(partition: number, next: number): void
}

/** Where the rows go whose place is decided by what they draw. */
export interface SequencePlace {
  /** The partition that they stay in, or -1: any. */
  readonly partition: number
  /** A row will be written there. */
  mayWrite(table: TableStore, partition: number): void
}

export class Sequence {
  readonly #table: TableStore
  readonly #counter: Counter
  readonly #place: SequencePlace
  readonly #placing: readonly number[]
  readonly #isPlacing: boolean

  constructor(table: TableStore, counter: Counter, place: SequencePlace) {
    this.#table = table
    this.#counter = counter
    this.#place = place
    this.#placing = table.isGlobal ? [] : (table.descriptor.partition as readonly number[])
    this.#isPlacing = this.#placing.some((column) => table.generated.includes(column))
  }

  /** The value of a column that was left out. `values`: those of the row, by ordinal, as far as they are known. */
  draw(column: number, values: readonly unknown[]): number {
    const partition = this.#partitionOf(values, column)
    this.#place.mayWrite(this.#table, partition)
    const value = this.#nextOf(partition, column)
    if (value > largestOf(this.#table, column)) throw this.#usedUp(column)
    this.#counter.moveTo(partition, value + this.#table.partitions)
    return value
  }

  /** A value was given: what is drawn later comes behind it. */
  pass(value: unknown, partition: number): void {
    if (typeof value !== 'number') return
    const next = this.#counter.next(partition)
    if (value < (next ?? 1)) return
    this.#counter.moveTo(partition, this.#from(value + 1, partition))
  }

  /** The partition of a row whose values are all known, generated ones too. */
  placeOf(values: readonly unknown[]): number {
    return this.#table.isGlobal ? 0 : partitionOf(this.#placing.map((column) => values[column]), this.#table.partitions)
  }

  #partitionOf(values: readonly unknown[], column: number): number {
    if (!this.#isPlacing || this.#placing.every((column) => values[column] !== undefined)) return this.placeOf(values)
    if (this.#place.partition >= 0) return this.#place.partition
    let least = 0
    for (let partition = 1; partition < this.#table.partitions; partition += 1) {
      if (this.#nextOf(partition, column) < this.#nextOf(least, column)) least = partition
    }
    return least
  }

  #nextOf(partition: number, column: number): number {
    const least = Math.max(1, Number(this.#table.descriptor.columns[column]!.min ?? 1))
    return this.#from(Math.max(least, this.#counter.next(partition) ?? 1), partition)
  }

  /** The first number of a partition from one on. */
  #from(least: number, partition: number): number {
    const { partitions } = this.#table
    return least + ((((partition - least) % partitions) + partitions) % partitions)
  }

  #usedUp(column: number): SluiceError {
    const { name, descriptor } = this.#table
    const columnName = descriptor.columns[column]!.name
    return SluiceError.of('CONSTRAINT', `The sequence of "${name}" is used up: "${columnName}" holds no larger number. Choose a wider type, or give values of your own.`, {
      details: { table: name, column: columnName, constraint: 'generated' },
    })
  }
}

function largestOf({ descriptor }: TableStore, column: number): number {
  switch (descriptor.columns[column]!.type) {
    case 'i32':
      return i32Max
    case 'u32':
      return u32Max
    default:
      return Number.MAX_SAFE_INTEGER
  }
}

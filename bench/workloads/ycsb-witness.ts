/**
 * Whether a database did the operations of a YCSB plan, whatever the order in which those in flight together were done.
 *
 * What was read is summed: a row says its key. What was written stands in the fields with the number of the writer: it must be
 * an update of this field, and one of the last round that wrote it, for all operations of a round have been answered before the next
 * one begins. Modifications count: a lost one is one too few.
 */
import { Checksum } from '../statistics.js'
import { rowKey, ycsbKinds, type YcsbPlan } from './ycsb-plan.js'
import { fieldLength, fields, fieldText, keyOf, versionOf } from './ycsb-text.js'

const [read, update, insert, scan, modify] = ycsbKinds.map((_, index) => index)

export class YcsbWitness {
  readonly #plan: YcsbPlan
  readonly #rounds: { readonly first: number; readonly end: number }[] = []
  #keysRead = 0
  #rowsScanned = 0
  #rows = 0
  #wrong = 0
  /** Versions that a field may have, by row and field: from the first writer of its last round on; or exactly that many. */
  #least: Int32Array | undefined
  #numbers = new Map<number, number>()

  constructor(plan: YcsbPlan) {
    this.#plan = plan
  }

  /** Operations `first` to `first + count` are about to be played, and nothing else is under way. */
  round(first: number, count: number): void {
    this.#rounds.push({ first, end: first + count })
  }

  /** The first and the last field of a row that a read answered. */
  sawRow(first: string, last: string): void {
    if (keyOf(first) !== keyOf(last)) this.#wrong += 1
    this.#keysRead = (this.#keysRead + keyOf(first)) >>> 0
  }

  /** The first and the last field of the first row that a scan answered, and how many rows those were. */
  sawRows(first: string, last: string, rows: number): void {
    this.sawRow(first, last)
    this.#rowsScanned += rows
  }

  /** One row of those that are there in the end. */
  row(key: number, texts: readonly string[]): void {
    const least = (this.#least ??= this.#leastVersions())
    const number = this.#numbers.get(key)
    this.#rows += 1
    if (number === undefined || texts.length !== fields) {
      this.#wrong += 1
      return
    }
    for (let field = 0; field < fields; field += 1) {
      if (!this.#isPossible(key, field, texts[field] as string, least[number * fields + field] as number)) this.#wrong += 1
    }
  }

  digest(): string {
    if (this.#wrong > 0) return `${this.#wrong} fields that nobody can have left so`
    return digestOf(this.#rows, this.#keysRead, this.#rowsScanned)
  }

  #isPossible(key: number, field: number, text: string, least: number): boolean {
    const version = versionOf(text)
    if (text.length !== fieldLength || text !== fieldText(key, field, version)) return false
    const { workload, kind, key: keys, detail } = this.#plan
    if (workload === 'f' || least === 0) return version === least
    const writer = version - 1
    const isPlayed = version >= least && writer < this.#played()
    return isPlayed && kind[writer] === update && keys[writer] === key && detail[writer] === field
  }

  #played(): number {
    return this.#rounds.at(-1)?.end ?? 0
  }

  #leastVersions(): Int32Array {
    const { kind, key, detail, rows } = this.#plan
    const all = rows + insertsOf(this.#plan, this.#played())
    for (let number = 0; number < all; number += 1) this.#numbers.set(rowKey(number), number)
    const least = new Int32Array(all * fields)
    for (const { first, end } of this.#rounds) {
      for (let index = first; index < end; index += 1) {
        const slot = (this.#numbers.get(key[index] as number) as number) * fields + (detail[index] as number)
        if (kind[index] === modify) least[slot]! += 1
        // The first writer of the round: a version of an earlier round is below it.
        if (kind[index] === update && (least[slot] as number) <= first) least[slot] = index + 1
      }
    }
    return least
  }
}

/** What must come out after the first `count` operations of the plan. */
export function ycsbDigest(plan: YcsbPlan, count: number): string {
  let keysRead = 0
  let rowsScanned = 0
  for (let index = 0; index < count; index += 1) {
    const kind = plan.kind[index]
    if (kind === read || kind === scan) keysRead = (keysRead + (plan.key[index] as number)) >>> 0
    if (kind === scan) rowsScanned += plan.detail[index] as number
  }
  return digestOf(plan.rows + insertsOf(plan, count), keysRead, rowsScanned)
}

function insertsOf({ kind }: YcsbPlan, count: number): number {
  let inserts = 0
  for (let index = 0; index < count; index += 1) if (kind[index] === insert) inserts += 1
  return inserts
}

function digestOf(rows: number, keysRead: number, rowsScanned: number): string {
  return new Checksum().number(rows).number(keysRead).number(rowsScanned).toString()
}

/**
 * YCSB, drawn in advance: the same operations for every contestant, from a seed.
 *
 *   a  50 % reads, 50 % updates of one field      d  95 % reads of what is new, 5 % inserts
 *   b  95 % reads, 5 % updates                    e  95 % scans of 1 to 100 rows, 5 % inserts
 *   c  reads                                      f  50 % reads, 50 % read, modify and write one field
 *
 * Rows have ten fields of one hundred bytes (ycsb-text.ts). Keys are whole numbers below 2^32, the hash of the number of the row, as in
 * YCSB, without the word "user" before them: a key that every contestant has its fastest form for.
 *
 * Reads of what is new (d) see rows whose insert is at least `lag` operations back: at that distance it was acknowledged,
 * as YCSB asks for, with fewer than `lag` operations in flight. Scans (e) begin at rows that were loaded and find as many rows
 * as they ask for, wherever inserts go meanwhile.
 */
import { randomSource } from '../statistics.js'
import { draws, zipfRanks, type Distribution } from './distribution.js'
import { fields, fieldText } from './ycsb-text.js'

export const ycsbWorkloads = ['a', 'b', 'c', 'd', 'e', 'f'] as const
export type YcsbWorkload = (typeof ycsbWorkloads)[number]

export interface YcsbSettings {
  readonly workload: YcsbWorkload
  readonly rows: number
  readonly operations: number
  /** Of what is asked for, except in d, which asks for what is new. */
  readonly distribution: Distribution
}

export const ycsbKinds = ['read', 'update', 'insert', 'scan', 'modify'] as const
export type YcsbKind = (typeof ycsbKinds)[number]
const [read, update, insert, scan, modify] = [0, 1, 2, 3, 4]

export interface YcsbPlan extends YcsbSettings {
  /** Index into `ycsbKinds`. */
  readonly kind: Uint8Array
  readonly key: Uint32Array
  /** The field of an update or a modification; how many rows a scan asks for. */
  readonly detail: Uint8Array
}

const seed = 20_100_610
const scanLengthMax = 100
export const ycsbLag = 32_768

/** The kind that is most, the other one, and how many percent of the other one. */
const mixes: Readonly<Record<YcsbWorkload, readonly [number, number, number]>> = {
  a: [read, update, 50], b: [read, update, 5], c: [read, read, 0], d: [read, insert, 5], e: [scan, insert, 5], f: [read, modify, 50],
}

export function ycsbPlan(settings: YcsbSettings): YcsbPlan {
  const { workload, rows, operations, distribution } = settings
  if (rows <= scanLengthMax) throw new RangeError(`YCSB wants more than ${scanLengthMax} rows`)
  const below = randomSource(seed)
  const [usual, other, percent] = mixes[workload]
  const kind = new Uint8Array(operations)
  const key = new Uint32Array(operations)
  const detail = new Uint8Array(operations)
  const rowOf = draws(distribution, rows, below)
  const lastStart = workload === 'e' ? lastStartOfScan(rows) : Infinity
  const age = workload === 'd' ? zipfRanks(rows, below) : undefined
  /** How many rows there were before the operation, so that `lag` operations later they can be asked for. */
  const known = new Uint32Array(operations)
  let there = rows

  for (let index = 0; index < operations; index += 1) {
    known[index] = there
    const one = below(100) < percent ? other : usual
    kind[index] = one
    if (one === insert) {
      key[index] = rowKey(there)
      there += 1
    } else if (age !== undefined) {
      const acknowledged = index < ycsbLag ? rows : (known[index - ycsbLag] as number)
      key[index] = rowKey(acknowledged - 1 - age())
    } else {
      let drawn = rowKey(rowOf())
      while (drawn > lastStart) drawn = rowKey(rowOf())
      key[index] = drawn
    }
    if (one === scan) detail[index] = 1 + below(scanLengthMax)
    if (one === update || one === modify) detail[index] = below(fields)
  }
  return { ...settings, kind, key, detail }
}

/** The highest key from which a scan of the greatest length does not come to the end of the rows. */
function lastStartOfScan(rows: number): number {
  const keys = Uint32Array.from({ length: rows }, (_, number) => rowKey(number)).sort()
  return keys[rows - scanLengthMax] as number
}

/** The key of the row with a number: the last step of MurmurHash3, which no two numbers share. */
export function rowKey(number: number): number {
  let mixed = number ^ (number >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

/** The fields of a new row. */
export function newFields(key: number): string[] {
  return Array.from({ length: fields }, (_, field) => fieldText(key, field, 0))
}

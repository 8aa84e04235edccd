/**
 * Rows of one hundred bytes, and the keys by which they are read: 8 (id) + 14 (owner) + 8 (balance) + 8 (opened)
 * + 4 (branch) + 4 (status) + 54 (note). Keys are drawn in advance, uniformly.
 */
import { Checksum, randomSource } from '../statistics.js'

export interface RowSettings {
  readonly rows: number
  readonly reads: number
}

export interface RowPlan extends RowSettings {
  readonly keys: Int32Array
}

export interface WideRow {
  readonly id: number
  readonly owner: string
  readonly balance: number
  readonly opened: number
  readonly branch: number
  readonly status: number
  readonly note: string
}

const seed = 4_711
const openedAtStart = 1_700_000_000_000
const branches = 1_000
const statuses = 3

export function rowPlan(settings: RowSettings): RowPlan {
  const below = randomSource(seed)
  const keys = new Int32Array(settings.reads)
  for (let index = 0; index < settings.reads; index += 1) keys[index] = below(settings.rows)
  return { ...settings, keys }
}

export function wideRow(id: number): WideRow {
  return {
    id,
    owner: flatText('owner', id, 14),
    balance: balanceOf(id),
    opened: openedAtStart + id,
    branch: id % branches,
    status: id % statuses,
    note: flatText('a note of the usual length, about this account ', id, 54),
  }
}

export function balanceOf(id: number): number {
  return (id * 7_919) % 1_000_003
}

/** What the first `count` reads of the plan must have seen. */
export function readDigest(plan: RowPlan, count: number): string {
  let sum = 0
  for (let index = 0; index < count; index += 1) sum += balanceOf(plan.keys[index] as number)
  return sumDigest(sum)
}

/** What must be there after the first `count` rows were loaded. */
export function loadDigest(count: number): string {
  let sum = 0
  for (let id = 0; id < count; id += 1) sum += balanceOf(id)
  return rowsDigest(count, sum)
}

/** `sum` of the balances that were read, once for each time. */
export function sumDigest(sum: number): string {
  return new Checksum().number(sum).toString()
}

export function rowsDigest(rows: number, sumOfBalances: number): string {
  return new Checksum().number(rows).number(sumOfBalances).toString()
}

const scratch = Buffer.alloc(64)

/** Made by a decoder and not by `+`, which would leave ropes: those would inflate the stores that keep our strings. */
function flatText(label: string, id: number, length: number): string {
  scratch.fill(0x30, 0, length)
  scratch.write(label, 0, 'latin1')
  const number = String(id)
  scratch.write(number, length - number.length, 'latin1')
  return scratch.toString('latin1', 0, length)
}

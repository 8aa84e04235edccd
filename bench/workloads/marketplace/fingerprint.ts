/**
 * A hash of a set of rows: the sum of the hashes of its rows, 64 bits in two lanes.
 *
 * A sum does not depend on the order of the rows, so tables without order need no sorting, and a row can be
 * taken out again: folding a log (minus before, plus after) ends at the hash of the state, without keeping a
 * row in memory. Two lanes are kept of everything and of everything but the times, because a replay runs at
 * another time.
 */
import type { Snapshot } from 'sluicedb'
import { tables } from './services.js'

type Row = Readonly<Record<string, unknown>>

interface Layout {
  readonly body: readonly string[]
  readonly times: readonly string[]
}

const timesByTable = new Map(tables.map(({ table, times }) => [table.name, times]))
const layouts = new Map<string, Layout>()

/** The columns in an order of our own: images from the log and rows from a table need not agree on one. */
function layoutOf(table: string, row: Row): Layout {
  let layout = layouts.get(table)
  if (!layout) {
    const times = timesByTable.get(table)
    if (!times) throw new Error(`The log speaks of "${table}", which is no table of the marketplace.`)
    layout = {
      body: Object.keys(row)
        .filter((column) => !times.includes(column))
        .sort(),
      times,
    }
    layouts.set(table, layout)
  }
  return layout
}

export class Fingerprint {
  #rows = 0
  readonly #lanes = new Uint32Array(4)

  add(table: string, row: Row): void {
    this.#count(table, row, 1)
  }

  remove(table: string, row: Row): void {
    this.#count(table, row, -1)
  }

  get rows(): number {
    return this.#rows
  }

  /** Hash of all columns. */
  get full(): string {
    return hex(this.#lanes[2]!) + hex(this.#lanes[3]!)
  }

  /** Hash of all columns that do not hold a time. */
  get timeless(): string {
    return hex(this.#lanes[0]!) + hex(this.#lanes[1]!)
  }

  #count(table: string, row: Row, sign: 1 | -1): void {
    const layout = layoutOf(table, row)
    const lanes = this.#lanes
    const body = hash(bodyText(table, row, layout), 0x9747b28c, 0x3c6ef372)
    const full = hash(JSON.stringify(layout.times.map((column) => row[column])), body.low, body.high)
    lanes[0] = (lanes[0]! + sign * body.low) >>> 0
    lanes[1] = (lanes[1]! + sign * body.high) >>> 0
    lanes[2] = (lanes[2]! + sign * full.low) >>> 0
    lanes[3] = (lanes[3]! + sign * full.high) >>> 0
    this.#rows += sign
  }
}

export function fingerprintOf(snapshot: Snapshot): Fingerprint {
  const fingerprint = new Fingerprint()
  for (const { table } of tables) {
    for (const row of snapshot.table(table) as Iterable<Row>) fingerprint.add(table.name, row)
  }
  return fingerprint
}

/** A row without its times, as text: equal rows have equal texts. */
export function timelessText(table: string, row: Row): string {
  return bodyText(table, row, layoutOf(table, row))
}

function bodyText(table: string, row: Row, layout: Layout): string {
  return table + JSON.stringify(layout.body.map((column) => row[column]))
}

/** Two multiplicative hashes that feed each other at the end (cyrb53, with all 64 bits kept). */
function hash(
  text: string,
  lowSeed: number,
  highSeed: number,
): { readonly low: number; readonly high: number } {
  let low = lowSeed
  let high = highSeed
  for (let place = 0; place < text.length; place += 1) {
    const code = text.charCodeAt(place)
    low = Math.imul(low ^ code, 2654435761)
    high = Math.imul(high ^ code, 1597334677)
  }
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909)
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909)
  return { low: low >>> 0, high: high >>> 0 }
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0')
}

/**
 * What stands in a checkpoint: rows by table and key, the outcomes of calls with an id, and what explains them.
 *
 *   key     table place (2 bytes, big endian) | ordered primary key        value   the row image, as in the log (row-image.ts)
 *   key     0xffff | request id, UTF-8                                     value   a recorded outcome:
 *              byte 0  batch, double | 8 time, double | 16 request, u32 | 20 place, u32 | 24 outcome, u32 | 28 zero | 32 value
 *   meta    JSON: `CheckpointMeta`
 *
 * Places are the checkpoint's own: a table gets the next one when the log first names it, and keeps it for ever, whatever the order
 * of later applications is.
 *
 * Rows stay as they were written when their table gets another layout. So the layouts of a place are numbered, from 0 in order of
 * arrival, and a row of a later one than 0 has its number behind the image, a u32. Images have a multiple of 8 bytes: 4 more say
 * that there is a number. Where no table ever changed, no row has one.
 */
import { assert } from '../base/assert.js'
import { SluiceError } from '../base/errors.js'
import { hasSameLayout, areOfOneGeneration } from '../schema/row-shape.js'
import type { LoggedCatalog, LoggedTable } from '../schema/catalog.js'
import type { KnownPlace } from '../../wal/index.js'

export const outcomesPlace = 0xffff
const outcomeHeadBytes = 32

export interface CheckpointMeta {
  readonly format: 1
  /** The newest catalog of the log; its tables stand in the order of their places. */
  readonly catalog: LoggedCatalog
  /** Names of the tables as the log orders them, where the checkpoint ends. */
  readonly logTables: readonly string[]
  /** Of the newest frame: its batch time in milliseconds, and its records. */
  readonly now: number
  readonly records: number
  /** Behind the newest frame: where replay begins. */
  readonly place: KnownPlace
  /** By place: the layouts of its rows. Undefined where every table has one, which is its in the catalog. */
  readonly layouts?: readonly (readonly LoggedTable[])[]
}

const layoutNumberBytes = 4

/** The number of a row's layout. `at` and `bytes`: where its value begins, and how long it is. */
export function layoutNumber(words: Int32Array, at: number, bytes: number): number {
  return (bytes & layoutNumberBytes) === 0 ? 0 : words[(at + bytes - layoutNumberBytes) >>> 2]!
}
/** Of the image in a value of so many bytes. */
export const rowBytes = (bytes: number): number => bytes & ~7

export function encodeMeta(meta: CheckpointMeta): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(meta))
}

/** The catalog of the log where the checkpoint ends. */
export function logCatalogOf({ catalog, logTables }: CheckpointMeta): LoggedCatalog {
  const tables = new Map(catalog.tables.map((table) => [table.name, table]))
  return { ...catalog, tables: logTables.map((name) => tables.get(name)!) }
}

/** Undefined for the empty meta of a new checkpoint. */
export function decodeMeta(bytes: Uint8Array): CheckpointMeta | undefined {
  if (bytes.length === 0) return undefined
  const meta = JSON.parse(new TextDecoder().decode(bytes)) as CheckpointMeta
  if (meta.format !== 1) {
    throw SluiceError.of('LOG_CORRUPT', `The rows of the checkpoint are described in a format (${String(meta.format)}) that this version of sluicedb does not know.`)
  }
  return meta
}

/** Places of tables, by name, and the layouts of each; new ones join at the end. */
export class TablePlaces {
  readonly #tables: LoggedTable[]
  readonly #layouts: LoggedTable[][]
  readonly #places: Map<string, number>

  constructor(tables: readonly LoggedTable[], layouts: readonly (readonly LoggedTable[])[] | undefined) {
    this.#tables = [...tables]
    this.#layouts = tables.map((table, place) => [...(layouts?.[place] ?? [table])])
    this.#places = new Map(tables.map((table, place) => [table.name, place]))
  }

  /** Takes in the tables of a catalog that is newer than all before. */
  join(catalog: LoggedCatalog): void {
    for (const table of catalog.tables) {
      const place = this.#places.get(table.name)
      if (place === undefined) {
        this.#places.set(table.name, this.#tables.push(table) - 1)
        this.#layouts.push([table])
        continue
      }
      this.#tables[place] = table
      const layouts = this.#layouts[place]!
      const same = layouts.findIndex((one) => isSame(one, table))
      if (same < 0) layouts.push(table)
      else layouts[same] = table // with the words that an enum has got
    }
  }
  placeOf(name: string): number {
    return this.#places.get(name)!
  }
  /** The number of the layout that the newest catalog gives a table. */
  layoutOf(name: string): number {
    const place = this.placeOf(name)
    const number = this.#layouts[place]!.findIndex((one) => isSame(one, this.#tables[place]!))
    assert(number >= 0, 'the layout of a table is one of those of its place')
    return number
  }
  get tables(): readonly LoggedTable[] {
    return this.#tables
  }
  /** For `CheckpointMeta`. */
  get layouts(): { readonly layouts?: readonly (readonly LoggedTable[])[] } {
    return this.#layouts.every((one) => one.length === 1) ? {} : { layouts: this.#layouts }
  }
}

const isSame = (was: LoggedTable, is: LoggedTable): boolean => areOfOneGeneration(was, is) && hasSameLayout(was, is)

export interface OutcomeRow {
  readonly batch: number
  readonly time: number
  readonly request: number
  readonly place: number
  readonly outcome: number
  readonly value: Uint8Array
}

export function encodeOutcome(row: OutcomeRow): Uint8Array {
  const bytes = new Uint8Array(outcomeHeadBytes + row.value.length)
  const view = new DataView(bytes.buffer)
  view.setFloat64(0, row.batch, true)
  view.setFloat64(8, row.time, true)
  view.setUint32(16, row.request, true)
  view.setUint32(20, row.place, true)
  view.setUint32(24, row.outcome, true)
  bytes.set(row.value, outcomeHeadBytes)
  return bytes
}

/** The outcome that begins at a byte. The value is a view. */
export function decodeOutcome(bytes: Uint8Array, at: number, length: number): OutcomeRow {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, length)
  return {
    batch: view.getFloat64(0, true),
    time: view.getFloat64(8, true),
    request: view.getUint32(16, true),
    place: view.getUint32(20, true),
    outcome: view.getUint32(24, true),
    value: bytes.subarray(at + outcomeHeadBytes, at + length),
  }
}

export function outcomeTime(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at, outcomeHeadBytes).getFloat64(8, true)
}

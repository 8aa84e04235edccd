/**
 * Images of rows of an older layout as images of today's: cells move, what is missing is filled in, no value is made on the way.
 *
 *   template   an image of today with the fill of every column that the older layout does not have
 *   moves      cells that both have, in 32-bit words: from, to, how many
 *   nulls      bits of columns that both have; where today's column takes no null, the cell stays as the template has it
 *   enums      words that stand at another place of the list today
 *   longs      long values, in the order of today's columns: moved, or filled in
 *
 * Compiled once for each older layout and table. A table whose layout is today's has no upcast, and its images go the short way.
 */
import { ByteWriter } from '../base/bytes.js'
import { encodeCanonical } from '../base/canonical.js'
import { Region } from '../shared/region.js'
import type { LoggedTable } from '../schema/catalog.js'
import { filled, tableProgramOf } from '../schema/catalog.js'
import type { TableDescriptor } from '../schema/descriptor.js'
import { type ColumnLayout, inlineBytesMax, layoutOf, lengthMask, rowHeaderWords, type RowLayout } from '../schema/row-layout.js'
import { hasSameLayout } from '../schema/row-shape.js'
import { cellInts, CellMemory, longAddress, RowCodec } from './row-codec.js'

const headerInts = rowHeaderWords * 2
const arenaIntsMin = 4_096
const paddedInts = (bytes: number): number => ((bytes + 7) >>> 3) * 2

/** Images, one behind the other. They move when it grows: places stay. */
export class ImageArena {
  ints = new Int32Array(arenaIntsMin)
  length = 0

  get bytes(): Uint8Array {
    return new Uint8Array(this.ints.buffer)
  }
  /** Room for so many more; answers where it begins. */
  take(ints: number): number {
    const at = this.length
    this.length = at + ints
    if (this.length > this.ints.length) {
      const larger = new Int32Array(2 ** Math.ceil(Math.log2(this.length)))
      larger.set(this.ints)
      this.ints = larger
    }
    return at
  }
}

interface Move {
  readonly from: number
  readonly to: number
  readonly ints: number
  /** Of the older cell: where its null bit is, or -1. */
  readonly nullFrom: number
  readonly nullFromBit: number
  /** Of today's. */
  readonly nullTo: number
  readonly nullToBit: number
  /** Of an enum: places of today by places then; -1 where the word is gone. */
  readonly places: readonly number[] | undefined
}

interface LongMove {
  /** Cell of today's image. */
  readonly to: number
  /** Which of the older layout's `vars` it was; -1: filled in. */
  readonly from: number
  readonly fill: Int32Array
}

export class RowUpcast {
  readonly #template: Int32Array
  readonly #moves: readonly Move[]
  readonly #longs: readonly LongMove[]
  readonly #varsFrom: readonly number[]
  readonly #longAt: Int32Array
  readonly #longInts: Int32Array
  readonly #imageIntsFrom: number

  constructor(from: RowLayout, to: RowLayout, fillOf: (column: string) => unknown) {
    const older = new Map(from.columns.map((column) => [column.descriptor.name, column]))
    const fills = to.columns.map((column) => (older.has(column.descriptor.name) ? undefined : fillOf(column.descriptor.name)))
    const { template, longs } = templateOf(to, fills)
    this.#template = template
    this.#moves = to.columns.flatMap((column) => {
      const was = older.get(column.descriptor.name)
      return was === undefined ? [] : [moveOf(was, column)]
    })
    this.#varsFrom = from.vars.map((column) => column.at - headerInts)
    this.#longs = to.vars.map((column, n) => ({
      to: column.at - headerInts,
      from: from.vars.findIndex((was) => was.descriptor.name === column.descriptor.name),
      fill: longs[n]!,
    }))
    this.#longAt = new Int32Array(this.#varsFrom.length)
    this.#longInts = new Int32Array(this.#varsFrom.length)
    this.#imageIntsFrom = (from.words - rowHeaderWords) * 2
  }

  /** Appends the image whose first cell is at `w`; answers where it begins in the arena, whose end is the image's. */
  append(ints: Int32Array, w: number, arena: ImageArena): number {
    const at = arena.take(this.#template.length)
    arena.ints.set(this.#template, at)
    const into = arena.ints
    for (const { from, to, ints: count, nullFrom, nullFromBit, nullTo, nullToBit, places } of this.#moves) {
      const isNull = nullFrom >= 0 && (ints[w + nullFrom]! & nullFromBit) !== 0
      if (isNull) {
        if (nullTo >= 0) into[at + nullTo] = into[at + nullTo]! | nullToBit
        continue
      }
      if (places === undefined) for (let n = 0; n < count; n += 1) into[at + to + n] = ints[w + from + n]!
      else into[at + to] = Math.max(0, places[ints[w + from]!] ?? -1)
    }
    if (this.#longs.length > 0) this.#appendLongs(ints, w, at, arena)
    return at
  }

  #appendLongs(ints: Int32Array, w: number, at: number, arena: ImageArena): void {
    let next = w + this.#imageIntsFrom
    for (let n = 0; n < this.#varsFrom.length; n += 1) {
      const length = ints[w + this.#varsFrom[n]!]! & lengthMask
      this.#longAt[n] = next
      this.#longInts[n] = length > inlineBytesMax ? paddedInts(length) : 0
      next += this.#longInts[n]!
    }
    for (const { to, from, fill } of this.#longs) {
      if ((arena.ints[at + to]! & lengthMask) <= inlineBytesMax) continue
      if (from < 0) {
        const fillAt = arena.take(fill.length)
        arena.ints.set(fill, fillAt)
        continue
      }
      const count = this.#longInts[from]!
      const longAt = arena.take(count)
      for (let n = 0; n < count; n += 1) arena.ints[longAt + n] = ints[this.#longAt[from]! + n]!
    }
  }
}

/** Undefined: the images of `was` are those of the table. `is` says how it fills what `was` does not have. */
export function upcastOf(was: LoggedTable, is: LoggedTable, table: TableDescriptor): RowUpcast | undefined {
  if (hasSameLayout(was, table)) return undefined
  const columns = new Map(is.columns.map((column) => [column.name, column]))
  return new RowUpcast(layoutOf(tableProgramOf(was).descriptor), layoutOf(table), (name) => filled(columns.get(name)!))
}

function moveOf(was: ColumnLayout, is: ColumnLayout): Move {
  const { values } = is.descriptor
  const isEnum = was.descriptor.type === 'enum' && !(was.descriptor.values ?? []).every((word, n) => values?.[n] === word)
  return {
    from: was.at - headerInts,
    to: is.at - headerInts,
    ints: cellInts(is),
    nullFrom: was.nullAt < 0 ? -1 : was.nullAt - headerInts,
    nullFromBit: was.nullBit,
    nullTo: is.nullAt < 0 ? -1 : is.nullAt - headerInts,
    nullToBit: is.nullBit,
    places: isEnum ? was.descriptor.values!.map((word) => values!.indexOf(word)) : undefined,
  }
}

/** An image with the fills in it, `undefined` as zeros; and of each var the words of its long fill. */
function templateOf(layout: RowLayout, fills: readonly unknown[]): { readonly template: Int32Array; readonly longs: readonly Int32Array[] } {
  const memory = new CellMemory(Region.scratch(bytesOfFills(fills)))
  const codec = new RowCodec(layout, memory)
  let next = 1
  const blocks = {
    allocate: (words: number): number => {
      next += words
      return next - words
    },
    release: (): void => undefined,
  }
  fills.forEach((fill, n) => {
    if (fill !== undefined) codec.stagers[n]!(fill, blocks)
  })
  const longs = layout.vars.map((column) => {
    const address = longAddress(codec.i32, column.at)
    if (address === 0) return new Int32Array(0)
    const ints = paddedInts(codec.i32[column.at]! & lengthMask)
    const words = memory.i32.slice(address * 2, address * 2 + ints)
    codec.i32[column.at + 1] = 0
    return words
  })
  return { template: codec.i32.slice(headerInts, layout.words * 2), longs }
}

/** More than they take as cells and blocks. */
function bytesOfFills(fills: readonly unknown[]): number {
  const writer = new ByteWriter(256)
  for (const fill of fills) if (fill !== undefined) encodeCanonical(fill, writer)
  return (Math.ceil(writer.length / 8) + 2 * fills.length + 64) * 8
}

/**
 * What an interactive transaction hands in: its read set and its write set, as bytes of one request.
 *
 *   read set   for each read    kind, table, then
 *     absent, present           key
 *     row                       key, hash of all columns
 *     column                    key, column, hash of its value
 *     scan                      range, count of rows, hash of their columns
 *     indexScan, indexGet       tree, range or values, count of rows, hash of their columns
 *   write set  for each write   kind, table, then
 *     insert, put               the values of all columns
 *     update, add               key, ordinals of columns, their values or deltas
 *     remove                    key
 *     emit                      (an event instead of a table) the payload
 *
 * Kinds are bytes, tables, columns, trees, events and counts are varints, hashes are two u32, and keys, ranges and values have the
 * canonical form (base/canonical.ts). Ordinals are those of the running program: the bytes go from main to a lane and are
 * written nowhere.
 */
import { type ByteReader, ByteWriter, MalformedBytesError } from '../base/bytes.js'
import { decodeCanonical, encodeCanonical } from '../base/canonical.js'
import type { ValueHash } from './value-hash.js'

const readKinds = ['absent', 'present', 'row', 'column', 'scan', 'indexScan', 'indexGet'] as const
const writeKinds = ['insert', 'put', 'update', 'add', 'remove', 'emit'] as const
export type RangeKind = 'scan' | 'indexScan' | 'indexGet'
export type WriteKind = (typeof writeKinds)[number]

interface Hash {
  readonly low: number
  readonly high: number
}
export type RecordedRead = { readonly table: number } & (
  | { readonly kind: 'absent' | 'present'; readonly key: unknown }
  | ({ readonly kind: 'row'; readonly key: unknown } & Hash)
  | ({ readonly kind: 'column'; readonly key: unknown; readonly column: number } & Hash)
  | ({ readonly kind: RangeKind; readonly tree: number; readonly argument: unknown; readonly count: number } & Hash)
)
export type RecordedWrite =
  | { readonly kind: 'insert' | 'put'; readonly table: number; readonly values: readonly unknown[] }
  | { readonly kind: 'update' | 'add'; readonly table: number; readonly key: unknown; readonly columns: readonly number[]; readonly values: readonly unknown[] }
  | { readonly kind: 'remove'; readonly table: number; readonly key: unknown }
  | { readonly kind: 'emit'; readonly event: number; readonly payload: unknown }

/** The reads of a draft, written down as they happen. */
export class ReadSet {
  readonly #writer = new ByteWriter(256)

  get length(): number {
    return this.#writer.length
  }
  bytes(): Uint8Array {
    return this.#writer.copy()
  }

  existence(table: number, key: unknown, isThere: boolean): void {
    this.#head(isThere ? 'present' : 'absent', table)
    encodeCanonical(key, this.#writer)
  }
  row(table: number, key: unknown, hash: ValueHash): void {
    this.#head('row', table)
    encodeCanonical(key, this.#writer)
    this.#hash(hash)
  }
  column(table: number, key: unknown, column: number, hash: ValueHash): void {
    this.#head('column', table)
    encodeCanonical(key, this.#writer)
    this.#writer.varint(column)
    this.#hash(hash)
  }
  /** `argument`: the range, or the values of `indexGet`. */
  range(kind: RangeKind, table: number, tree: number, argument: unknown, count: number, hash: ValueHash): void {
    this.#head(kind, table)
    this.#writer.varint(tree)
    encodeCanonical(argument, this.#writer)
    this.#writer.varint(count)
    this.#hash(hash)
  }

  #head(kind: (typeof readKinds)[number], table: number): void {
    this.#writer.u8(readKinds.indexOf(kind))
    this.#writer.varint(table)
  }
  #hash({ low, high }: ValueHash): void {
    this.#writer.u32(low)
    this.#writer.u32(high)
  }
}

export function* readsOf(reader: ByteReader): Generator<RecordedRead, void, void> {
  while (reader.left > 0) {
    const kind = kindAt(readKinds, reader.u8())
    const table = reader.varint()
    switch (kind) {
      case 'absent':
      case 'present':
        yield { kind, table, key: decodeCanonical(reader) }
        break
      case 'row':
        yield { kind, table, key: decodeCanonical(reader), low: reader.u32(), high: reader.u32() }
        break
      case 'column':
        yield { kind, table, key: decodeCanonical(reader), column: reader.varint(), low: reader.u32(), high: reader.u32() }
        break
      default:
        yield { kind, table, tree: reader.varint(), argument: decodeCanonical(reader), count: reader.varint(), low: reader.u32(), high: reader.u32() }
    }
  }
}

/** The writes of a draft, in order. */
export class WriteSet {
  readonly #writer = new ByteWriter(256)

  get length(): number {
    return this.#writer.length
  }
  bytes(): Uint8Array {
    return this.#writer.copy()
  }

  whole(kind: 'insert' | 'put', table: number, values: readonly unknown[]): void {
    this.#head(kind, table)
    encodeCanonical(values, this.#writer)
  }
  columns(kind: 'update' | 'add', table: number, key: unknown, columns: readonly number[], values: readonly unknown[]): void {
    this.#head(kind, table)
    for (const part of [key, columns, values]) encodeCanonical(part, this.#writer)
  }
  remove(table: number, key: unknown): void {
    this.#head('remove', table)
    encodeCanonical(key, this.#writer)
  }
  emit(event: number, payload: unknown): void {
    this.#head('emit', event)
    encodeCanonical(payload, this.#writer)
  }

  #head(kind: WriteKind, ordinal: number): void {
    this.#writer.u8(writeKinds.indexOf(kind))
    this.#writer.varint(ordinal)
  }
}

export function* writesOf(reader: ByteReader): Generator<RecordedWrite, void, void> {
  while (reader.left > 0) {
    const kind = kindAt(writeKinds, reader.u8())
    const table = reader.varint()
    switch (kind) {
      case 'insert':
      case 'put':
        yield { kind, table, values: decodeCanonical(reader) as unknown[] }
        break
      case 'update':
      case 'add':
        yield { kind, table, key: decodeCanonical(reader), columns: decodeCanonical(reader) as number[], values: decodeCanonical(reader) as unknown[] }
        break
      case 'remove':
        yield { kind, table, key: decodeCanonical(reader) }
        break
      case 'emit':
        yield { kind, event: table, payload: decodeCanonical(reader) }
    }
  }
}

function kindAt<Kind extends string>(kinds: readonly Kind[], place: number): Kind {
  const kind = kinds[place]
  if (kind === undefined) throw new MalformedBytesError(`a draft has no read or write of kind ${place}`)
  return kind
}

/**
 * A 64-bit hash of column values, by which a draft remembers what it has read (draft-codec.ts).
 *
 * Two chains of 32 bits, because JavaScript multiplies no more at once. Each step of a chain is a bijection of the word that goes in, so
 * two inputs that differ in one word differ in both chains; the second chain also takes in the first. Kinds and lengths are
 * hashed too: ['ab', 'c'] and ['a', 'bc'] differ. Different rows have the same hash once in 2^64; it lives as long as one
 * request does and is written nowhere, so it may change with every version.
 *
 * Why values and not the bytes of a row's image: it is fed with what the handles answer, on both sides, so whatever a
 * handle does (speculation, an accessor of one column) needs nothing new here.
 */
import { ByteWriter } from '../base/bytes.js'
import { encodeCanonical } from '../base/canonical.js'
import type { PlainRow } from '../store/row-codec.js'

const kind = { null: 1, false: 2, true: 3, number: 4, text: 5, bigint: 6, bytes: 7, json: 8 } as const

const double = new DataView(new ArrayBuffer(8))

export class ValueHash {
  /** The finished hash, two halves of 32 bits. */
  low = 0
  high = 0
  #low = 0
  #high = 0
  readonly #json = new ByteWriter()

  begin(): this {
    this.#low = 0x2545f491
    this.#high = 0x9e3779b9 | 0
    return this
  }

  row(row: PlainRow, names: readonly string[]): void {
    for (const name of names) this.value(row[name])
  }

  /** A value as a column has it. */
  value(value: unknown): void {
    switch (typeof value) {
      case 'number':
        this.#word(kind.number)
        double.setFloat64(0, value)
        this.#word(double.getInt32(0))
        this.#word(double.getInt32(4))
        return
      case 'string':
        this.#word(kind.text)
        this.#word(value.length)
        for (let n = 0; n < value.length; n += 2) this.#word(value.charCodeAt(n) | (n + 1 < value.length ? value.charCodeAt(n + 1) << 16 : 0))
        return
      case 'boolean':
        this.#word(value ? kind.true : kind.false)
        return
      case 'bigint':
        this.#word(kind.bigint)
        double.setBigInt64(0, value)
        this.#word(double.getInt32(0))
        this.#word(double.getInt32(4))
        return
      default:
        if (value === null) this.#word(kind.null)
        else if (value instanceof Uint8Array) this.#bytes(kind.bytes, value)
        else {
          this.#json.reset()
          encodeCanonical(value, this.#json)
          this.#bytes(kind.json, this.#json.bytes())
        }
    }
  }

  end(): this {
    this.low = finish(this.#low)
    this.high = finish(this.#high)
    return this
  }

  #bytes(tag: number, bytes: Uint8Array): void {
    this.#word(tag)
    this.#word(bytes.length)
    for (let n = 0; n < bytes.length; n += 4) {
      this.#word(bytes[n]! | ((bytes[n + 1] ?? 0) << 8) | ((bytes[n + 2] ?? 0) << 16) | ((bytes[n + 3] ?? 0) << 24))
    }
  }

  #word(word: number): void {
    let low = Math.imul(this.#low ^ word, 0x9e3779b1)
    low ^= low >>> 15
    let high = Math.imul(this.#high ^ word, 0x85ebca77)
    high = ((high << 13) | (high >>> 19)) + low
    this.#low = low
    this.#high = high | 0
  }
}

function finish(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

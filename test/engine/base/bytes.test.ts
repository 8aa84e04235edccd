import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { asciiText, ByteReader, ByteWriter, isWellFormed, MalformedBytesError, utf8Length } from '../../../engine/base/bytes.js'
import { hash32, hash32Text } from '../../../engine/base/hash.js'

/** fast-check prints the seed and the path of a failure; this makes all runs of one session share a fresh seed. */
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const runs = { numRuns: 300, seed }

const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.string({ minLength: 40, maxLength: 200 }))
const varint = fc.oneof(fc.nat(300), fc.maxSafeNat(), fc.nat(53).map((bit) => Math.min(2 ** bit, Number.MAX_SAFE_INTEGER)))

type Step =
  | { kind: 'u8' | 'u16' | 'u32' | 'i32' | 'f64' | 'varint'; value: number }
  | { kind: 'i64'; value: bigint }
  | { kind: 'text'; value: string }
  | { kind: 'sized'; value: Uint8Array }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('u8' as const), value: fc.nat(255) }),
  fc.record({ kind: fc.constant('u16' as const), value: fc.nat(65_535) }),
  fc.record({ kind: fc.constant('u32' as const), value: fc.nat(2 ** 32 - 1) }),
  fc.record({ kind: fc.constant('i32' as const), value: fc.integer() }),
  fc.record({ kind: fc.constant('f64' as const), value: fc.double() }),
  fc.record({ kind: fc.constant('varint' as const), value: varint }),
  fc.record({ kind: fc.constant('i64' as const), value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }),
  fc.record({ kind: fc.constant('text' as const), value: text }),
  fc.record({ kind: fc.constant('sized' as const), value: fc.uint8Array({ maxLength: 300 }) }),
)

function writeAll(writer: ByteWriter, steps: readonly Step[]): void {
  for (const one of steps) (writer[one.kind] as (value: unknown) => void).call(writer, one.value)
}

function readAll(reader: ByteReader, steps: readonly Step[]): unknown[] {
  return steps.map((one) => reader[one.kind]())
}

function inSharedMemory(bytes: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length + 16)).subarray(7, 7 + bytes.length)
  shared.set(bytes)
  return shared
}

describe('writing and reading', () => {
  test('what was written is read back, also from shared memory and through a writer that grows', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const writer = new ByteWriter(1)
        writeAll(writer, steps)
        const values = steps.map((one) => one.value)
        for (const bytes of [writer.copy(), inSharedMemory(writer.bytes())]) {
          const reader = new ByteReader(bytes)
          expect(readAll(reader, steps)).toEqual(values)
          expect(reader.left).toBe(0)
        }
      }),
      runs,
    )
  })

  test('B2: bytes that end too early are malformed at every place, and nothing is read beyond them', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (steps, share) => {
        const writer = new ByteWriter()
        writeAll(writer, steps)
        const cut = Math.floor(writer.length * share)
        const region = writer.copy()
        expect(() => readAll(new ByteReader(region.subarray(0, cut)), steps)).toThrow(MalformedBytesError)
        const seeking = new ByteReader(region)
        seeking.seek(0, cut)
        expect(() => readAll(seeking, steps)).toThrow(MalformedBytesError)
      }),
      runs,
    )
  })

  test('B2: a seek outside of the bytes is malformed', () => {
    const reader = new ByteReader(new Uint8Array(8))
    for (const [from, end] of [[0, 9], [-1, 4], [5, 4], [Number.NaN, 4]]) {
      expect(() => reader.seek(from!, end!)).toThrow(MalformedBytesError)
    }
  })

  test('B1: a varint has one spelling, and a longer one is malformed', () => {
    expect(() => new ByteReader(Uint8Array.of(0x80, 0x00)).varint()).toThrow(MalformedBytesError)
    expect(() => new ByteReader(new Uint8Array(9).fill(0xff)).varint()).toThrow(MalformedBytesError)
    const writer = new ByteWriter()
    writer.varint(Number.MAX_SAFE_INTEGER)
    expect(writer.length).toBe(8)
    for (const bad of [-1, 0.5, 2 ** 53, Number.NaN]) expect(() => writer.varint(bad)).toThrow()
    expect(writer.length).toBe(8)
  })

  test('B3: a lone surrogate is refused and leaves nothing, at every length', () => {
    for (const padding of ['', 'x'.repeat(20), 'x'.repeat(47), 'x'.repeat(48), 'é'.repeat(200)]) {
      for (const bad of [`${padding}\ud800`, `\udc00${padding}`, `${padding}\ud800${padding}`]) {
        const writer = new ByteWriter()
        writer.u8(7)
        expect(writer.tryText(bad)).toBe(false)
        expect([...writer.bytes()]).toEqual([7])
        expect(isWellFormed(bad)).toBe(false)
      }
    }
  })

  test('ASCII text is read back at each length around the limits of the fast paths', () => {
    for (let length = 0; length < 140; length += 1) {
      const value = Array.from({ length }, (_, at) => String.fromCharCode((at * 7 + length) % 128)).join('')
      const writer = new ByteWriter()
      writer.text(value)
      expect(new ByteReader(writer.bytes()).text()).toBe(value)
      expect(asciiText(new TextEncoder().encode(value), 0, length)).toBe(value)
    }
  })

  test('a rewound writer goes on as if nothing had been written', () => {
    const writer = new ByteWriter()
    writer.text('kept')
    const mark = writer.length
    writer.text('taken back'.repeat(50))
    writer.rewind(mark)
    writer.u8(1)
    expect([...writer.bytes().subarray(mark)]).toEqual([1])
    expect(() => writer.rewind(mark + 2)).toThrow('rewinds')
  })
})

describe('hashes', () => {
  test('the hash of a text is the hash of its UTF-8 bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        const bytes = new TextEncoder().encode(value)
        expect(hash32Text(value)).toBe(hash32(bytes))
        expect(utf8Length(value)).toBe(bytes.length)
      }),
      runs,
    )
  })

  test('hashes are pinned: rows on disk are placed by them', () => {
    expect(['', 'a', 'ann', 'account-1', 'Zürich', '😀', 'x'.repeat(100)].map(hash32Text)).toMatchInlineSnapshot(`
      [
        2872998923,
        444641715,
        2778018533,
        3894197580,
        2908468631,
        855877642,
        3842974242,
      ]
    `)
  })
})

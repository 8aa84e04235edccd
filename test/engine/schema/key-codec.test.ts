import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MalformedBytesError } from '../../../engine/base/bytes.js'
import type { ColumnDescriptor, ColumnType } from '../../../engine/schema/descriptor.js'
import { compareKeys, compileKeyCodec, KeyBuffer, prefixEnd } from '../../../engine/schema/key-codec.js'

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const runs = { numRuns: 400, seed }

const words = ['open', 'frozen', 'closed']
const manyWords = Array.from({ length: 300 }, (_, at) => `w${at}`)
const hex = fc.constantFrom(...'0123456789abcdef')
const uuid = fc.array(hex, { minLength: 32, maxLength: 32 }).map((d) => d.join('').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'))

/** Few values and hard ones, so that equal leading columns and near misses are common. */
const values: Record<Exclude<ColumnType, 'json'>, fc.Arbitrary<unknown>> = {
  bool: fc.boolean(),
  i32: fc.oneof(fc.constantFrom(-(2 ** 31), -1, 0, 1, 255, 256, 2 ** 31 - 1), fc.integer()),
  u32: fc.oneof(fc.constantFrom(0, 1, 255, 256, 2 ** 31, 2 ** 32 - 1), fc.nat(2 ** 32 - 1)),
  int: fc.oneof(fc.constantFrom(0, -0, 1, -1, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 32), fc.maxSafeInteger()),
  f64: fc.oneof(fc.constantFrom(0, -0, 5e-324, -5e-324, Infinity, -Infinity, 1.5, -1.5), fc.double({ noNaN: true })),
  timestamp: fc.integer({ min: -8.64e15, max: 8.64e15 }),
  bigint: fc.oneof(fc.constantFrom(0n, -1n, 1n, 2n ** 63n - 1n, -(2n ** 63n)), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  text: fc.oneof(
    fc.string({ unit: fc.constantFrom('\0', '\x01', '\x02', 'a', '\x7f', '\u0080', 'é', '\ud7ff', '\ue000', '\uffff', '😀'), maxLength: 4 }),
    fc.string({ unit: 'binary' }),
    fc.string({ maxLength: 40 }),
  ),
  bytes: fc.oneof(fc.uint8Array({ max: 3, maxLength: 4 }), fc.uint8Array()),
  uuid,
  enum: fc.constantFrom(...words),
}

const keyTypes = Object.keys(values) as (keyof typeof values)[]
const column = fc.record({ type: fc.constantFrom(...keyTypes), nullable: fc.boolean() }).map(({ type, nullable }): ColumnDescriptor => {
  return { name: 'c', type, nullable, ...(type === 'enum' ? { values: words } : {}) }
})
const columns = fc.array(column, { minLength: 1, maxLength: 4 })

function tupleOf(of: readonly ColumnDescriptor[]): fc.Arbitrary<unknown[]> {
  const one = of.map(({ type, nullable }) => {
    const value = values[type as keyof typeof values]
    return nullable ? fc.oneof({ arbitrary: value, weight: 4 }, { arbitrary: fc.constant(null), weight: 1 }) : value
  })
  return fc.tuple(...one)
}

/** The definition of the order, on values: what the bytes must agree with. */
function compareValues(type: ColumnType, left: unknown, right: unknown): number {
  if (left === null || right === null) return left === right ? 0 : left === null ? -1 : 1
  if (type === 'text' || type === 'uuid') return Buffer.compare(Buffer.from(left as string), Buffer.from(right as string))
  if (type === 'bytes') return Buffer.compare(left as Uint8Array, right as Uint8Array)
  if (type === 'enum') return words.indexOf(left as string) - words.indexOf(right as string)
  return (left as number) < (right as number) ? -1 : (left as number) > (right as number) ? 1 : 0
}

function compareTuples(of: readonly ColumnDescriptor[], left: readonly unknown[], right: readonly unknown[]): number {
  for (const [at, { type }] of of.entries()) {
    if (at >= left.length || at >= right.length) return 0
    const order = compareValues(type, left[at], right[at])
    if (order !== 0) return order
  }
  return 0
}

function keyOf(of: readonly ColumnDescriptor[], tuple: readonly unknown[]): Uint8Array {
  const into = new KeyBuffer()
  compileKeyCodec(of).encode(tuple, into)
  return into.copy()
}

function prefixOf(of: readonly ColumnDescriptor[], tuple: readonly unknown[]): KeyBuffer {
  const into = new KeyBuffer()
  compileKeyCodec(of).encodePrefix(tuple, into)
  return into
}

describe('R19: the order of the bytes is the order of the values', () => {
  test('for tuples of all types, nulls first', () => {
    const pair = columns.chain((of) => fc.tuple(fc.constant(of), tupleOf(of), tupleOf(of), fc.nat(4)))
    fc.assert(
      fc.property(pair, ([of, left, other, shared]) => {
        const right = other.map((value, at) => (at < shared ? left[at] : value)) // equal leading columns are the hard case
        expect(Math.sign(compareKeys(keyOf(of, left), keyOf(of, right)))).toBe(Math.sign(compareTuples(of, left, right)))
      }),
      { ...runs, numRuns: 2_000 },
    )
  })

  test.each(keyTypes)('for a single column of type %s', (type) => {
    const of: ColumnDescriptor[] = [{ name: 'c', type, nullable: false, ...(type === 'enum' ? { values: words } : {}) }]
    fc.assert(
      fc.property(values[type], values[type], (left, right) => {
        expect(Math.sign(compareKeys(keyOf(of, [left]), keyOf(of, [right])))).toBe(Math.sign(compareValues(type, left, right)))
      }),
      runs,
    )
  })

  test('text is in the order of UTF-8, which is not the order of JavaScript', () => {
    const of: ColumnDescriptor[] = [{ name: 'c', type: 'text', nullable: false }]
    expect('\uffff' < '😀').toBe(false)
    expect(compareKeys(keyOf(of, ['\uffff']), keyOf(of, ['😀']))).toBeLessThan(0)
  })
})

test('K3: a key is read back, from the middle of other bytes, and skipped to its end', () => {
  fc.assert(
    fc.property(columns.chain((of) => fc.tuple(fc.constant(of), tupleOf(of))), fc.nat(5), ([of, tuple], lead) => {
      const into = new KeyBuffer()
      into.reserve(lead)
      into.length = lead
      const codec = compileKeyCodec(of)
      codec.encode(tuple, into)
      const end = into.length
      codec.encode(tuple, into)
      expect(codec.decode(into.bytes, lead)).toStrictEqual(tuple.map((value) => (Object.is(value, -0) ? 0 : value)))
      expect(codec.skip(into.view(), lead)).toBe(end)
      expect(codec.skip(into.view(), end)).toBe(into.length)
    }),
    runs,
  )
})

test('K2: a prefix scan finds exactly the tuples that begin with its values', () => {
  const cases = columns.chain((of) => {
    const short = fc.nat(of.length).chain((count) => tupleOf(of).map((tuple) => tuple.slice(0, count)))
    return fc.tuple(fc.constant(of), short, fc.array(tupleOf(of), { minLength: 1, maxLength: 12 }))
  })
  fc.assert(
    fc.property(cases, ([of, lead, tuples]) => {
      const from = prefixOf(of, lead).copy()
      const above = prefixOf(of, lead)
      const isBounded = prefixEnd(above)
      for (const other of tuples) {
        for (const tuple of [other, [...lead, ...other.slice(lead.length)]]) {
          const key = keyOf(of, tuple)
          const isInside = compareKeys(key, from) >= 0 && (!isBounded || compareKeys(key, above.view()) < 0)
          expect(isInside).toBe(compareTuples(of, tuple, lead) === 0)
        }
      }
    }),
    runs,
  )
})

test('above a prefix of 0xff only, or of nothing, there is no bound', () => {
  const all = new KeyBuffer()
  expect(prefixEnd(all)).toBe(false)
  all.bytes.set([0xff, 0xff])
  all.length = 2
  expect(prefixEnd(all)).toBe(false)
  all.bytes.set([0x05, 0xff])
  all.length = 2
  expect(prefixEnd(all)).toBe(true)
  expect([...all.view()]).toEqual([0x06])
})

test('an enum of more than 256 words takes two bytes and keeps its order', () => {
  const of: ColumnDescriptor[] = [{ name: 'c', type: 'enum', nullable: false, values: manyWords }]
  const keys = manyWords.map((word) => keyOf(of, [word]))
  for (const [at, key] of keys.entries()) {
    expect(compileKeyCodec(of).decode(key, 0)).toEqual([manyWords[at]])
    if (at > 0) expect(compareKeys(keys[at - 1]!, key)).toBeLessThan(0)
  }
})

test('bytes that are no key are malformed, whatever they are', () => {
  fc.assert(
    fc.property(columns, fc.uint8Array({ maxLength: 24 }), (of, bytes) => {
      try {
        compileKeyCodec(of).decode(bytes, 0)
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedBytesError)
      }
    }),
    runs,
  )
})

test('what cannot be ordered is refused: NaN, lone surrogates, unknown words, json, too few values', () => {
  const of = (type: ColumnType): ColumnDescriptor[] => [{ name: 'c', type, nullable: false, values: words }]
  expect(() => keyOf(of('f64'), [Number.NaN])).toThrow('NaN')
  expect(() => keyOf(of('text'), ['\ud800'])).toThrow('well-formed')
  expect(() => keyOf(of('text'), ['\udc00a'])).toThrow('well-formed')
  expect(() => keyOf(of('enum'), ['gone'])).toThrow('words')
  expect(() => compileKeyCodec(of('json'))).toThrow('json')
  expect(() => keyOf(of('int'), [])).toThrow('each of its columns')
})

import { deepStrictEqual } from 'node:assert'
import vm from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter, MalformedBytesError } from '../../../engine/base/bytes.js'
import { CanonicalError, copyCanonical, decodeCanonical, encodeCanonical } from '../../../engine/base/canonical.js'

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const runs = { numRuns: 500, seed }

function bytesOf(value: unknown): Uint8Array {
  const writer = new ByteWriter()
  encodeCanonical(value, writer)
  return writer.copy()
}

function roundTrip(value: unknown): unknown {
  const reader = new ByteReader(bytesOf(value))
  const back = decodeCanonical(reader)
  expect(reader.left).toBe(0)
  return back
}

function refusal(value: unknown): CanonicalError {
  const writer = new ByteWriter()
  writer.u8(7)
  try {
    encodeCanonical(value, writer)
  } catch (error) {
    expect([...writer.bytes()]).toEqual([7]) // C4
    if (error instanceof CanonicalError) return error
    throw error
  }
  throw new Error('was accepted')
}

/** -0 is 0 after a round trip, at any depth. */
function withoutNegativeZero(value: unknown): unknown {
  if (typeof value === 'number') return value + 0
  if (Array.isArray(value)) return value.map(withoutNegativeZero)
  if (typeof value !== 'object' || value === null || value instanceof Date || value instanceof Uint8Array) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutNegativeZero(item)]))
}

const key = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('__proto__', 'constructor', 'toString', '7', '', 'id'))
const plain = fc.letrec((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom(null, undefined, true, false, 0, -0, 63, 64, -1, -64, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 53, Infinity, -Infinity, 5e-324),
    fc.integer(), fc.maxSafeInteger(), fc.double({ noNaN: true }), fc.bigInt(), fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }),
    fc.string({ unit: 'binary' }), fc.string({ minLength: 25, maxLength: 80 }), fc.uint8Array(),
    fc.date({ noInvalidDate: true }),
  ),
  array: fc.array(tie('value'), { maxLength: 20 }),
  object: fc.array(fc.tuple(key, tie('value')), { maxLength: 20 }).map((entries) => Object.fromEntries(entries)),
  value: fc.oneof({ maxDepth: 5 }, tie('leaf'), tie('array'), tie('object')),
})).value

describe('plain data', () => {
  test('C2: comes back equal, except that -0 became 0, with its keys in their order', () => {
    fc.assert(
      fc.property(plain, (value) => {
        const back = roundTrip(value)
        deepStrictEqual(back, withoutNegativeZero(value)) // vitest's comparison stumbles over own keys named __proto__
        expect(Object.keys(Object(back))).toEqual(Object.keys(Object(value)))
        deepStrictEqual(copyCanonical(value), back)
      }),
      runs,
    )
  })

  test('C1: what was decoded gives the same bytes again', () => {
    fc.assert(fc.property(plain, (value) => {
      expect(bytesOf(roundTrip(value))).toEqual(bytesOf(value))
    }), runs)
  })

  test('small things are small', () => {
    expect([undefined, null, true, 0, 63, 'ann', { left: 5 }, []].map((value) => bytesOf(value).length)).toEqual([1, 1, 1, 1, 1, 4, 7, 1])
  })

  test('an own key __proto__ stays a key and changes no prototype', () => {
    const value = JSON.parse('{"__proto__":{"admin":true},"a":1}') as Record<string, unknown>
    const back = roundTrip(value) as Record<string, unknown>
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype)
    expect(Object.keys(back)).toEqual(['__proto__', 'a'])
    expect('admin' in back).toBe(false)
  })

  test('a key of Object.prototype is an ordinary key, also where that is read-only', () => {
    const before = Object.getOwnPropertyDescriptor(Object.prototype, 'toString')!
    const bytes = bytesOf({ toString: 1, valueOf: [2] })
    Object.defineProperty(Object.prototype, 'toString', { ...before, writable: false })
    let back: unknown
    try {
      back = decodeCanonical(new ByteReader(bytes))
    } finally {
      Object.defineProperty(Object.prototype, 'toString', before)
    }
    deepStrictEqual(back, { toString: 1, valueOf: [2] })
  })

  test('objects without a prototype and of another realm are plain, and become ordinary objects', () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1 })
    expect(roundTrip(bare)).toStrictEqual({ a: 1 })
    expect(roundTrip(vm.runInNewContext('({ a: [1, { b: new Date(5) }], c: new Uint8Array([1]) })'))).toStrictEqual({
      a: [1, { b: new Date(5) }], c: Uint8Array.of(1),
    })
  })

  test('bytes are copied, on the way in and out, also from shared memory', () => {
    const given = new Uint8Array(new SharedArrayBuffer(2)).fill(3)
    const bytes = bytesOf({ given })
    const back = decodeCanonical(new ByteReader(bytes)) as { given: Uint8Array }
    bytes.fill(0)
    given.fill(0)
    expect([...back.given]).toEqual([3, 3])
    expect(roundTrip(Buffer.from('ab'))).toStrictEqual(Uint8Array.of(97, 98))
  })
})

describe('what is refused, by name and path', () => {
  class Money {
    cents = 5
  }
  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  const nested = (depth: number): unknown => {
    let value: unknown = 1
    for (let count = 0; count < depth; count += 1) value = [value]
    return value
  }
  const cases: [string, unknown, string, RegExp][] = [
    ['NaN', { items: [1, 2, { price: Number.NaN }] }, '.items[2].price', /NaN/],
    ['a lone surrogate', ['\ud800'], '[0]', /well-formed/],
    ['a long text with a lone surrogate', [`${'x'.repeat(100)}\udc00`], '[0]', /well-formed/],
    ['a key with a lone surrogate', { '\ud800': 1 }, '["\\ud800"]', /well-formed/],
    ['a hole', { a: [1, , 3] }, '.a[1]', /hole/], // eslint-disable-line no-sparse-arrays
    ['a symbol as a value', { a: Symbol('x') }, '.a', /symbol/],
    ['a symbol as a key', { a: { [Symbol('x')]: 1 } }, '.a', /symbol as a key/],
    ['a function', { a: () => 1 }, '.a', /function/],
    ['an accessor', { a: { get b() { throw new Error('ran') } } }, '.a.b', /accessor/],
    ['a setter', { a: { set b(_: unknown) {} } }, '.a.b', /accessor/],
    ['an instance', { a: new Money() }, '.a', /an instance of Money/],
    ['a Map', new Map(), '', /an instance of Map/],
    ['a Set', [new Set()], '[0]', /an instance of Set/],
    ['a promise', { a: Promise.resolve() }, '.a', /an instance of Promise/],
    ['an error', { a: new Error('x') }, '.a', /an instance of Error/],
    ['an array of a class', { a: new (class List extends Array {})() }, '.a', /class/],
    ['another typed array', { a: new Float64Array(1) }, '.a', /Float64Array/],
    ['an invalid date', { a: new Date(Number.NaN) }, '.a', /invalid Date/],
    ['a boxed number', { a: Object(1) }, '.a', /Number/],
    ['inherited data', { a: Object.create({ b: 1 }) as object }, '.a', /plain data/],
    ['a key that is no identifier', { 'a b': [() => 1] }, '["a b"][0]', /function/],
    ['a proxy that throws', { a: new Proxy({}, { ownKeys() { throw new Error('no') } }) }, '', /threw/],
    ['a proxy that throws when its class is asked', new Proxy({}, { getPrototypeOf() { throw new Error('no') } }), '', /threw/],
  ]
  test.each(cases)('%s', (_, value, path, problem) => {
    const error = refusal(value)
    expect(error.path).toBe(path)
    expect(error.problem).toMatch(problem)
    expect(() => copyCanonical(value)).toThrow(CanonicalError)
  })

  test('cycles and deep nesting, but not 512 levels', () => {
    expect(refusal(cycle).problem).toMatch(/deeper than 512/)
    expect(refusal(nested(513)).problem).toMatch(/deeper than 512/)
    expect(roundTrip(nested(512))).toStrictEqual(nested(512))
  })

  test('data that is small only because it shares: 2^40 leaves stop at the limit of bytes', () => {
    let value: unknown = ['x'.repeat(1_000)]
    for (let count = 0; count < 40; count += 1) value = [value, value]
    expect(refusal(value).problem).toMatch(/longer than/)
  })

  test('a copy inside of a copy (a proxy that copies) does not mix their bytes', () => {
    const inner = { x: [1, 2, 3] }
    const proxy = new Proxy({ a: 1 }, { ownKeys: (target) => (copyCanonical(inner), Reflect.ownKeys(target)) })
    expect(copyCanonical({ before: 'b', proxy, after: 'c' })).toStrictEqual({ before: 'b', proxy: { a: 1 }, after: 'c' })
  })
})

test('bytes that nobody wrote are malformed or plain data, never another error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        decodeCanonical(new ByteReader(bytes))
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedBytesError)
      }
    }),
    { numRuns: 3_000, seed },
  )
})

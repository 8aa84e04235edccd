import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter, MalformedBytesError } from '../../../engine/base/bytes.js'
import { SluiceError } from '../../../engine/base/errors.js'
import { compileColumnCheck, type OnViolation } from '../../../engine/schema/column-check.js'
import type { ColumnDescriptor, ColumnRules, ColumnType } from '../../../engine/schema/descriptor.js'
import { compileRecordCodec, type RecordCodec } from '../../../engine/schema/record-codec.js'

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const runs = { numRuns: 400, seed }
const noRules: ColumnRules = { checks: [], json: [] }
const uuid = '0b5e7a3c-6f0d-4f6e-9a53-2f1f7d7c1c11'

function column(name: string, type: ColumnType, more: Partial<ColumnDescriptor> = {}): ColumnDescriptor {
  return { name, type, nullable: false, ...more }
}

function codecOf(columns: readonly ColumnDescriptor[], rules: ColumnRules = noRules): RecordCodec {
  return compileRecordCodec({ columns }, rules, 'the input of "bank.transfer"')
}

function bytesOf(codec: RecordCodec, value: unknown): Uint8Array {
  const writer = new ByteWriter()
  codec.encode(value, writer)
  return writer.copy()
}

/** Encode and normalize must agree about what they refuse, and encode must leave nothing behind. */
function refusal(codec: RecordCodec, value: unknown): SluiceError {
  const writer = new ByteWriter()
  writer.u8(7)
  const errors = [() => codec.encode(value, writer), () => codec.normalize(value)].map((attempt) => {
    try {
      attempt()
    } catch (error) {
      if (SluiceError.is(error, 'INVALID_INPUT')) return error
      throw error
    }
    throw new Error('was accepted')
  })
  expect([...writer.bytes()]).toEqual([7])
  expect(errors[0]!.message).toBe(errors[1]!.message)
  expect(errors[0]!.message).toMatch(/^the input of "bank.transfer": /)
  return errors[0]!
}

const samples: Record<ColumnType, fc.Arbitrary<unknown>> = {
  bool: fc.boolean(),
  i32: fc.integer(),
  u32: fc.nat(2 ** 32 - 1),
  int: fc.oneof(fc.maxSafeInteger(), fc.constant(-0)),
  f64: fc.double({ noNaN: true }),
  bigint: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  text: fc.oneof(fc.string({ unit: 'binary' }), fc.string({ maxLength: 80 })),
  bytes: fc.uint8Array(),
  json: fc.jsonValue({ maxDepth: 3 }).filter((value) => !JSON.stringify(value).includes('__proto__')),
  timestamp: fc.integer({ min: -8.64e15, max: 8.64e15 }),
  uuid: fc.constant(uuid),
  enum: fc.constantFrom('open', 'frozen'),
}
const columnTypes = Object.keys(samples) as ColumnType[]

const columnsAndValue = fc
  .array(fc.record({ type: fc.constantFrom(...columnTypes), nullable: fc.boolean() }), { maxLength: 12 })
  .map((list) => list.map(({ type, nullable }, at) => column(`c${at}`, type, { nullable, values: ['open', 'frozen'] })))
  .chain((columns) => {
    const values = columns.map(({ type, nullable }) => {
      return nullable ? fc.oneof(samples[type], fc.constant(null), fc.constant(undefined)) : samples[type]
    })
    return fc.tuple(fc.constant(columns), fc.tuple(...values), fc.array(fc.nat(100), { minLength: 12, maxLength: 12 }))
  })

describe('records', () => {
  test('R1: any order of keys gives the same bytes, which are read back as the normalized record', () => {
    fc.assert(
      fc.property(columnsAndValue, ([columns, values, shuffle]) => {
        const codec = codecOf(columns)
        const entries = columns.map(({ name }, at) => [name, values[at]] as const)
        const value = Object.fromEntries(entries)
        const shuffled = Object.fromEntries(
          entries.map((entry, at) => [shuffle[at]!, entry] as const).sort(([left], [right]) => left - right).map(([, entry]) => entry)
            .filter(([, one]) => one !== undefined), // `undefined` is leaving out
        )
        const expected = Object.fromEntries(
          entries.map(([name, one]) => [name, one === undefined ? null : typeof one === 'number' ? one + 0 : one]),
        )
        const bytes = bytesOf(codec, value)
        expect(bytesOf(codec, shuffled)).toEqual(bytes)
        const reader = new ByteReader(bytes)
        const back = codec.decode(reader)
        expect(reader.left).toBe(0)
        expect(Object.keys(back)).toEqual(columns.map(({ name }) => name))
        expect(codec.normalize(value)).toEqual(back)
        for (const { name, type } of columns) if (type !== 'json') expect(back[name]).toStrictEqual(expected[name])
        expect(bytesOf(codec, back)).toEqual(bytes)
      }),
      runs,
    )
  })

  test('R4: for any value of any column, the compiled test and the validator agree', () => {
    const anything = fc.oneof(
      fc.anything({ withBigInt: true, withDate: true, withMap: true, withTypedArray: true, withNullPrototype: true, withSparseArray: true }),
      fc.constantFrom(-0, 0, 1, -1, 2 ** 31, 2 ** 32, 2 ** 53, Number.NaN, Infinity, 0.5, 8.64e15, 8.65e15, '', ' ', uuid, 'open', '\ud800', null, undefined),
      ...Object.values(samples),
    )
    const bounds = fc.constantFrom<Partial<ColumnDescriptor>>({}, { min: 0 }, { max: 10 }, { min: -5, max: 5 }, { positive: true }, { nullable: true })
    fc.assert(
      fc.property(fc.constantFrom(...columnTypes), bounds, anything, (type, more, value) => {
        const isNumber = ['i32', 'u32', 'int', 'f64', 'timestamp'].includes(type)
        const one = column('c', type, { ...(isNumber || more.nullable ? more : {}), values: ['open', 'frozen'] })
        const codec = codecOf([one])
        const outcome = (attempt: () => unknown): unknown => {
          try {
            return attempt()
          } catch (error) {
            if (SluiceError.is(error, 'INVALID_INPUT')) return error.message
            throw error
          }
        }
        const encoded = outcome(() => codec.decode(new ByteReader(bytesOf(codec, { c: value }))))
        expect(encoded).toEqual(outcome(() => codec.normalize({ c: value })))
      }),
      { ...runs, numRuns: 2_000 },
    )
  })

  test('what is left out is filled: defaults, else null; null itself is no default', () => {
    const codec = codecOf([
      column('a', 'int', { default: 5 }), column('b', 'text', { nullable: true }), column('c', 'enum', { values: ['x', 'y'], default: 'y' }),
      column('d', 'json', { default: { list: [1] } }), column('e', 'bytes', { default: Uint8Array.of(1) }), column('f', 'int', { nullable: true, default: 7 }),
    ])
    const filled = { a: 5, b: null, c: 'y', d: { list: [1] }, e: Uint8Array.of(1), f: 7 }
    for (const value of [{}, undefined, { a: undefined, b: null, f: undefined }]) {
      expect(codec.normalize(value)).toStrictEqual(filled)
      expect(codec.decode(new ByteReader(bytesOf(codec, value)))).toStrictEqual(filled)
    }
    expect(codec.normalize({ f: null }).f).toBe(null)
    expect(codec.normalize({}).d).not.toBe(codec.normalize({}).d)
    expect(refusal(codec, { a: null }).details).toMatchObject({ field: 'a', rule: 'type' })
  })

  test('a record without columns has no bytes', () => {
    const codec = codecOf([])
    expect(bytesOf(codec, {}).length).toBe(0)
    expect(codec.decode(new ByteReader(new Uint8Array()))).toEqual({})
    expect(refusal(codec, { a: 1 }).message).toContain('has no "a"')
  })

  test('a normalized record shares nothing with what was given', () => {
    const codec = codecOf([column('b', 'bytes'), column('j', 'json')])
    const given = { b: Uint8Array.of(1), j: { list: [1] } }
    const record = codec.normalize(given)
    given.b[0] = 9
    given.j.list.push(2)
    expect(record).toStrictEqual({ b: Uint8Array.of(1), j: { list: [1] } })
  })
})

describe('R65, R3: what is no record is INVALID_INPUT, never another error', () => {
  const codec = codecOf([column('from', 'text'), column('to', 'text'), column('amount', 'int', { min: 1 })])
  const good = { from: 'ann', to: 'bob', amount: 5 }
  class Input {
    from = 'ann'
    to = 'bob'
    amount = 5
  }
  const cases: [string, unknown, RegExp, string?][] = [
    ['nothing', undefined, /"from" is missing/],
    ['null', null, /plain object, not null/],
    ['text', 'ann', /not text/],
    ['an array', [good], /not an array/],
    ['a Map', new Map(), /instance of Map/],
    ['an instance', new Input(), /instance of Input/],
    ['inherited values', Object.create(good), /plain object/],
    ['a function', () => good, /a function/],
    ['an unknown key', { ...good, note: 1 }, /has no "note"/, 'note'],
    ['a slip of the hand', { from: 'a', to: 'b', amuont: 1 }, /has no "amuont"; did you mean "amount"\?/, 'amuont'],
    ['an own __proto__', JSON.parse('{"from":"a","to":"b","amount":1,"__proto__":{}}'), /has no "__proto__"/],
    ['a missing column', { from: 'ann', to: 'bob' }, /"amount" is missing/, 'amount'],
    ['a number as text', { ...good, amount: '5' }, /"amount" must be a whole number.*, not text/, 'amount'],
    ['a fraction', { ...good, amount: 1.5 }, /not the number 1.5/, 'amount'],
    ['an object that turns into a number', { ...good, amount: { valueOf: () => 5 } }, /not an object/, 'amount'],
    ['a broken rule', { ...good, amount: 0 }, /"amount" must be at least 1/, 'amount'],
    ['a lone surrogate', { ...good, to: 'x\ud800' }, /"to" is not well-formed/, 'to'],
    ['a getter that throws', { get from() { throw new TypeError('boom') }, to: 'b', amount: 1 }, /threw while it was read/],
    ['a proxy that throws', new Proxy(good, { ownKeys() { throw new TypeError('boom') } }), /threw while it was read/],
    ['a revoked proxy', revoked(), /throws? |threw/],
  ]
  function revoked(): unknown {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  }
  test.each(cases)('%s', (_, value, message, field) => {
    const error = refusal(codec, value)
    expect(error.message).toMatch(message)
    if (field !== undefined) expect(error.details.field).toBe(field)
  })

  test('inherited values of a polluted Object.prototype are not read', () => {
    Object.defineProperty(Object.prototype, 'amount', { value: 5, configurable: true, enumerable: true, writable: true })
    try {
      expect(refusal(codec, { from: 'a', to: 'b' }).message).toContain('"amount" is missing')
    } finally {
      Reflect.deleteProperty(Object.prototype, 'amount')
    }
  })

  test('a getter is read once', () => {
    let reads = 0
    codec.encode({ get from() { return `ann${(reads += 1)}` }, to: 'b', amount: 1 }, new ByteWriter())
    expect(reads).toBe(1)
  })
})

describe('rules of columns', () => {
  const check = (name: string, holds: (value: never) => unknown): ColumnRules => {
    return { checks: [{ column: 0, name, holds: holds as (value: never) => boolean }], json: [] }
  }
  const schema = (validate: (value: unknown) => unknown): ColumnRules => ({ checks: [], json: [{ column: 0, validate }] })
  const rows: [string, ColumnDescriptor, ColumnRules, unknown[], [unknown, string][]][] = [
    ['bool', column('c', 'bool'), noRules, [true, false], [[1, 'type'], ['true', 'type'], [null, 'type']]],
    ['i32', column('c', 'i32'), noRules, [-(2 ** 31), 2 ** 31 - 1, -0], [[2 ** 31, 'type'], [0.5, 'type'], [1n, 'type'], [NaN, 'type']]],
    ['u32', column('c', 'u32', { max: 10 }), noRules, [0, 10], [[-1, 'type'], [11, 'max'], [2 ** 32, 'type']]],
    ['int', column('c', 'int', { min: -5 }), noRules, [-5, 2 ** 53 - 1], [[-6, 'min'], [2 ** 53, 'type'], [Infinity, 'type'], [5n, 'type']]],
    ['f64', column('c', 'f64', { positive: true }), noRules, [5e-324, Infinity], [[0, 'positive'], [-1, 'positive'], [NaN, 'type'], ['1', 'type']]],
    ['bigint', column('c', 'bigint', { min: 0n, max: 9n }), noRules, [0n, 9n], [[-1n, 'min'], [10n, 'max'], [2n ** 63n, 'type'], [5, 'type']]],
    ['timestamp', column('c', 'timestamp'), noRules, [0, -8.64e15], [[8.64e15 + 1, 'type'], [0.5, 'type'], [new Date(), 'type']]],
    ['notBlank', column('c', 'text', { notBlank: true }), noRules, ['a', ' a'], [['', 'notBlank'], [' \t\u00a0\u2003', 'notBlank'], [5, 'type']]],
    ['maxLength', column('c', 'text', { maxLength: 2 }), noRules, ['', 'ab', '😀'], [['abc', 'maxLength'], ['😀a', 'maxLength']]],
    ['pattern', column('c', 'text', { pattern: { source: '^a+$', flags: 'g' } }), noRules, ['a', 'a', 'aaa'], [['b', 'pattern'], ['', 'pattern']]],
    ['uuid', column('c', 'uuid'), noRules, [uuid], [[uuid.toUpperCase(), 'type'], ['', 'type'], [`${uuid}0`, 'type'], [`\n${uuid}`, 'type']]],
    ['enum', column('c', 'enum', { values: ['open', 'frozen'] }), noRules, ['open'], [['Open', 'type'], [0, 'type'], ['toString', 'type']]],
    ['bytes', column('c', 'bytes', { maxLength: 2 }), noRules, [Uint8Array.of(1, 2)], [[[1], 'type'], [new Uint8Array(3), 'maxLength'], ['ab', 'type']]],
    ['json', column('c', 'json'), noRules, [null, { a: [1] }, 'x'], [[{ a: NaN }, 'type'], [new Map(), 'type'], [() => 1, 'type']]],
    ['a check', column('c', 'int'), check('even', (v: number) => v % 2 === 0), [2, 0], [[1, 'even'], ['2', 'type']]],
    ['a check that throws', column('c', 'int'), check('odd', () => { throw new Error('x') }), [], [[1, 'odd']]],
    ['a check that promises', column('c', 'int'), check('later', async () => true), [], [[1, 'later']]],
    ['null passes checks', column('c', 'int', { nullable: true }), check('never', () => false), [null, undefined], [[1, 'never']]],
    ['a schema', column('c', 'json'), schema((v) => (v === 1 ? { value: 1 } : { issues: [{ message: 'not 1' }] })), [1], [[2, 'schema'], [null, 'schema']]],
    ['a schema that throws', column('c', 'json'), schema(() => { throw new Error('x') }), [], [[1, 'schema']]],
    ['a schema that promises', column('c', 'json'), schema(async () => { throw new Error('later') }), [], [[1, 'schema']]],
    ['a schema that makes a Map', column('c', 'json'), schema(() => ({ value: new Map() })), [], [[1, 'type']]],
  ]
  test.each(rows)('%s', (_, one, rules, accepted, refused) => {
    const codec = codecOf([one], rules)
    for (const value of accepted) expect(codec.decode(new ByteReader(bytesOf(codec, { c: value })))).toEqual(codec.normalize({ c: value }))
    for (const [value, rule] of refused) expect([value, refusal(codec, { c: value }).details.rule]).toEqual([value, rule])
  })

  test('a schema decides what is stored, and its path is named', () => {
    const rules = schema((v) => (typeof v === 'string' ? { value: { upper: v.toUpperCase() } } : { issues: [{ message: 'no', path: ['items', { key: 3 }, 'price'] }] }))
    const codec = codecOf([column('c', 'json')], rules)
    expect(codec.normalize({ c: 'a' })).toEqual({ c: { upper: 'A' } })
    expect(codec.decode(new ByteReader(bytesOf(codec, { c: 'a' })))).toEqual({ c: { upper: 'A' } })
    expect(refusal(codec, { c: 5 }).details).toMatchObject({ field: 'c.items[3].price', rule: 'schema' })
  })

  test('the place of a bad value inside of json is named', () => {
    const codec = codecOf([column('lines', 'json')])
    const error = refusal(codec, { lines: [{ price: 1 }, { price: Number.NaN }] })
    expect(error.details).toMatchObject({ field: 'lines[1].price', rule: 'type' })
    expect(error.message).toContain('"lines" [1].price is NaN')
  })

  test('a column check tells a wrong type from a broken rule: rows raise different errors for them', () => {
    const seen: string[] = []
    const fail: OnViolation = (kind, rule) => {
      seen.push(`${kind} ${rule}`)
      throw new Error('stop')
    }
    const { accept } = compileColumnCheck(column('c', 'int', { min: 0 }), 0, check('even', (v: number) => v % 2 === 0))
    for (const value of ['x', -1, 3, undefined, null]) expect(() => accept(value, fail)).toThrow('stop')
    expect(seen).toEqual(['type type', 'rule min', 'rule even', 'type required', 'type type'])
    expect(Object.is(accept(-0, fail), 0)).toBe(true)
  })
})

test('R64: a name that is no identifier never reaches the compiled code', () => {
  for (const name of ['', '1a', 'a-b', 'a"]; process.exit(1) //', '__proto__', 'constructor', 'prototype', 'x'.repeat(64)]) {
    expect(() => codecOf([column(name, 'int')])).toThrow('R64')
  }
})

test('words of an enum may be anything: they are not part of the compiled code', () => {
  const values = ['"; throw 1; "', '`${1}`', '\u2028', '', ...Array.from({ length: 300 }, (_, at) => `w${at}`)]
  const codec = codecOf([column('c', 'enum', { values })])
  for (const word of values) expect(codec.decode(new ByteReader(bytesOf(codec, { c: word })))).toEqual({ c: word })
})

test('bytes that are no record are malformed, whatever they are', () => {
  const codec = codecOf(columnTypes.map((type) => column(`c_${type}`, type, { nullable: true, values: ['a'] })))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        codec.decode(new ByteReader(bytes))
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedBytesError)
      }
    }),
    runs,
  )
})

/**
 * Definitions at run time: everything the types promise, said again to users of plain JavaScript, with a
 * message that names the definition. Each bad definition is one row: what is defined, and the words its
 * message must hold.
 */
import { describe, expect, test } from 'vitest'
import { app, column as c, service, SluiceError, table } from '../../index.js'
import { programOf } from '../../bindings/index.js'

// Bad definitions do not compile, so they are written without types.
const t = table as unknown as (definition?: unknown) => any
const s = service as unknown as (name?: unknown, definition?: unknown) => any
const col = c as unknown as Record<string, (...args: unknown[]) => any>
const a = app as unknown as (url?: unknown, services?: unknown) => any
const text = () => c.text()
const here = import.meta.url
const columns = { id: c.text(), at: c.timestamp(), n: c.int(), note: c.text().nullable(), data: c.json() }
const schemaOf = (validate: (value: unknown) => unknown) => ({
  '~standard': { version: 1, vendor: 'test', validate },
})

type Bad = [what: string, define: () => unknown, ...words: string[]]

function refuses(rows: readonly Bad[]): void {
  test.each(rows)('%s', (_what, define, ...words) => {
    let error: unknown
    try {
      define()
    } catch (thrown) {
      error = thrown
    }
    expect(error, 'nothing was refused').toBeDefined()
    if (!SluiceError.is(error, 'INVALID_DEFINITION')) throw error
    for (const word of words) expect(error.message).toContain(word)
    expect(error.message, 'a message is a sentence').toMatch(/^\S.*\.$/)
    expect(error.message, 'a message shows values in words').not.toMatch(/\[object|'undefined|undefined'/)
  })
}

describe('columns refuse', () => {
  const record = (fields: unknown) => () => s('x', { events: { e: fields } })
  refuses([
    ['a bound that is text', () => col['int']!().min('5'), 'column.int().min()', "'5'"],
    ['a bound that is a number in a bigint column', () => col['bigint']!().max(5), 'column.bigint().max()', '5n'],
    ['a bound with a fraction in an int column', () => c.int().min(0.5), 'whole number'],
    ['a bound that is not a number', () => c.f64().min(NaN), 'column.f64().min()'],
    ['a bound the type cannot reach', record({ f: c.u32().min(-1) }), "column 'f'", "event 'x.e'", '-1'],
    ['bounds that leave nothing', record({ f: c.int().min(5).max(4) }), "column 'f'", '5', '4'],
    ['a maxLength of nothing', () => c.text().maxLength(0), 'column.text().maxLength()'],
    ['a maxLength with a fraction', () => c.text().maxLength(1.5), 'column.text().maxLength()'],
    ['a pattern that is text', () => col['text']!().pattern('^a'), 'regular expression'],
    ['a pattern that remembers', () => c.text().pattern(/a/g), 'flags'],
    ['a second pattern', () => c.text().pattern(/a/).pattern(/b/), 'pattern()'],
    ['an enum without words', () => col['enum']!([]), 'column.enum()', 'at least one'],
    ['an enum that is no array', () => col['enum']!('open', 'shut'), 'column.enum()', 'array'],
    ['an enum of numbers', () => col['enum']!([1, 2]), 'column.enum()', '1'],
    ['an enum with a word twice', () => c.enum(['a', 'b', 'a']), 'twice'],
    ['a schema that is none', () => col['json']!({ parse: () => 1 }), 'Standard Schema'],
    ['a check that is no function', () => col['int']!().check(true, 'x'), 'column.int().check()'],
    ['a check without a name', () => col['int']!().check(() => true), 'name'],
    [
      'two checks of one name',
      record({
        f: c
          .int()
          .check(() => true, 'even')
          .check(() => true, 'even'),
      }),
      "column 'f'",
      'same name',
    ],
    ['a reference that is a table', () => col['text']!().references(t({ columns, key: ['id'] })), '() => account'],
    ['an unknown onDelete', () => col['text']!().references(() => 1, { onDelete: 'nothing' }), "'nothing'"],
    [
      'an unknown option of references',
      () => col['text']!().references(() => 1, { ondelete: 'cascade' }),
      "'ondelete'",
    ],
    ['a default of undefined', () => col['int']!().default(undefined), 'nullable()'],
    [
      'generated() with a default',
      () => t({ columns: { id: c.int().generated().default(1) }, key: ['id'] }),
      "column 'id'",
    ],
    ['generated() in a payload', record({ f: c.int().generated() }), 'generated()', "column 'f'", "event 'x.e'"],
    ['unique() in a payload', record({ f: c.text().unique() }), 'unique()'],
    ['references() in a payload', record({ f: c.text().references(() => 1) }), 'references()'],
    ['a column that is a word', record({ f: 'text' }), "'f'", "'text'", 'column.text()'],
    ['a column builder that was not called', record({ f: c.text }), "'f'", 'a function'],
    [
      'a check that throws',
      record({
        f: c
          .int()
          .default(1)
          .check(() => {
            throw new Error('x')
          }, 'odd'),
      }),
      "'odd'",
      'threw',
    ],
  ])
})

describe('a default must obey its own column', () => {
  const rows: readonly (readonly [what: string, column: any, words: string])[] = [
    ['bool', col['bool']!().default(1), 'true'],
    ['i32 above its range', c.i32().default(2 ** 31), '32 bits'],
    ['i32 below its range', c.i32().default(-(2 ** 31) - 1), '32 bits'],
    ['u32 below zero', c.u32().default(-1), '32 bits'],
    ['u32 above its range', c.u32().default(2 ** 32), '32 bits'],
    ['int with a fraction', c.int().default(0.1), '53 bits'],
    ['int above its range', c.int().default(2 ** 53), '53 bits'],
    ['int of text', col['int']!().default('1'), '53 bits'],
    ['f64 NaN', c.f64().default(NaN), 'no number'],
    ['timestamp of a Date', col['timestamp']!().default(new Date()), 'milliseconds'],
    ['bigint of a number', col['bigint']!().default(1), '64 bits'],
    ['bigint above its range', c.bigint().default(2n ** 63n), '64 bits'],
    ['text of a number', col['text']!().default(1), 'text'],
    ['text with half a surrogate pair', c.text().default('\ud800'), 'well-formed'],
    ['uuid in capitals', c.uuid().default('0189A0E2-0000-7000-8000-000000000000'), 'UUID'],
    ['enum with another word', col['enum']!(['a', 'b']).default('c'), 'a, b'],
    ['bytes of an array', col['bytes']!().default([1]), 'Uint8Array'],
    ['null where nothing is nullable', col['int']!().default(null), 'nullable()'],
    ['below min, whatever the order', c.int().default(1).min(2), 'min 2'],
    ['above max', c.int().max(2).default(3), 'max 2'],
    ['below the stricter of two bounds', c.int().min(5).min(2).default(3), 'min 5'],
    ['zero in a positive int', c.int().positive().default(0), 'min 1'],
    ['zero in a positive f64', c.f64().positive().default(0), 'positive'],
    ['negative in a positive bigint', c.bigint().positive().default(-1n), 'min 1'],
    ['blank', c.text().notBlank().default(' \n'), 'blank'],
    ['too long', c.text().maxLength(2).default('abc'), 'longer than 2'],
    ['no match', c.text().pattern(/^a/).default('b'), '/^a/'],
    [
      'a check',
      c
        .int()
        .check((n) => n % 2 === 0, 'even')
        .default(3),
      "'even'",
    ],
    ['json with a function', c.json().default({ f: [() => 1] }), 'default.f[0]'],
    ['json with a class instance', c.json().default({ m: new Map() }), 'default.m'],
    [
      'json that its schema refuses',
      col['json']!(schemaOf(() => ({ issues: [{ message: 'no street' }] }))).default({}),
      'no street',
    ],
    [
      'json with an asynchronous schema',
      col['json']!(schemaOf(async () => ({ value: 1 }))).default({}),
      'asynchronous',
    ],
    [
      'json with a schema that throws',
      col['json']!(
        schemaOf(() => {
          throw new Error('x')
        }),
      ).default({}),
      'threw',
    ],
  ]
  refuses(
    rows.map(([what, field, words]): Bad => [
      what,
      () => s('x', { events: { e: { f: field } } }),
      "column 'f' of event 'x.e'",
      words,
    ]),
  )

  test('edges of every type are accepted and kept', () => {
    const fields = {
      low: c.i32().default(-(2 ** 31)),
      high: c.i32().default(2 ** 31 - 1),
      word: c.u32().default(2 ** 32 - 1),
      safe: c.int().default(-(2 ** 53) + 1),
      zero: c.int().default(-0),
      huge: c.f64().default(Infinity),
      big: c.bigint().default(-(2n ** 63n)),
      empty: c.text().default(''),
      none: c.text().nullable().default(null),
      list: c.json<unknown>().default([{ a: 1n }]),
      bytes: c.bytes().default(Uint8Array.of(1)),
    }
    const program = programOf(app(here, [service('x', { events: { e: fields } })]))
    const defaults = Object.fromEntries(
      program.events[0]!.descriptor.columns.map((column) => [column.name, column.default]),
    )
    expect(defaults).toEqual({
      low: -(2 ** 31),
      high: 2 ** 31 - 1,
      word: 2 ** 32 - 1,
      safe: -(2 ** 53) + 1,
      zero: 0,
      huge: Infinity,
      big: -(2n ** 63n),
      empty: '',
      none: undefined,
      list: [{ a: 1n }],
      bytes: Uint8Array.of(1),
    })
  })

  test('a default of json is a frozen copy', () => {
    const given = { tags: ['a'] }
    const program = programOf(app(here, [service('x', { events: { e: { f: c.json<object>().default(given) } } })]))
    given.tags.push('b')
    const kept = program.events[0]!.descriptor.columns[0]!.default as typeof given
    expect(kept).toEqual({ tags: ['a'] })
    expect(() => kept.tags.push('c')).toThrow(TypeError)
  })
})

describe('names (R64)', () => {
  const bad = ['', '1a', '_a', 'a-b', 'a.b', 'a b', 'ä', '__proto__', 'constructor', 'prototype', 'a'.repeat(64)]
  const uses: readonly (readonly [noun: string, define: (name: string) => unknown])[] = [
    ['service', (name) => s(name)],
    ['table', (name) => s('x', { tables: Object.fromEntries([[name, t({ columns, key: ['id'] })]]) })],
    [
      'column',
      (name) =>
        t({
          columns: Object.fromEntries([
            ['id', text()],
            [name, text()],
          ]),
          key: ['id'],
        }),
    ],
    ['index', (name) => t({ columns, key: ['id'], indexes: Object.fromEntries([[name, { on: ['n'] }]]) })],
    ['event', (name) => s('x', { events: Object.fromEntries([[name, {}]]) })],
    ['abort reason', (name) => s('x', { aborts: Object.fromEntries([[name, {}]]) })],
    ['procedure', (name) => s('x').procedure(name, {}, () => {})],
    [
      'handler',
      (name) =>
        s('x').on(
          () => 1,
          { name, atomic: true },
          () => {},
        ),
    ],
    ['workflow', (name) => s('x').workflow(name, {}, async () => {})],
    ['check', (name) => col['int']!().check(() => true, name)],
    ['row check', (name) => t({ columns, key: ['id'], checks: Object.fromEntries([[name, () => true]]) })],
    [
      'reference',
      (name) => t({ columns, key: ['id'], references: Object.fromEntries([[name, { on: ['id'], to: () => 1 }]]) }),
    ],
  ]
  refuses(
    uses.flatMap(([noun, define]) => bad.map((name): Bad => [`${noun} '${name}'`, () => define(name), 'name'])),
  )
  test.each(uses)('the longest name of a %s is accepted', (_noun, define) => {
    define('a'.repeat(63))
    define('toString')
  })
  test('what was found under a name that was never declared is undefined', () => {
    const x = s('x')
    for (const handles of [x.tables, x.events, x.aborts]) {
      expect(handles.constructor).toBeUndefined()
      expect(handles.toString).toBeUndefined()
    }
  })
})

describe('tables refuse', () => {
  refuses([
    ['no definition', () => t(), 'table()', 'object'],
    ['an unknown option', () => t({ columns, key: ['id'], orderd: true }), "'orderd'", 'ordered'],
    ['no columns', () => t({ columns: {}, key: ['id'] }), 'columns'],
    ['columns as a list', () => t({ columns: [text()], key: ['id'] }), 'an array'],
    [
      'more columns than fit',
      () =>
        t({ columns: Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`c${i}`, text()])), key: ['c0'] }),
      '257',
      '256',
    ],
    ['no key', () => t({ columns }), 'key', 'id, at, n, note'],
    ['an empty key', () => t({ columns, key: [] }), 'key', 'empty'],
    ['a bare key', () => t({ columns, key: 'id' }), 'key', "'id'"],
    ['an unknown column in the key', () => t({ columns, key: ['no'] }), "'no'"],
    ['a column twice in the key', () => t({ columns, key: ['id', 'id'] }), "'id' twice"],
    ['a nullable column in the key', () => t({ columns, key: ['note'] }), "'note'", 'nullable'],
    ['json in the key', () => t({ columns, key: ['data'] }), "'data'", 'json'],
    ['an unknown word for partition', () => t({ columns, key: ['id'], partition: 'everywhere' }), 'partition'],
    ['an empty partition', () => t({ columns, key: ['id'], partition: [] }), 'partition'],
    ['a partition outside the key', () => t({ columns, key: ['id'], partition: ['n'] }), "'n'", 'key'],
    ['an unknown column in the partition', () => t({ columns, key: ['id'], partition: ['no'] }), "'no'"],
    ['ordered that is no flag', () => t({ columns, key: ['id'], ordered: 'yes' }), 'ordered', "'yes'"],
    ['an index as a list', () => t({ columns, key: ['id'], indexes: { by: ['n'] } }), "index 'by'", 'an array'],
    ['an index on nothing', () => t({ columns, key: ['id'], indexes: { by: { on: [] } } }), "index 'by'"],
    [
      'an index on an unknown column',
      () => t({ columns, key: ['id'], indexes: { by: { on: ['no'] } } }),
      "index 'by'",
      "'no'",
    ],
    [
      'an index on json',
      () => t({ columns, key: ['id'], indexes: { by: { on: ['data'] } } }),
      "index 'by'",
      "'data'",
    ],
    [
      'an unknown option of an index',
      () => t({ columns, key: ['id'], indexes: { by: { on: ['n'], rnge: true } } }),
      "'rnge'",
      'range',
    ],
    [
      'where on an unknown column',
      () => t({ columns, key: ['id'], indexes: { by: { on: ['n'], where: { no: 1 } } } }),
      "'no'",
    ],
    [
      'where on another type',
      () => t({ columns, key: ['id'], indexes: { by: { on: ['n'], where: { n: 'x' } } } }),
      "index 'by'",
      "'x'",
    ],
    [
      'where null on a column without null',
      () => t({ columns, key: ['id'], indexes: { by: { on: ['n'], where: { n: null } } } }),
      'null',
    ],
    [
      'an index named as a unique column',
      () => t({ columns: { id: text(), mail: text().unique() }, key: ['id'], indexes: { mail: { on: ['id'] } } }),
      "'mail'",
    ],
    ['a row check that is no function', () => t({ columns, key: ['id'], checks: { sane: true } }), "'sane'"],
    ['a reference without an arrow', () => t({ columns, key: ['id'], references: { r: { on: ['id'] } } }), "'r'"],
    [
      'a reference from an unknown column',
      () => t({ columns, key: ['id'], references: { r: { on: ['no'], to: () => 1 } } }),
      "'r'",
      "'no'",
    ],
    [
      'setNull where nothing is nullable',
      () => t({ columns, key: ['id'], references: { r: { on: ['n'], to: () => 1, onDelete: 'setNull' } } }),
      "'r'",
      'nullable',
    ],
  ])
})

describe('services refuse', () => {
  const shared = t({ columns, key: ['id'] })
  s('first', { tables: { account: shared } })
  const twin = t({ columns, key: ['id'] })
  const event = s('other', { events: { paid: {} } }).events.paid
  refuses([
    ['no name', () => s(), 'service'],
    ['an unknown option', () => s('x', { table: {} }), "service 'x'", "'table'"],
    ['a table that is none', () => s('x', { tables: { account: { columns } } }), "'x.account'", 'table()'],
    ['a table of another service', () => s('x', { tables: { theirs: shared } }), "'x.theirs'", "'first.account'"],
    ['a table under two names', () => s('x', { tables: { one: twin, two: twin } }), "'x.two'", "'x.one'"],
    ['a procedure without options', () => s('x').procedure('p', () => {}), "'x.p'", 'a function'],
    ['a procedure without a body', () => s('x').procedure('p', {}), "'x.p'", 'function'],
    [
      'an unknown option of a procedure',
      () => s('x').procedure('p', { inputs: {} }, () => {}),
      "'x.p'",
      "'inputs'",
    ],
    [
      'an input that is no column',
      () => s('x').procedure('p', { input: { id: String } }, () => {}),
      "'id'",
      "'x.p'",
    ],
    [
      'a partition that is a value',
      () => s('x').procedure('p', { partition: 'id' }, () => {}),
      "'x.p'",
      'partition',
    ],
    [
      'partition and partitions',
      () => s('x').procedure('p', { partition: () => 1, partitions: () => [1] }, () => {}),
      'both',
    ],
    [
      'a procedure of a name taken',
      () => {
        const x = s('x')
        x.procedure('p', {}, () => {})
        x.procedure('p', {}, () => {})
      },
      "'x.p'",
      'procedure',
    ],
    [
      'a handler named as a procedure',
      () => {
        const x = s('x')
        x.procedure('p', {}, () => {})
        x.on(event, { name: 'p' }, () => {})
      },
      "'x.p'",
      'handler',
    ],
    ['a handler without a name', () => s('x').on(event, {}, () => {}), 'handler', "service 'x'"],
    [
      'a handler of something else',
      () => s('x').on({ name: 'other.paid' }, { name: 'h' }, () => {}),
      "'x.h'",
      'event',
    ],
    [
      'an unknown option of a handler',
      () => s('x').on(event, { name: 'h', atomc: true }, () => {}),
      "'atomc'",
      'atomic',
    ],
    [
      'an atomic handler with a partition',
      () => s('x').on(event, { name: 'h', atomic: true, partition: () => 1 }, () => {}),
      "'x.h'",
      'atomic',
    ],
    [
      'messages that are no columns',
      () => s('x').workflow('w', { messages: { go: { by: 1 } } }, async () => {}),
      "'go'",
      "'x.w'",
    ],
  ])
  test('a refused service leaves its tables free', () => {
    const free = t({ columns, key: ['id'] })
    expect(() => s('x', { tables: { a: free, b: {} } })).toThrow("'x.b'")
    expect(s('x', { tables: { a: free } }).tables.a.name).toBe('x.a')
  })
})

describe('app() refuses', () => {
  const paid = s('shop', { events: { paid: {} } })
  const withReference = (to: () => unknown, key = ['id']) =>
    s('x', {
      tables: {
        a: t({
          columns: {
            id: text(),
            n: c.int(),
            up: text()
              .nullable()
              .references(to as never),
          },
          key,
        }),
      },
    })
  refuses([
    ['no address', () => a(undefined, []), 'import.meta.url'],
    ['a path as the address', () => a('/app.ts', []), 'import.meta.url'],
    ['a service without a list', () => a(here, paid), 'list'],
    ['something that is no service', () => a(here, [paid, { name: 'x' }]), 'services[1]'],
    ['a service that is not there yet', () => a(here, [undefined]), 'services[0]', 'circle'],
    ['two services of one name', () => a(here, [s('x'), s('x')]), "'x'"],
    [
      'an event of a service outside',
      () => {
        const x = s('x')
        x.on(
          () => paid.events.paid,
          { name: 'h', atomic: true },
          () => {},
        )
        a(here, [x])
      },
      "'x.h'",
      "'shop.paid'",
      "service 'shop'",
    ],
    [
      'an arrow that answers no event',
      () => {
        const x = s('x')
        x.on(
          () => paid.tables,
          { name: 'h', atomic: true },
          () => {},
        )
        a(here, [x])
      },
      "'x.h'",
    ],
    [
      'an arrow that throws',
      () => {
        const x = s('x')
        x.on(
          () => {
            throw new Error('dead zone')
          },
          { name: 'h', atomic: true },
          () => {},
        )
        a(here, [x])
      },
      "'x.h'",
      'cause',
    ],
    ['a reference to no table', () => a(here, [withReference(() => paid)]), "'up'", "'x.a'"],
    [
      'a reference to a table of no service',
      () => a(here, [withReference(() => t({ columns, key: ['id'] }))]),
      "'up'",
      'no service',
    ],
    [
      'a reference to a key of another shape',
      () => {
        const x: any = withReference(() => x.tables.a, ['n'])
        a(here, [x])
      },
      "'up'",
      '(text)',
      '(int)',
    ],
  ])
})

describe('what is not in this version is refused by name, never ignored', () => {
  const of = (definition: object) => s('x', { tables: { a: t({ columns, key: ['id'], ...definition }) } })
  const ofColumn = (column: unknown) =>
    s('x', { tables: { a: t({ columns: { id: text(), f: column }, key: ['id'] }) } })
  const procedure = (options: object) => {
    const x = s('x')
    x.procedure('p', options, () => {})
    return x
  }
  const rows: readonly (readonly [feature: string, define: () => unknown, words: string])[] = [
    [
      'workflows',
      () => {
        const x = s('x')
        x.workflow('w', {}, async () => {})
        return x
      },
      "workflow 'x.w'",
    ],
  ]
  refuses(
    rows.map(([feature, define, words]): Bad => [feature, () => a(here, [define()]), 'Not in this version', words]),
  )

  test('all of it is listed at once, and the services stay open', () => {
    const x: any = s('x')
    x.workflow('w', {}, async () => {})
    x.workflow('v', {}, async () => {})
    expect(() => a(here, [x])).toThrow(
      expect.objectContaining({
        details: { features: ["workflow 'x.w'", "workflow 'x.v'"] },
      }),
    )
    x.procedure('q', {}, () => {})
  })
})

/**
 * What the builders refuse: names at their limits, tables that make no sense, definitions after `app()`.
 * All of it is INVALID_DEFINITION, at once.
 */
import { describe, expect, test } from 'vitest'
import { app, column as c, open, service, table } from 'sluicedb'
import { thrown } from '../support/fixture.js'

const longest = 'n'.repeat(63)
const goodNames = [
  'a',
  'Z',
  'a1',
  'a_b',
  'constructors',
  'prototyp',
  'toString',
  'hasOwnProperty',
  'n'.repeat(62),
  longest,
]
const badNames = [
  '',
  '1a',
  '_a',
  'a-b',
  'a b',
  'a.b',
  'ä',
  'a\n',
  'a\u0000',
  '__proto__',
  'constructor',
  'prototype',
  `${longest}n`,
  'n'.repeat(100_000),
  5,
  null,
  undefined,
  {},
  ['a'],
]

/** What plain JavaScript could write. */
const loose = { service, table } as unknown as {
  service(
    name: unknown,
    definition?: unknown,
  ): {
    procedure(name: unknown, options: unknown, run: unknown): unknown
    on(event: unknown, options: unknown, run: unknown): void
    events: Record<string, unknown>
  }
  table(definition: unknown): unknown
}
const named = (name: unknown, value: unknown) => Object.fromEntries([[name, value]]) as object
const columns = { id: c.int() }
/** Refused by the builder, or at the latest by `app()`. */
const refusedDefinition = (define: () => unknown) =>
  thrown(
    () => app(import.meta.url, [define() as never]),
    'INVALID_DEFINITION',
    'INVALID_USE',
    'INVALID_INPUT',
  )

const places: Readonly<Record<string, (name: unknown) => unknown>> = {
  service: (name) => loose.service(name),
  table: (name) => loose.service('s', { tables: named(name, table({ columns, key: ['id'] })) }),
  column: (name) =>
    loose.service('s', {
      tables: { t: loose.table({ columns: { id: c.int(), ...named(name, c.int()) }, key: ['id'] }) },
    }),
  index: (name) =>
    loose.service('s', {
      tables: { t: loose.table({ columns, key: ['id'], indexes: named(name, { on: ['id'] }) }) },
    }),
  event: (name) => loose.service('s', { events: named(name, {}) }),
  procedure: (name) => {
    const made = loose.service('s')
    made.procedure(name, {}, () => 1)
    return made
  },
}

describe.each(Object.entries(places))('the name of a %s', (place, define) => {
  test.each(goodNames)('may be %s', (name) => {
    expect(() => app(import.meta.url, [define(name) as never])).not.toThrow()
  })
  const bad = ['service', 'procedure'].includes(place)
    ? badNames
    : badNames.filter((name) => typeof name === 'string')
  test.each(bad.map((name) => [String(name).slice(0, 70), name]))('must not be %j', (_, name) => {
    refusedDefinition(() => define(name))
  })
})

describe('tables', () => {
  const text = c.text()
  const cases: Readonly<Record<string, () => unknown>> = {
    'no key': () => ({ columns, key: [] }),
    'a key that is no column': () => ({ columns, key: ['nope'] }),
    'a key named twice': () => ({ columns, key: ['id', 'id'] }),
    'a nullable key': () => ({ columns: { id: c.int().nullable() }, key: ['id'] }),
    'a json key': () => ({ columns: { id: c.json() }, key: ['id'] }),
    'no columns': () => ({ columns: {}, key: ['id'] }),
    'a column that is none': () => ({ columns: { id: c.int(), x: 'text' }, key: ['id'] }),
    'a partition column outside the key': () => ({
      columns: { id: c.int(), x: text },
      key: ['id'],
      partition: ['x'],
    }),
    'an unknown partition': () => ({ columns, key: ['id'], partition: 'everywhere' }),
    'an index on an unknown column': () => ({ columns, key: ['id'], indexes: { x: { on: ['nope'] } } }),
    'an index on nothing': () => ({ columns, key: ['id'], indexes: { x: { on: [] } } }),
    'an index with an unknown option': () => ({
      columns,
      key: ['id'],
      indexes: { x: { on: ['id'], uniqe: true } },
    }),
    'an index on json': () => ({
      columns: { id: c.int(), x: c.json() },
      key: ['id'],
      indexes: { x: { on: ['x'] } },
    }),
    'an unknown option': () => ({ columns, key: ['id'], sorted: true }),
    'a default of the wrong type': () => ({
      columns: { id: c.int(), x: (c.text() as unknown as { default(value: unknown): unknown }).default(5) },
      key: ['id'],
    }),
    'a default that breaks a check': () => ({
      columns: { id: c.int(), x: c.int().min(3).default(2) },
      key: ['id'],
    }),
    'an enum without values': () => ({ columns: { id: c.int(), x: c.enum([] as never) }, key: ['id'] }),
    'an enum with a value twice': () => ({ columns: { id: c.int(), x: c.enum(['a', 'a']) }, key: ['id'] }),
    nothing: () => undefined,
  }
  test.each(Object.entries(cases))('%s is refused', (_, definition) => {
    refusedDefinition(() => loose.service('s', { tables: { t: loose.table(definition()) } }))
  })
})

describe('services and applications', () => {
  test('the same procedure name twice is refused', () => {
    const made = service('s')
    made.procedure('p', {}, () => 1)
    thrown(() => made.procedure('p', {}, () => 2), 'INVALID_DEFINITION')
  })

  test('two services of one name are refused', () => {
    thrown(() => app(import.meta.url, [service('s'), service('s')]), 'INVALID_DEFINITION')
  })

  test('defining after app() is refused, by name', () => {
    const made = service('late')
    app(import.meta.url, [made])
    expect(thrown(() => made.procedure('p', {}, () => 1), 'INVALID_DEFINITION').message).toContain('late.p')
  })

  test('a handler without an event is refused', () => {
    refusedDefinition(() => {
      const made = loose.service('s')
      made.on(
        () => undefined,
        { name: 'h', atomic: true },
        () => undefined,
      )
      return made
    })
  })

  test('an async procedure is refused when it is defined or when it is called', async () => {
    const made = loose.service('s')
    let defined: unknown
    try {
      defined = made.procedure('p', {}, async () => 1)
    } catch (error) {
      expect(error).toMatchObject({ code: 'INVALID_DEFINITION' })
      return
    }
    await using db = await open(app(import.meta.url, [made as never]), { workers: 0 })
    await expect(db.call(defined as never)).rejects.toMatchObject({ code: 'PROCEDURE_FAILED' })
  })
})

/**
 * From definitions to a program: what the engine gets, how handles are found in it, and what main and workers
 * compare.
 */
import { describe, expect, test, vi } from 'vitest'
import {
  app,
  describeProgram,
  eventOrdinal,
  formatPosition,
  isApp,
  Position,
  positionParts,
  procedureOrdinal,
  programOf,
  tableOrdinal,
} from '../../bindings/index.js'
import { programText } from '../../engine/schema/program-text.js'
import { column as c, service, SluiceError, table, type AnyChange, type AnyEvent } from '../../index.js'

const here = import.meta.url

function bankAndShop() {
  const bank = service('bank', {
    tables: {
      account: table({
        columns: {
          id: c.text(),
          owner: c
            .text()
            .notBlank()
            .maxLength(80)
            .maxLength(40)
            .pattern(/^[A-Z]/u),
          balance: c
            .int()
            .min(-5)
            .positive()
            .max(10)
            .check((n) => n !== 7, 'unlucky'),
          status: c.enum(['open', 'frozen']).default('open'),
          coins: c.bigint().positive(),
          ratio: c.f64().positive(),
          note: c.text().nullable(),
        },
        key: ['id'],
        indexes: { byOwner: { on: ['owner'] }, byBalance: { on: ['status', 'balance'], range: true } },
      }),
      entry: table({
        columns: { amount: c.int(), seq: c.int(), account: c.text() },
        key: ['account', 'seq'],
        partition: ['account', 'seq'],
        ordered: true,
      }),
      rate: table({ columns: { currency: c.text(), rate: c.f64() }, key: ['currency'], partition: 'global' }),
    },
    events: { transferred: { amount: c.int() }, closed: {} },
    aborts: { POOR: { balance: c.int() } },
  })
  const place = (it: { to: string }) => it.to
  const run = () => 1
  const transfer = bank.procedure('transfer', { input: { to: c.text(), amount: c.int() }, partition: place }, run)
  const audit = bank.procedure('audit', {}, () => {})
  const shop = service('shop', { events: { paid: { total: c.int() } } })
  bank.on(
    () => shop.events.paid,
    { name: 'second', atomic: true },
    () => 2,
  )
  bank.on(bank.events.closed, { name: 'first', atomic: true }, () => 1)
  return { bank, shop, transfer, audit, place, run }
}

describe('a program', () => {
  test('holds tables as data, by ordinal', () => {
    const { bank, shop } = bankAndShop()
    const { tables } = describeProgram(programOf(app(here, [bank, shop])))
    const plain = { nullable: false }
    expect(tables).toEqual([
      {
        name: 'bank.account',
        columns: [
          { name: 'id', type: 'text', ...plain },
          {
            name: 'owner',
            type: 'text',
            ...plain,
            notBlank: true,
            maxLength: 40,
            pattern: { source: '^[A-Z]', flags: 'u' },
          },
          { name: 'balance', type: 'int', ...plain, min: 1, max: 10 },
          { name: 'status', type: 'enum', ...plain, values: ['open', 'frozen'], default: 'open' },
          { name: 'coins', type: 'bigint', ...plain, min: 1n },
          { name: 'ratio', type: 'f64', ...plain, positive: true },
          { name: 'note', type: 'text', nullable: true },
        ],
        key: [0],
        partition: [0],
        ordered: false,
        indexes: [
          { name: 'byOwner', on: [1], range: false, unique: false },
          { name: 'byBalance', on: [3, 2], range: true, unique: false },
        ],
      },
      {
        name: 'bank.entry',
        columns: [
          { name: 'amount', type: 'int', ...plain },
          { name: 'seq', type: 'int', ...plain },
          { name: 'account', type: 'text', ...plain },
        ],
        key: [2, 1],
        partition: [2, 1],
        ordered: true,
        indexes: [],
      },
      expect.objectContaining({ name: 'bank.rate', partition: 'global' }),
    ])
  })

  test('holds functions beside the data, and everything by ordinal', () => {
    const { bank, shop, place, run } = bankAndShop()
    const program = programOf(app(here, [shop, bank]))
    expect(program.url).toBe(here)
    expect(program.services.map(({ name }) => name)).toEqual(['shop', 'bank'])
    expect(program.services[1]!.tables).toEqual(
      new Map([
        ['account', 0],
        ['entry', 1],
        ['rate', 2],
      ]),
    )
    expect(program.services[1]!.events).toEqual(
      new Map([
        ['transferred', 1],
        ['closed', 2],
      ]),
    )
    expect(program.services[0]!.aborts, 'no reasons declared: any word will do').toBeUndefined()
    expect([...program.services[1]!.aborts!.keys()]).toEqual(['POOR'])
    expect(program.tables[0]!.checks.map(({ column, name }) => [column, name])).toEqual([[2, 'unlucky']])

    const [audit, transfer] = program.procedures
    expect(audit).toMatchObject({
      descriptor: { name: 'bank.audit', columns: [], placed: false },
      service: 1,
      partition: undefined,
    })
    expect(transfer).toMatchObject({
      descriptor: { name: 'bank.transfer', placed: true },
      service: 1,
      partition: place,
      run,
    })
    const handlers = program.atomicHandlers.map(({ name, service, events }) => [name, service, ...events])
    expect(handlers, 'R28: in the order of declaration').toEqual([
      ['bank.second', 1, 0],
      ['bank.first', 1, 2],
    ])
  })

  test('carries the validator of a json column, called with its own schema', () => {
    const schema = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate(this: unknown, value: unknown) {
          return { value: [this === schema['~standard'], value] }
        },
      },
    }
    const program = programOf(app(here, [service('x', { events: { e: { id: c.int(), data: c.json(schema) } } })]))
    const [check] = program.events[0]!.json
    expect(check!.column).toBe(1)
    expect(check!.validate(5)).toEqual({ value: [true, 5] })
  })

  test('columns are immutable: a modifier answers a new one', () => {
    const id = c.text()
    const longer = id.nullable().maxLength(5)
    const program = programOf(
      app(here, [service('x', { events: { e: { id, longer, again: longer.maxLength(9) } } })]),
    )
    expect(program.events[0]!.descriptor.columns).toEqual([
      { name: 'id', type: 'text', nullable: false },
      { name: 'longer', type: 'text', nullable: true, maxLength: 5 },
      { name: 'again', type: 'text', nullable: true, maxLength: 5 },
    ])
  })
})

describe('an application', () => {
  test('is found by its brand and holds its program', () => {
    const { bank, shop } = bankAndShop()
    const application = app(here, [bank, shop])
    expect(isApp(application)).toBe(true)
    expect(Symbol.for('sluicedb.app') in application, 'what a worker looks for').toBe(true)
    for (const other of [undefined, null, bank, {}, () => {}]) {
      expect(isApp(other)).toBe(false)
      expect(() => programOf(other as never)).toThrow(expect.objectContaining({ code: 'INVALID_USE' }))
    }
  })

  test('seals its services: defining more names the module that sealed them first', () => {
    const { bank, shop } = bankAndShop()
    app('file:///first.js', [bank, shop])
    app('file:///second.js', [bank, shop])
    const late = [
      () => bank.procedure('late', {}, () => {}),
      () => bank.on(shop.events.paid, { name: 'late', atomic: true }, () => {}),
      () => bank.workflow('late', {}, async () => {}),
    ]
    for (const define of late) {
      expect(define).toThrow(
        expect.objectContaining({
          code: 'INVALID_DEFINITION',
          message: expect.stringMatching(/'bank\.late'.*file:\/\/\/first\.js/),
        }),
      )
    }
  })

  test('follows arrows when it is made, not when they are written', () => {
    const early = service('early', { events: { told: {} } })
    let heard: typeof lateService | undefined
    early.on(
      () => heard!.events.said,
      { name: 'h', atomic: true },
      () => {},
    )
    const lateService = service('late', { events: { said: {} } })
    heard = lateService
    const program = programOf(app(here, [early, lateService]))
    expect(program.events[program.atomicHandlers[0]!.events[0]!]!.descriptor.name).toBe('late.said')
  })
})

test('two copies of the package in one process understand each other', async () => {
  vi.resetModules()
  const other = await import('../../bindings/index.js')
  expect(other.app).not.toBe(app)
  const { bank, shop, transfer } = bankAndShop()
  const application = other.app(here, [bank, shop])
  expect(programOf(application)).toBe(other.programOf(application))
  expect(other.procedureOrdinal(programOf(application), transfer)).toBe(1)
  expect(() => bank.procedure('late', {}, () => {})).toThrow('sealed')
})

describe('handles', () => {
  test('know their full names', () => {
    const { bank, transfer } = bankAndShop()
    expect(table({ columns: { id: c.text() }, key: ['id'] }).name).toBe('')
    expect(bank.tables.account.name).toBe('bank.account')
    expect(bank.events.transferred.name).toBe('bank.transferred')
    expect(bank.aborts.POOR.name).toBe('POOR')
    expect(transfer.name).toBe('bank.transfer')
  })

  test('recognise their own changes, events and errors, and nothing else', () => {
    const { bank, shop } = bankAndShop()
    const change = (name: string) => ({ table: name }) as AnyChange
    expect(bank.tables.account.is(change('bank.account'))).toBe(true)
    expect(bank.tables.account.is(change('account'))).toBe(false)
    expect(bank.tables.account.is(change('bank.entry'))).toBe(false)
    expect(table({ columns: { id: c.text() }, key: ['id'] }).is(change(''))).toBe(false)
    expect(shop.events.paid.is({ type: 'shop.paid' } as AnyEvent)).toBe(true)
    expect(shop.events.paid.is({ type: 'bank.paid' } as AnyEvent)).toBe(false)
    expect(bank.aborts.POOR.is(SluiceError.of('ABORTED', 'no', { reason: 'POOR' }))).toBe(true)
    expect(bank.aborts.POOR.is(SluiceError.of('ABORTED', 'no', { reason: 'RICH' }))).toBe(false)
    expect(bank.aborts.POOR.is(SluiceError.of('CONFLICT', 'no', { reason: 'POOR' }))).toBe(false)
    for (const nothing of [undefined, null, 1, 'POOR', {}]) {
      expect(bank.tables.account.is(nothing as never)).toBe(false)
      expect(shop.events.paid.is(nothing as never)).toBe(false)
      expect(bank.aborts.POOR.is(nothing)).toBe(false)
    }
  })

  test('are found in a program by ordinal, and refused when they are not of it', () => {
    const { bank, shop, transfer, audit } = bankAndShop()
    const program = programOf(app(here, [shop, bank]))
    expect(tableOrdinal(program, bank.tables.entry)).toBe(1)
    expect(eventOrdinal(program, bank.events.closed)).toBe(2)
    expect([procedureOrdinal(program, audit), procedureOrdinal(program, transfer)]).toEqual([0, 1])

    const stranger = service('stranger', { tables: { t: table({ columns: { id: c.text() }, key: ['id'] }) } })
    const homeless = table({ columns: { id: c.text() }, key: ['id'] })
    const refused: readonly [() => unknown, RegExp][] = [
      [() => tableOrdinal(program, stranger.tables.t), /'stranger\.t' .*add service 'stranger' to app\(\)/],
      [() => tableOrdinal(program, homeless), /belongs to no service/],
      [() => tableOrdinal(program, transfer), /'procedure' .*'table'/],
      [() => procedureOrdinal(program, undefined), /undefined .*'procedure'/],
      [() => procedureOrdinal(program, 'bank.transfer'), /'bank\.transfer' .*'procedure'/],
      [() => eventOrdinal(program, bank.tables.account), /'table' .*'event'/],
    ]
    for (const [look, message] of refused) {
      expect(look).toThrow(
        expect.objectContaining({ code: 'INVALID_USE', message: expect.stringMatching(message) }),
      )
    }
  })
})

describe('the catalog', () => {
  test('is the same for the same definitions, in whatever order procedures were defined', () => {
    const of = (first: string, second: string) => {
      const x = service('x')
      x.procedure(first, {}, () => {})
      x.procedure(second, {}, () => {})
      return programOf(app(here, [x]))
    }
    expect(programText(of('a', 'b'))).toBe(programText(of('b', 'a')))
  })

  const programWith = (
    fields: Parameters<typeof service>[1] & object,
    define?: (x: ReturnType<typeof service>) => void,
  ) => {
    const x = service('x', fields)
    define?.(x as never)
    return programOf(app(here, [x as never]))
  }
  const payload = (column: unknown) => programWith({ events: { e: { f: column as never } } })
  const twice = (x: any, names: readonly string[]) => {
    for (const name of names)
      x.on(
        () => x.events.e,
        { name, atomic: true },
        () => {},
      )
  }
  const base = c.int()
  const differing: readonly (readonly [what: string, one: () => any, other: () => any])[] = [
    ['a type', () => payload(base), () => payload(c.i32())],
    ['a bound', () => payload(base.min(1)), () => payload(base.min(2))],
    ['a bigint bound', () => payload(c.bigint().min(1n)), () => payload(c.bigint().min(2n))],
    ['an infinite default', () => payload(c.f64().default(Infinity)), () => payload(c.f64().default(-Infinity))],
    [
      'a default of bytes',
      () => payload(c.bytes().default(Uint8Array.of(1))),
      () => payload(c.bytes().default(Uint8Array.of(2))),
    ],
    [
      'a date inside json',
      () => payload(c.json().default(new Date(1))),
      () => payload(c.json().default(new Date(2))),
    ],
    ['the name of a check', () => payload(base.check(() => true, 'a')), () => payload(base.check(() => true, 'b'))],
    ['an abort reason', () => programWith({ aborts: { A: {} } }), () => programWith({ aborts: { B: {} } })],
    [
      'the order of handlers',
      () => programWith({ events: { e: {} } }, (x) => twice(x, ['a', 'b'])),
      () => programWith({ events: { e: {} } }, (x) => twice(x, ['b', 'a'])),
    ],
  ]
  test.each(differing)('differs when %s differs', (_what, one, other) => {
    expect(programText(one())).not.toBe(programText(other()))
  })
})

describe('positions', () => {
  const parts = [
    [0, 0],
    [0, 1],
    [0, 2 ** 32 - 1],
    [1, 0],
    [9, 0],
    [10, 0],
    [2 ** 24, 3],
    [2 ** 53 - 1, 2 ** 32 - 1],
  ] as const

  test('sort as text in the order of the log, and give back their numbers', () => {
    const positions = parts.map(([batch, index]) => formatPosition(batch, index))
    expect([...positions].sort()).toEqual(positions)
    expect(positions.map(positionParts)).toEqual(parts.map(([batch, index]) => ({ batch, index })))
    for (const position of positions) expect(Position.parse(JSON.parse(JSON.stringify(position)))).toBe(position)
  })

  const good = formatPosition(1, 1)
  const bad = [
    '',
    '1',
    good.slice(1),
    `${good}0`,
    `${good}\n`,
    good.replace('-', '.'),
    `f${good.slice(1)}`,
    good.replace('1', 'A'),
    5,
    null,
  ]
  test.each(bad)('%j is none', (text) => {
    expect(positionParts(text)).toBeUndefined()
    expect(() => Position.parse(text as string)).toThrow(expect.objectContaining({ code: 'INVALID_USE' }))
  })
})

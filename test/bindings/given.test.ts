/** `sluicedb/testing`: what it proves, and what it says when something else came out. */
import { aggregate, column as c, event } from 'sluicedb'
import { given, testDatabase } from 'sluicedb/testing'
import { describe, expect, test } from 'vitest'
import cartApp, { account, cart, shop } from '../support/apps/cart-app.js'
import { thrown } from '../support/fixture.js'

const tea = { type: 'added', payload: { product: 'tea', quantity: 2 } } as const
const checkedOut = { type: 'checkedOut', payload: { total: 2 } } as const

/** What a story that does not hold says. */
function said(story: () => unknown): { readonly message: string; readonly expected: unknown; readonly actual: unknown } {
  try {
    story()
  } catch (error) {
    expect((error as { code?: unknown }).code).toBe('ERR_ASSERTION')
    return error as { message: string; expected: unknown; actual: unknown }
  }
  throw new Error('the story holds')
}

describe('a story that holds', () => {
  test('given events, when a command, then events and a state', () => {
    given(cart, [tea]).when('remove', { product: 'tea' }).then([{ type: 'removed', payload: { product: 'tea' } }]).thenState({ lines: {}, open: true })
    given(cart).when('add', { product: 'cup' }).then({ type: 'added', payload: { product: 'cup', quantity: 1 } })
    given(cart, [tea, checkedOut]).when('checkout').then([])
    given(cart, [tea]).when('checkout').then([{ type: 'looked' }, { type: 'checkedOut', payload: { total: 3, note: null } }])
    given(cart, [tea, checkedOut]).thenState({ lines: { tea: 2 }, open: false })
    given(cart, [tea]).when('checkout').thenState({ lines: { tea: 2 }, open: false })
    expect(given(cart, [tea]).state.lines['tea']).toBe(2)
  })

  test('given events, then a command aborts, or is refused', () => {
    given(cart, [checkedOut]).when('add', { product: 'cup' }).thenAborts('CLOSED')
    given(cart).when('remove', { product: 'cup' }).thenAborts('NOT_IN_CART', { product: 'cup' })
    given(cart).when('add', { product: 'cup', quantity: 0 }).thenFails('INVALID_INPUT')
    given(account, [], { id: 3 }).when('credit', { amount: -1 }).thenAborts('POOR', { balance: 0 })
  })

  test('has its own clock and chance', () => {
    const dice = aggregate('dice', {
      id: c.uuid(),
      events: { thrown: { at: c.timestamp(), points: c.f64(), name: c.uuid(), of: c.uuid() } },
      initial: () => ({ last: 0, time: 0 }),
      evolve: { thrown: (_state, { points }, { time }) => ({ last: points, time }) },
      decide: { throw: { input: {}, run: (_state, _input, it) => ({ type: 'thrown', payload: { at: it.now, points: it.random(), name: it.uuid(), of: it.id } }) } },
    })
    const id = '00000000-0000-4000-8000-000000000001'
    const story = () => given(dice, [], { id, now: 5, seed: 7 }).when('throw')
    const event = { type: 'thrown', payload: { at: 5, points: 0.23645552527159452, name: '5e9d4b3f-3b93-4b3d-8d6f-cc8ae0fe8e4a', of: id } } as const
    const { actual } = said(() => story().then(event))
    story().then(actual as (typeof event)[])
    expect(actual).not.toEqual(said(() => given(dice, [], { id, now: 5, seed: 8 }).when('throw').then(event)).actual)
  })

  test('may begin with events of an older shape', () => {
    const sum = aggregate('sum', {
      id: c.text(),
      events: { counted: event({ by: c.text() }).became({ n: c.int() }, ({ by }) => ({ n: Number(by) })).became({ n: c.int(), unit: c.text() }, (old) => ({ ...old, unit: 'g' })) },
      initial: () => '',
      evolve: { counted: (state, { n, unit }) => `${state} ${n}${unit}` },
      decide: {},
    })
    given(sum, [{ type: 'counted', shape: 1, payload: { by: '2' } }, { type: 'counted', shape: 2, payload: { n: 3 } }, { type: 'counted', payload: { n: 4, unit: 'kg' } }]).thenState(' 2g 3g 4kg')
    expect(thrown(() => given(sum, [{ type: 'counted', shape: 4, payload: {} }]), 'INVALID_USE').message).toContain('older than its data')
    expect(thrown(() => given(sum, [{ type: 'counted', shape: 1, payload: { by: 'many' } }]), 'PROCEDURE_FAILED').message).toContain('from shape 1 to 2')
  })
})

describe('a story that does not hold', () => {
  test('shows both sides, line by line', () => {
    const { message, expected, actual } = said(() => given(cart, [tea]).when('add', { product: 'cup', quantity: 3 }).then([{ type: 'added', payload: { product: 'cup', quantity: 2 } }]))
    expect(message).toBe(
      [
        'Command add of "shop.cart" happened otherwise (- expected, + happened):',
        '  [',
        '    {',
        '      payload: {',
        '        product: "cup",',
        '-       quantity: 2,',
        '+       quantity: 3,',
        '      },',
        '      type: "added",',
        '    },',
        '  ]',
      ].join('\n'),
    )
    expect(expected).toEqual([{ type: 'added', payload: { product: 'cup', quantity: 2 } }])
    expect(actual).toEqual([{ type: 'added', payload: { product: 'cup', quantity: 3 } }])
  })

  test('says what happened instead', () => {
    expect(said(() => given(cart, [checkedOut]).when('add', { product: 'cup' }).then([])).message).toBe('Command add of "shop.cart" ended with ABORTED CLOSED {}')
    expect(said(() => given(cart).when('add', { product: 'cup' }).thenAborts('CLOSED')).message).toContain('was to abort with CLOSED, and this happened:\n[\n  {\n    payload')
    expect(said(() => given(cart, [checkedOut]).when('add', { product: 'cup' }).thenAborts('NOT_IN_CART')).message).toContain('ended with ABORTED CLOSED')
    expect(said(() => given(cart).when('remove', { product: 'cup' }).thenAborts('NOT_IN_CART', { product: 'pot' })).message).toContain('-   product: "pot",')
    expect(said(() => given(cart, [tea]).thenState({ lines: { tea: 1 }, open: true })).message).toContain('+     tea: 2,')
    expect(said(() => given(cart).when('add', { product: 'cup' }).thenFails('INVALID_INPUT')).message).toContain('was to fail with INVALID_INPUT')
    expect(said(() => given(cart).when('add', { product: 'cup', quantity: 0 }).then([])).message).toContain('INVALID_INPUT: ')
  })

  test('a state that is changed in place, or cannot be kept, is found', () => {
    const parts = { id: c.text(), events: { put: { n: c.int() } }, decide: { put: { input: { n: c.int() }, run: () => ({ type: 'put' as const, payload: { n: 1 } }) } } }
    const pushing = aggregate('pushing', { ...parts, initial: () => [] as number[], evolve: { put: (state, { n }) => (state.push(n), state) } })
    expect(() => given(pushing, [{ type: 'put', payload: { n: 1 } }])).toThrow(TypeError)
    const mapped = aggregate('mapped', { ...parts, initial: () => ({ of: {} as unknown }), evolve: { put: () => ({ of: new Map() }) } })
    expect(thrown(() => given(mapped, [{ type: 'put', payload: { n: 1 } }]), 'INVALID_USE').message).toContain('evolve.put')
    const silent = aggregate('silent', { ...parts, initial: () => 0, evolve: { put: () => undefined as never } })
    expect(thrown(() => given(silent, [{ type: 'put', payload: { n: 1 } }]), 'INVALID_USE').message).toContain('answered nothing')
    const thrower = aggregate('thrower', { ...parts, initial: () => 0, evolve: { put: () => 0 }, decide: { put: { input: {}, run: () => { throw new RangeError('a bug') } } } })
    expect(() => given(thrower).when('put', {}).thenAborts('BUG')).toThrow(RangeError)
  })

  test('a story without an end is not taken for a promise', async () => {
    await expect(async () => await (given(cart).when('checkout') as unknown as Promise<void>)).rejects.toThrow('nothing to await')
  })

  test('wrong uses are refused', () => {
    expect(thrown(() => given({} as never), 'INVALID_USE').message).toContain('takes what aggregate() answered')
    expect(thrown(() => given(cart).when('fly' as never, {} as never), 'INVALID_USE').message).toContain('it has add, remove, checkout')
    expect(thrown(() => given(cart, [], { clock: 1 } as never), 'INVALID_USE').message).toContain('it has id, now, seed')
  })
})

test('a test database runs the same way every time', async () => {
  const life = async () => {
    const db = await testDatabase(cartApp)
    try {
      await db.call(shop.aggregates.cart.add, { id: 'ann', product: 'tea' })
      await db.call(shop.aggregates.cart.add, { id: 'ann', product: 'cup' })
      return Array.from(db.table(shop.aggregates.cart.tables.events), ({ time }) => time)
    } finally {
      await db.close()
    }
  }
  const times = await life()
  expect(times[0]).toBeGreaterThanOrEqual(Date.UTC(2020, 0, 1))
  expect(times[1]! - times[0]!).toBeGreaterThan(0)
  expect(await life()).toEqual(times)
})

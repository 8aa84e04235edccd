/**
 * Tables of bad input to a call: each is refused with the code that api.md names, as a promise, and leaves
 * nothing behind.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Database } from 'sluicedb'
import oddApp, * as use from '../support/apps/odd-app.js'
import { openOnce, refused, thrown } from '../support/fixture.js'
import { anyCall, refusedWhole } from '../support/refusals.js'
import { canon, expectSame } from '../support/same.js'

let db: Database
beforeAll(async () => {
  db = await openOnce(oddApp, { workers: 0, partitions: 4 })
  await db.call(use.prepare)
})
afterAll(() => db.close())

describe('input of a call, by column type', () => {
  const cases = use.kinds.flatMap((kind) =>
    Object.keys(use.wrongValues[kind]).map((name) => [kind, name] as const),
  )
  test.each(cases)('%s refuses: %s', async (kind, name) => {
    await refusedWhole(
      db,
      () => anyCall(db, use.echo, { [kind]: use.wrongValues[kind][name]!() }),
      'INVALID_INPUT',
    )
  })

  const right: readonly (readonly [use.Kind, unknown, unknown?])[] = [
    ['bool', true],
    ['i32', 2 ** 31 - 1],
    ['i32', -(2 ** 31)],
    ['u32', 2 ** 32 - 1],
    ['int', Number.MAX_SAFE_INTEGER],
    ['int', Number.MIN_SAFE_INTEGER],
    ['int', -0, 0],
    ['f64', -0, 0],
    ['f64', Number.MIN_VALUE],
    ['f64', -Number.MAX_VALUE],
    ['bigint', -(2n ** 62n)],
    ['text', ''],
    ['text', '😀\u0000ｚ'],
    ['text', 'é'.repeat(70_000)],
    ['bytes', new Uint8Array(0)],
    ['bytes', Buffer.from('abc'), Uint8Array.from([97, 98, 99])],
    ['bytes', new Uint8Array(new ArrayBuffer(8), 2, 3)],
    ['json', { a: [1, null, 'x', { b: true }], n: -0 }, { a: [1, null, 'x', { b: true }], n: 0 }],
    ['json', { big: 2n ** 80n, bytes: Uint8Array.from([1]), at: new Date(5) }],
    ['timestamp', 1_700_000_000_000],
    ['uuid', '0b53c5a2-7f0e-4c2c-9d53-0a5b8d2f1e11'],
    ['enum', 'two'],
    ['text', undefined, null],
    ['int', null],
  ]
  test.each(right.map((it) => [`${it[0]} takes ${canon(it[1]).slice(0, 60)}`, ...it] as const))(
    '%s',
    async (...it) => {
      const [, kind, value, back = value] = it
      const answer = (await anyCall(db, use.echo, { [kind]: value })) as Record<string, unknown>
      expectSame(answer[kind], back, 'what came back')
    },
  )

  test('a bigint beyond 64 bits is kept whole or refused, never cut', async () => {
    for (const value of [2n ** 63n, -(2n ** 63n) - 1n, 2n ** 64n, 2n ** 200n]) {
      const answer = await anyCall(db, use.echo, { bigint: value }).then(
        (it) => (it as { bigint: bigint }).bigint,
        (error: { code: string }) => error.code,
      )
      expect([value, 'INVALID_INPUT']).toContain(answer)
    }
  })

  test('infinity is kept or refused, never turned into something else', async () => {
    for (const kind of ['f64', 'json'] as const) {
      const answer = await anyCall(db, use.echo, { [kind]: -Infinity }).then(
        (it) => (it as Record<string, unknown>)[kind],
        (error: { code: string }) => error.code,
      )
      expect([-Infinity, 'INVALID_INPUT']).toContain(answer)
    }
  })
})

describe('the shape of the input', () => {
  const inherited = Object.create({ name: 'x', n: 1 }) as object
  const boom = () => {
    throw new Error('boom')
  }
  const cases: Readonly<Record<string, () => unknown>> = {
    nothing: () => undefined,
    null: () => null,
    'a number': () => 5,
    text: () => 'name',
    'a list': () => [['name', 'x']],
    'a function': () => () => 1,
    'a promise': () => Promise.resolve({ name: 'x', n: 1 }),
    'a missing column': () => ({ name: 'x' }),
    'undefined where something is needed': () => ({ name: undefined, n: 1 }),
    'null where nothing is nullable': () => ({ name: null, n: 1 }),
    'an unknown column': () => ({ name: 'x', n: 1, nope: 1 }),
    'an own __proto__': () => JSON.parse('{"name": "x", "n": 1, "__proto__": {"n": 2}}'),
    'an own constructor': () => ({ name: 'x', n: 1, constructor: 1 }),
    'an own toString': () => ({ name: 'x', n: 1, toString: 1 }),
    'inherited columns': () => inherited,
    'a broken check': () => ({ name: 'x', n: 0 }),
    'a getter that throws': () => ({
      name: 'x',
      get n(): number {
        return boom()
      },
    }),
    'a proxy that throws': () =>
      new Proxy({ name: 'x', n: 1 }, { get: boom, ownKeys: boom, getOwnPropertyDescriptor: boom, has: boom }),
    'a proxy with an unknown column': () => new Proxy({ name: 'x', n: 1, nope: 2 }, {}),
    'a revoked proxy': () => {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      return proxy
    },
  }
  test.each(Object.entries(cases))('%s is refused', async (_, make) => {
    await refusedWhole(db, () => anyCall(db, use.strict, make()), 'INVALID_INPUT')
  })

  test('a getter that answers differently each time cannot get past the checks', async () => {
    let reads = 0
    const input = {
      name: 'x',
      get n() {
        return (reads += 1) % 2 === 1 ? 5 : -5
      },
    }
    const answer = await anyCall(db, use.strict, input).then(
      (it) => (it as { n: number }).n,
      (error: { code: string }) => error.code,
    )
    expect([5, 'INVALID_INPUT']).toContain(answer)
  })

  test('the input is taken when the call is made: changing it later changes nothing', async () => {
    const bytes = Uint8Array.from([1, 2, 3])
    const input = { text: 'before', bytes, json: { list: [1] } }
    const answer = db.call(use.echo, input)
    input.text = 'after'
    bytes[0] = 9
    input.json.list.push(2)
    const { text, bytes: kept, json } = await answer
    expectSame(
      { text, kept, json },
      { text: 'before', kept: Uint8Array.from([1, 2, 3]), json: { list: [1] } },
      'the input as it was',
    )
  })

  test('`undefined` is leaving out: defaults apply', async () => {
    expect(await db.call(use.strict, { name: 'x', n: 1, mood: undefined })).toEqual({
      name: 'x',
      n: 1,
      mood: 'up',
    })
  })

  test('one bad input in submitMany is one refused outcome', async () => {
    const outcomes = await db.submitMany(use.strict, [
      { name: 'a', n: 1 },
      { name: 'b', n: 0 },
      { name: 'c', n: 2 },
    ])
    expect(outcomes.map((outcome) => (outcome.ok ? outcome.value.name : outcome.error.code))).toEqual([
      'a',
      'INVALID_INPUT',
      'c',
    ])
  })
})

describe('what is unknown', () => {
  const other = { name: 'odd.nope' }
  test.each<[string, unknown]>([
    ['a look-alike', other],
    ['undefined', undefined],
    ['null', null],
    ['text', 'odd.ping'],
    ['a function', () => 1],
    ['a table', use.odd.tables.sample],
    ['an empty proxy', new Proxy({}, {})],
  ])('call of %s is INVALID_USE', async (_, procedure) => {
    await refusedWhole(db, () => anyCall(db, procedure, {}), 'INVALID_USE')
  })

  test('a procedure of another application is INVALID_USE', async () => {
    const { reset } = await import('../support/apps/schedule-app.js')
    await refusedWhole(db, () => db.call(reset), 'INVALID_USE')
  })

  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['text', 'odd.sample'],
    ['a look-alike', { name: 'odd.sample' }],
    ['an event', use.odd.events.happened],
  ])('table(%s) is INVALID_USE', (_, table) => {
    thrown(() => db.table(table as never), 'INVALID_USE')
  })

  test('a table of another application is INVALID_USE', async () => {
    const { history } = await import('../support/apps/schedule-app.js')
    thrown(() => db.table(history.tables.value), 'INVALID_USE')
  })

  test.each<[string, unknown]>([
    ['an unknown option', { idd: 'x' }],
    ['an id that is no text', { id: 5 }],
    ['an empty id', { id: '' }],
    ['a lone surrogate as id', { id: '\ud800' }],
    ['a signal that is none', { signal: 5 }],
    ['a time-out that is NaN', { timeoutMs: NaN }],
    ['a negative time-out', { timeoutMs: -1 }],
    ['a time-out that is text', { timeoutMs: '5' }],
    ['options that are text', 'id'],
  ])('%s is refused', async (_, options) => {
    await refusedWhole(db, () => anyCall(db, use.ping, {}, options), 'INVALID_USE', 'INVALID_INPUT')
  })

  test.each<[string, object]>([
    ['an unknown option', { worker: 1 }],
    ['workers: -1', { workers: -1 }],
    ['workers: 1.5', { workers: 1.5 }],
    ['workers: NaN', { workers: NaN }],
    ['workers: text', { workers: '1' }],
    ['partitions: 0', { partitions: 0 }],
    ['partitions: NaN', { partitions: NaN }],
    ['an unknown durability', { durability: 'maybe' }],
    ['path: 5', { path: 5 }],
    ['an empty path', { path: '' }],
    ['memory: too little to be one', { memory: { bytes: -1 } }],
    ['memory: NaN', { memory: { bytes: NaN } }],
  ])('open() with %s is INVALID_USE', async (_, options) => {
    await refused(openOnce(oddApp, options), 'INVALID_USE', 'INVALID_INPUT')
  })

  test('open() of something that is no application is refused', async () => {
    for (const application of [undefined, null, {}, 'app', use.odd])
      await refused(openOnce(application as never), 'INVALID_USE', 'INVALID_DEFINITION', 'APP_NOT_LOADED')
  })

  test.each<[string, unknown]>([
    ['text', 'yesterday'],
    ['a number', 5],
    ['null', null],
    ['an invalid Date', new Date(NaN)],
  ])('changes from %s is refused', async (_, from) => {
    const run = async () => {
      for await (const _ of db.changes({ from: from as never })) break
    }
    await refused(run(), 'INVALID_USE', 'INVALID_INPUT')
  })
})

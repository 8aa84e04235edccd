/** Events that join services in one transaction: order, depth, fan-out, fan-in, circles. api.md, section 4. */
import { describe, expect, test } from 'vitest'
import { app, column as c, service, table, type Database, type OpenOptions } from 'sluicedb'
import atomicApp, { begin, join, start } from '../support/apps/atomic-app.js'
import { newFolder, openFor, refused, thrown } from '../support/fixture.js'
import { framesIn, openInside } from '../support/inside.js'
import { randomOf } from '../support/random.js'

const hosts: readonly (readonly [string, OpenOptions])[] = [
  ['workers 0', { workers: 0, partitions: 4 }],
  ['workers 1', { workers: 1, partitions: 4 }],
]
const steps = (db: Database, run: number) => Array.from(db.table(start.tables.trace).scan({ prefix: [run] }), (row) => row.step)

describe.each(hosts)('%s', (_, options) => {
  test('run after the body, in order of emit and declaration; one that waits for several runs when the last has come', async () => {
    const db = await openFor(atomicApp, options)
    await db.call(begin, { run: 1, left: true, right: true, says: 2 })
    expect(steps(db, 1)).toEqual(['begin', 'left', 'right', 'said 0', 'said 1', 'left + right', 'end of start.begun'])
    expect(db.table(join.tables.both).get(1)).toEqual({ run: 1, left: 'left', right: 'right' })
  })

  test('one that waits for several does not run when one is missing, and begins anew in every transaction', async () => {
    const db = await openFor(atomicApp, options)
    await db.call(begin, { run: 1, left: true, right: false })
    await db.call(begin, { run: 1 + 10, left: false, right: true })
    expect(steps(db, 1)).toEqual(['begin', 'left', 'right'])
    expect(db.table(join.tables.both).count()).toBe(0)
    await Promise.all(Array.from({ length: 40 }, (_, n) => db.call(begin, { run: 100 + n * 10, left: n % 2 === 0, right: n % 3 === 0 })))
    const joined = Array.from(db.table(join.tables.both), (row) => row.run).sort((a, b) => a - b)
    expect(joined).toEqual(Array.from({ length: 40 }, (_, n) => n).filter((n) => n % 6 === 0).map((n) => 100 + n * 10))
  })

  test('a failing one undoes the whole transaction', async () => {
    const db = await openFor(atomicApp, options)
    const error = await refused(db.call(begin, { run: 9, left: true, right: true }), 'ABORTED')
    expect(join.aborts.NOT_ODD.is(error)).toBe(true)
    expect([steps(db, 9), db.table(join.tables.both).count()]).toEqual([[], 0])
  })
})

test('any number of workers writes the same frames', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const frames: string[] = []
  for (const workers of [0, 1, 2]) {
    const random = randomOf(seed)
    const path = await newFolder()
    const { db, close } = await openInside(atomicApp, { workers, partitions: 4, path, fixed: { nowMs: 1_000_000, stepMs: 1, seed: 7 } })
    for (let round = 0; round < 10; round += 1) {
      const outcomes = Array.from({ length: 12 }, (_, n) =>
        db.call(begin, { run: round * 12 + n, left: random.chance(0.7), right: random.chance(0.7), says: random.below(3) }).catch(() => undefined),
      )
      await Promise.all(outcomes)
    }
    await close()
    frames.push(framesIn(path).map(({ body }) => Buffer.from(body).toString('hex')).join('\n'))
  }
  expect(frames[1], `seed ${seed}`).toBe(frames[0])
  expect(frames[2], `seed ${seed}`).toBe(frames[0])
  expect(frames[0]!.length).toBeGreaterThan(1_000)
})

const here = import.meta.url
const ring = () => {
  const a = service('a', { events: { x: { n: c.int() } } })
  const b = service('b', { events: { y: { n: c.int() } } })
  const say = a.procedure('say', { input: { n: c.int() } }, (tx, it) => tx.emit('x', it))
  return { a, b, say }
}

describe('circles', () => {
  test('are found when the application is defined, where handlers emit or say that they do', () => {
    const { a, b } = ring()
    b.on(() => a.events.x, { name: 'first', atomic: true }, (tx, { payload }) => tx.emit('y', payload))
    a.on(() => b.events.y, { name: 'second', atomic: true, emits: [a.events.x] }, () => {})
    const error = thrown(() => app(here, [a, b]), 'INVALID_DEFINITION')
    expect(error.details['circle']).toEqual(['a.second', 'b.first'])
    expect(error.message).toContain("'a.second' emits 'a.x', 'b.first' emits 'b.y'")

    const alone = ring()
    alone.a.on(alone.a.events.x, { name: 'again', atomic: true }, (tx, { payload }) => tx.emit('x', payload))
    expect(thrown(() => app(here, [alone.a]), 'INVALID_DEFINITION').details['circle']).toEqual(['a.again'])

    const joined = ring()
    joined.b.on([() => joined.a.events.x, joined.b.events.y], { name: 'both', atomic: true, emits: () => [joined.b.events.y] }, () => {})
    expect(thrown(() => app(here, [joined.a, joined.b]), 'INVALID_DEFINITION').details['circle']).toEqual(['b.both'])
  })

  test('through a handler that runs after the commit are none, and neither are several ways to one handler', () => {
    const { a, b } = ring()
    b.on(() => a.events.x, { name: 'first', atomic: true }, (tx, { payload }) => tx.emit('y', payload))
    a.on(() => b.events.y, { name: 'later' }, (tx, { payload }) => tx.emit('x', payload))
    a.on(() => b.events.y, { name: 'one', atomic: true, emits: [] }, () => {})
    a.on(a.events.x, { name: 'other', atomic: true, emits: [] }, () => {})
    app(here, [a, b])
  })

  test('that no definition shows are refused by the transaction that meets them', async () => {
    const { a, b, say } = ring()
    const name = 'y' as const
    b.on(() => a.events.x, { name: 'first', atomic: true }, (tx, { payload }) => {
      if (payload.n > 0) tx.emit(name, { n: payload.n - 1 })
    })
    a.on(() => b.events.y, { name: 'second', atomic: true }, (tx, { payload }) => tx.call(say, payload))
    const db = await openFor(app(here, [a, b]))
    await db.call(say, { n: 0 })
    const error = await refused(db.call(say, { n: 1 }), 'INVALID_USE')
    expect(error.details['circle']).toEqual(['b.first', 'a.second'])
    expect(error.message).toContain('b.first → a.second → b.first')
  })

  test('a handler that says what it emits is held to it, also in what it calls', async () => {
    const { a, b, say } = ring()
    const other = service('other', { events: { z: {} }, tables: { t: table({ columns: { n: c.int() }, key: ['n'] }) } })
    const shout = other.procedure('shout', {}, (tx) => tx.emit('z'))
    b.on(() => a.events.x, { name: 'first', atomic: true, emits: () => [b.events.y] }, (tx, { payload }) => {
      tx.emit('y', payload)
      if (payload.n === 1) tx.call(shout)
    })
    const db = await openFor(app(here, [a, b, other]))
    await db.call(say, { n: 0 })
    const { message } = await refused(db.call(say, { n: 1 }), 'INVALID_USE')
    expect(message).toContain('"other.z"')
  })
})

test('what cannot be is refused when it is defined', () => {
  const { a, b } = ring()
  const on = (...args: unknown[]) => (a.on as (...args: unknown[]) => void).apply(a, args)
  const both = [a.events.x, () => b.events.y]
  for (const [n, [events, options, words]] of (
    [
      [both, {}, 'only atomic: true'],
      [[a.events.x], { atomic: true }, 'list of 1'],
      [[], { atomic: true }, 'list of 0'],
      [[a.events.x, 1], { atomic: true }, 'must be an event'],
      [a.events.x, { emits: [] }, 'leave emits out'],
      [a.events.x, { atomic: true, emits: 1 }, 'emits of handler'],
    ] as const
  ).entries()) {
    expect(thrown(() => on(events, { name: `h${n}`, ...options }, () => {}), 'INVALID_DEFINITION').message).toContain(words)
  }
  const twice = ring()
  twice.a.on([twice.a.events.x, () => twice.a.events.x], { name: 'twice', atomic: true }, () => {})
  expect(thrown(() => app(here, [twice.a]), 'INVALID_DEFINITION').message).toContain("'a.x' twice")
  const strange = ring()
  strange.a.on(strange.a.events.x, { name: 'strange', atomic: true, emits: () => [strange.b.events.y] }, () => {})
  expect(thrown(() => app(here, [strange.a]), 'INVALID_DEFINITION').message).toContain("'b.y'")
})

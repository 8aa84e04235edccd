/**
 * Inside a procedure the clock, randomness and timers are the transaction's; outside they are untouched.
 * design.md, section 3.
 */
import { describe, expect, test } from 'vitest'
import clockApp, * as use from '../support/apps/clock-app.js'
import { newFolder, openFor, openOnce, refused, take } from '../support/fixture.js'
import { expectSame } from '../support/same.js'

describe.each([0, 1, 2])('workers %i', (workers) => {
  const start = () => openFor(clockApp, { workers, partitions: 4 })

  test('every clock shows tx.now and stands still', async () => {
    const db = await start()
    const before = Date.now()
    const { before: first, after, now, text, zoned, instance, parsed, utc } = await db.call(use.times)
    expectSame(after, first, 'the clocks after a busy while')
    expectSame(first.slice(0, 4), [now, now, now, now], 'every way to ask for the time')
    expect(new Date(Date.parse(text)).getTime()).toBe(Math.floor(now / 1_000) * 1_000)
    expect([zoned, instance, parsed, utc]).toEqual([0, true, 1_577_836_800_000, 1_577_836_800_000])
    expect(Math.abs(now - before)).toBeLessThan(60_000)
    expect(Number.isInteger(now)).toBe(true)
  })

  test('tx.now never runs backwards, is one for a batch, and is what the log says', async () => {
    const db = await start()
    const nows: number[] = []
    for (let id = 0; id < 50; id += 1) nows.push(await db.call(use.put, { id }))
    expect(nows.toSorted((one, other) => one - other)).toEqual(nows)
    const commits = await take(db.changes({ from: 'beginning' }), 50)
    expect(commits.map((commit) => commit.time)).toEqual(nows)
    const together = await Promise.all(Array.from({ length: 20 }, (_, id) => db.submit(use.put, { id })))
    const times = together
      .sort((one, other) => (one.position < other.position ? -1 : 1))
      .map((receipt) => receipt.value)
    expect(times.toSorted((one, other) => one - other)).toEqual(times)
    if (workers === 0) expect(new Set(times).size, 'one tick is one batch').toBe(1)
  })

  test('draws are in range, well formed, and different everywhere', async () => {
    const db = await start()
    const draws = await Promise.all(Array.from({ length: 200 }, () => db.call(use.draw)))
    const numbers = draws.flatMap((it) => [...it.tx, ...it.math])
    for (const it of numbers) expect(it >= 0 && it < 1).toBe(true)
    expect(new Set(draws.flatMap((it) => it.tx)).size).toBe(600)
    expect(new Set(draws.flatMap((it) => it.math)).size).toBe(400)
    const mean = numbers.reduce((sum, it) => sum + it, 0) / numbers.length
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.1)
    const uuids = draws.flatMap((it) => [...it.uuids, it.crypto])
    expect(new Set(uuids).size).toBe(600)
    for (const uuid of uuids)
      expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-[4-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(new Set(draws.map((it) => Buffer.from(it.bytes).toString('hex'))).size).toBe(200)
    const ones = draws
      .flatMap((it) => [...it.bytes])
      .reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0)
    expect(Math.abs(ones / (200 * 128) - 0.5)).toBeLessThan(0.05)
  })

  test('timers set in a procedure never fire', async () => {
    const db = await start()
    const outcome = await db.call(use.timers).catch((error: { code: string }) => error.code)
    if (typeof outcome === 'string') expect(outcome).toBe('PROCEDURE_FAILED')
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(use.timersFired).toBe(0)
  })
})

test('two databases draw differently', async () => {
  const [one, other] = [await openFor(clockApp), await openFor(clockApp)]
  const [first, second] = [await one.call(use.draw), await other.call(use.draw)]
  expect(new Set([...first.tx, ...second.tx, ...first.math, ...second.math]).size).toBe(10)
  expect(new Set([...first.uuids, ...second.uuids]).size).toBe(4)
})

test('a reopened database does not draw the same again', async () => {
  const path = await newFolder()
  const seen = new Set<string>()
  for (let round = 0; round < 4; round += 1) {
    const db = await openOnce(clockApp, { path })
    seen.add((await db.call(use.drawAt, { at: 1, ids: [1] })).uuids[0]!)
    await db.close()
  }
  expect(seen.size).toBe(4)
})

test('a transaction that strays draws in its second run what it drew in its first', async () => {
  const db = await openFor(clockApp, { workers: 0, partitions: 8 })
  let strayed = 0
  for (let at = 0; at < 20; at += 1) {
    use.drawn.length = 0
    const answers = await Promise.all([
      db.call(use.drawAt, { at, ids: [at] }),
      db.call(use.drawAt, { at, ids: [at, at + 1, at + 2, at + 3] }),
    ])
    expect(use.drawn.length).toBeGreaterThanOrEqual(2)
    if (use.drawn.length > 2) strayed += 1
    for (const drawn of use.drawn) expect(answers).toContainEqual(drawn)
  }
  expect(strayed, 'some of these must have strayed').toBeGreaterThan(0)
})

describe('outside, workers 0', () => {
  const globals = () => [
    Date,
    Date.now,
    Math.random,
    globalThis.crypto,
    crypto.randomUUID,
    crypto.getRandomValues,
    performance.now,
    setTimeout,
    setInterval,
    setImmediate,
    Math,
    performance,
  ]

  test.each(['none', 'abort', 'overflow', 'promise', 'throw'])(
    'the globals are the same objects after a procedure that ends with: %s',
    async (how) => {
      const db = await openFor(clockApp)
      const before = globals()
      const calls = [
        how === 'none'
          ? db.call(use.draw)
          : refused(db.call(use.boom, { how }), 'ABORTED', 'PROCEDURE_FAILED'),
        db.call(use.times),
      ]
      globals().forEach((it, at) => expect(it).toBe(before[at]))
      await Promise.all(calls)
      globals().forEach((it, at) => expect(it).toBe(before[at]))
    },
  )

  test('the clock moves between calls, and randomness is real', async () => {
    const db = await openFor(clockApp)
    const { now } = await db.call(use.times)
    await new Promise((resolve) => setTimeout(resolve, 15))
    expect(Date.now()).toBeGreaterThan(now)
    expect(new Date().getTime()).toBeGreaterThan(now)
    expect((await db.call(use.times)).now).toBeGreaterThan(now)
    expect(Math.random()).not.toBe(Math.random())
  })

  test('code that runs while a batch is on its way sees the real globals', async () => {
    const db = await openFor(clockApp, { path: await newFolder() })
    const real = [Date, Math.random, setTimeout]
    const seen: boolean[] = []
    const watch = () => seen.push([Date, Math.random, setTimeout].every((it, at) => it === real[at]))
    for (let round = 0; round < 20; round += 1) {
      const call = db.call(use.drawAt, { at: 1, ids: [1] })
      queueMicrotask(watch)
      process.nextTick(watch)
      setImmediate(watch)
      await call.then(watch)
    }
    expect(seen.every(Boolean)).toBe(true)
  })
})

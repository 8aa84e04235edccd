/** Durable consumers: order by key, redelivery, parking, effects once, groups, pause, reset, deleting. docs/consumers.md. */
import { describe, expect, test } from 'vitest'
import { type Commit, type Consumer, type Database, type Delivery, type OpenOptions, Position, SluiceError } from 'sluicedb'
import consumersApp, { countOf, note, order, post, shop } from '../support/apps/consumers-app.js'
import { newFolder, openFor, openOnce, refused, until, within } from '../support/fixture.js'

const events = [shop.events.ordered]
const quick = { limit: 3, backoffMs: 1, backoffMsMax: 2 }
const numbers = (db: Database, customer: string) => Array.from(db.table(post.tables.seen).scan({ prefix: [customer] }), (row) => row.n)
const idle = (consumer: Consumer) => until(() => !consumer.inspect().isBehind, 'the consumer is at the end of the log')
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const customerOf = (commit: Commit<never, { payload: { customer: string } }>) => commit.events[0]!.payload.customer

async function orders(db: Database, customer: string, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 1) await db.call(order, { customer, n })
}

const hosts: readonly (readonly [string, OpenOptions])[] = [
  ['workers 0', { workers: 0, partitions: 4 }],
  ['workers 1', { workers: 1, partitions: 4 }],
]

describe.each(hosts)('%s', (_, options) => {
  test('each commit is handled once, in order, and nothing of the consumer is in any stream', async () => {
    const db = await openFor(consumersApp, options)
    const stream = db.changes({ from: 'beginning' })
    await orders(db, 'ann', 0, 20)
    const seen: number[] = []
    const consumer = await db.consumer('all', { events, from: 'beginning' }, async (commit, { attempt, key }) => {
      expect(attempt).toBe(1)
      expect(key).toBe(`all:${commit.position}`)
      await sleep(0)
      for (const event of commit.events) seen.push(event.payload.n)
    })
    await orders(db, 'ann', 20, 30)
    await idle(consumer)
    expect(seen).toEqual(Array.from({ length: 30 }, (_, n) => n))
    expect(consumer.inspect()).toMatchObject({ name: 'all', handled: 30, redelivered: 0, parked: 0, dead: 0, waiting: 0, inFlight: 0, behindBatches: 0, members: 1, stoppedBy: undefined })
    expect(db.stats().consumers).toEqual([consumer.inspect()])
    await consumer.close()
    await db.call(order, { customer: 'last', n: 0 })
    const names: unknown[] = []
    for await (const commit of stream) {
      names.push(commit.procedure)
      if (commit.changes.some((change) => change.key?.toString() === 'last,0')) break
    }
    expect(names).toEqual(Array.from({ length: 31 }, () => 'shop.order'))
  })

  test('a key that is poisoned is parked with what comes behind it, others go on; told to go on, it does so in order', async () => {
    const db = await openFor(consumersApp, options)
    let isBroken = true
    const seen: string[] = []
    const consumer = await db.consumer('mail', { events, key: customerOf, redelivery: quick }, async (commit, delivery) => {
      const { customer, n } = commit.events[0]!.payload
      if (isBroken && customer === 'bob' && n === 1) throw new Error('no such street')
      await delivery.call(note, { customer, n })
      seen.push(`${customer} ${n}`)
    })
    for (let n = 0; n < 4; n += 1) for (const customer of ['ann', 'bob']) await db.call(order, { customer, n })
    await idle(consumer)
    expect(numbers(db, 'ann')).toEqual([0, 1, 2, 3])
    expect(numbers(db, 'bob')).toEqual([0])
    expect(consumer.inspect()).toMatchObject({ parked: 3, dead: 0, redelivered: 2, lastFailure: { attempt: 3, message: 'no such street' } })
    const parked = consumer.parked()
    expect(parked.map(({ key, state, attempts, message }) => [key, state, attempts, message])).toEqual([
      ['bob', 'parked', 3, 'no such street'],
      ['bob', 'parked', 0, 'What its key came to before is parked.'],
      ['bob', 'parked', 0, 'What its key came to before is parked.'],
    ])
    expect(parked.map(({ commit }) => commit!.events[0]!.payload['n'])).toEqual([1, 2, 3])
    expect(db.consumers.parked('mail', { key: 'bob', limit: 1, after: parked[0]!.position })).toEqual([parked[1]])
    expect(await consumer.unpark('bob')).toBe(true) // still broken: parked again, with what was behind it
    await until(() => consumer.inspect().lastFailure!.attempt === 3 && consumer.parked({ state: 'released' }).length === 0, 'parked again')
    isBroken = false
    expect(await consumer.unpark('bob')).toBe(true)
    await db.call(order, { customer: 'bob', n: 4 })
    await until(() => consumer.inspect().parked === 0, 'nothing is parked')
    await idle(consumer)
    expect(numbers(db, 'bob')).toEqual([0, 1, 2, 3, 4])
    expect(await consumer.unpark('bob')).toBe(false)
  })

  test('a call of a delivery has its effect once, however often its handler runs, and a refusal is tried again', async () => {
    const db = await openFor(consumersApp, options)
    const consumer = await db.consumer('effects', { events, redelivery: { limit: 10, backoffMs: 1, backoffMsMax: 1 } }, async (commit, delivery) => {
      const { customer, n } = commit.events[0]!.payload
      const first = await delivery.submit(note, { customer, n })
      expect(first.repeated).toBe(delivery.attempt > 1)
      expect(await delivery.call(countOf, { customer })).toBe(first.value)
      if (delivery.attempt === 3) await db.call(note, { customer: 'gate', n })
      await delivery.call(note, { customer: 'other', n, by: 'gated' })
      if (delivery.attempt < 5) throw new Error('again')
    })
    await db.call(order, { customer: 'ann', n: 7 })
    await idle(consumer)
    expect(numbers(db, 'gate')).toEqual([7])
    expect(numbers(db, 'ann')).toEqual([7])
    expect(numbers(db, 'other')).toEqual([7])
    expect(consumer.inspect()).toMatchObject({ handled: 1, redelivered: 4 })
  })

  // A handler that was mended once met its own refusal of before as ID_REUSED, for good.
  test('after a refusal a handler may ask for something else, and after a commit it may not', async () => {
    const db = await openFor(consumersApp, options)
    const codes: string[] = []
    const consumer = await db.consumer('mended', { events, redelivery: { limit: 10, backoffMs: 1, backoffMsMax: 1 } }, async (commit, delivery) => {
      const { customer, n } = commit.events[0]!.payload
      const by = ['gated', 'mended', 'changed'][delivery.attempt - 1] ?? 'mended'
      await delivery.call(note, { customer, n, by }).catch((error: unknown) => {
        codes.push(SluiceError.is(error) ? error.code : String(error))
        throw error
      })
      if (delivery.attempt < 4) throw new Error('again')
    })
    await db.call(order, { customer: 'ann', n: 7 })
    await idle(consumer)
    expect(codes).toEqual(['ABORTED', 'ID_REUSED'])
    expect([...db.table(post.tables.seen)].map(({ n, by }) => [n, by])).toEqual([[7, 'mended']])
    expect(consumer.inspect()).toMatchObject({ handled: 1, redelivered: 3 })
  })
})

test('not now, and never: a delay that is kept, and a commit that is set aside at once while its key goes on', async () => {
  const db = await openFor(consumersApp)
  const seen: string[] = []
  let startedMs = 0
  const consumer = await db.consumer('picky', { events, key: customerOf, redelivery: quick }, (commit, delivery) => {
    const { n } = commit.events[0]!.payload
    seen.push(`${n}/${delivery.attempt}`)
    if (n === 0 && delivery.attempt === 1) {
      startedMs = performance.now()
      delivery.nak({ delayMs: 40 })
    }
    if (n === 1) delivery.terminate('nobody can read this')
    if (n === 0 && delivery.attempt === 2) expect(performance.now() - startedMs).toBeGreaterThan(35)
  })
  await orders(db, 'ann', 0, 3)
  await idle(consumer)
  expect(seen).toEqual(['0/1', '0/2', '1/1', '2/1'])
  const [dead] = consumer.parked({ state: 'dead' })
  expect(dead).toMatchObject({ key: 'ann', state: 'dead', attempts: 1, message: 'nobody can read this', code: undefined })
  expect(await consumer.unpark({ position: dead!.position })).toBe(true)
  await until(() => seen.length === 5, 'tried again')
  await until(() => consumer.inspect().dead === 1 && consumer.parked({ state: 'released' }).length === 0, 'dead again')
  expect(await consumer.discard({ position: dead!.position })).toBe(1)
  expect(consumer.parked()).toEqual([])
  expect(await consumer.discard({ position: dead!.position })).toBe(0)
})

test('without a key the whole consumer is in order: it waits behind what is parked, until that is tried again or dropped', async () => {
  const db = await openFor(consumersApp)
  const seen: number[] = []
  const consumer = await db.consumer('one', { events, redelivery: quick }, (commit) => {
    const { n } = commit.events[0]!.payload
    if (n === 1) throw new Error('never')
    seen.push(n)
  })
  await orders(db, 'ann', 0, 5)
  await until(() => consumer.inspect().parked === 1, 'one is parked')
  await sleep(20)
  expect(seen).toEqual([0])
  expect(consumer.inspect()).toMatchObject({ isBehind: true, parked: 1 })
  expect(await consumer.discard()).toBe(1)
  await idle(consumer)
  expect(seen).toEqual([0, 2, 3, 4])
})

test('a commit that needs no order holds nobody up, and a key that cannot be found sets its commit aside', async () => {
  const db = await openFor(consumersApp)
  const seen: number[] = []
  const key = (commit: Parameters<typeof customerOf>[0] & { events: readonly { payload: { n: number } }[] }) => {
    if (commit.events[0]!.payload.n === 2) throw new Error('no key for it')
    return undefined
  }
  const consumer = await db.consumer('loose', { events, key, redelivery: { limit: 1 } }, (commit) => {
    const { n } = commit.events[0]!.payload
    if (n === 0) throw new Error('never')
    seen.push(n)
  })
  await orders(db, 'ann', 0, 4)
  await idle(consumer)
  expect(seen).toEqual([1, 3])
  expect(consumer.parked().map(({ state, message }) => [state, message])).toEqual([
    ['parked', 'never'],
    ['dead', 'The key of this commit could not be found: no key for it'],
  ])
  expect(await consumer.discard({ position: consumer.parked()[0]!.position })).toBe(1)
})

test('a commit whose key cannot be found sets nobody free: one that was told to go on is with one handler at a time', async () => {
  const db = await openFor(consumersApp)
  let open = (): void => undefined
  const gate = new Promise<void>((resolve) => (open = resolve))
  const begun: number[] = []
  const key = (commit: Commit<never, { payload: { n: number } }>) => {
    if ([2, 5].includes(commit.events[0]!.payload.n)) throw new Error('no key for it')
    return 'all others'
  }
  const consumer = await db.consumer('loose', { events, key }, async (commit) => {
    const { n } = commit.events[0]!.payload
    begun.push(n)
    if (n === 2) await gate
  })
  await orders(db, 'ann', 0, 4)
  await idle(consumer)
  expect(await consumer.unpark({ position: consumer.parked()[0]!.position })).toBe(true)
  await until(() => begun.includes(2), 'it is with its handler')
  await orders(db, 'ann', 4, 6)
  await until(() => consumer.parked({ state: 'dead' }).length === 1, 'the next one without a key is set aside')
  await sleep(20)
  expect(begun).toEqual([0, 1, 3, 2, 4])
  expect(consumer.inspect().inFlight).toBe(1)
  // Each of them stands alone: the second one does not wait for the first.
  expect(await consumer.unpark({ position: consumer.parked({ state: 'dead' })[0]!.position })).toBe(true)
  await until(() => begun.includes(5), 'it is handled')
  open()
  await until(() => consumer.parked().length === 0, 'both are done')
  expect(begun).toEqual([0, 1, 3, 2, 4, 5])
})

test('members share the work of one name: no commit twice, one member for a key at a time, and who stays takes over', async () => {
  const db = await openFor(consumersApp)
  const busy = new Set<string>()
  const by = new Map<string, Set<string>>()
  const options = { events, key: customerOf, group: true, concurrency: 4, redelivery: quick } as const
  const handlerOf = (member: string) => async (commit: Parameters<typeof customerOf>[0] & { events: readonly { payload: { n: number } }[] }, delivery: Delivery) => {
    const { customer, n } = commit.events[0]!.payload
    expect(busy.has(customer), `${customer} is with one member`).toBe(false)
    busy.add(customer)
    try {
      await sleep(1)
      if (delivery.signal.aborted) throw new Error('leaving')
      await delivery.call(note, { customer, n, by: member })
      by.set(member, (by.get(member) ?? new Set()).add(customer))
    } finally {
      busy.delete(customer)
    }
  }
  const first = await db.consumer('team', options, handlerOf('first'))
  const second = await db.consumer('team', options, handlerOf('second'))
  const customers = Array.from({ length: 12 }, (_, k) => `c${k}`)
  const round = (n: number) => Promise.all(customers.map((customer) => db.call(order, { customer, n })))
  for (let n = 0; n < 5; n += 1) await round(n)
  await idle(first)
  expect(first.inspect()).toEqual(second.inspect())
  expect(first.inspect().members).toBe(2)
  expect([by.get('first')!.size + by.get('second')!.size, by.get('second')!.size > 0]).toEqual([12, true])
  const third = round(5)
  await second.close()
  await third
  await round(6)
  await idle(first)
  for (const customer of customers) expect(numbers(db, customer)).toEqual([0, 1, 2, 3, 4, 5, 6])
  await refused(db.consumer('team', { events, key: customerOf }, () => undefined), 'INVALID_USE')
  await refused(db.consumer('team', { tables: [shop.tables.order], group: true }, () => undefined), 'INVALID_USE')
  expect(() => second.inspect()).toThrow(/closed/)
})

test('a name is open once, unless all say that they are a group', async () => {
  const db = await openFor(consumersApp)
  await db.consumer('mine', { events }, () => undefined)
  const error = await refused(db.consumer('mine', { events, group: true }, () => undefined), 'INVALID_USE')
  expect(error.message).toContain('group: true')
})

test('paused and resumed, durably; reset begins anew, and its calls are made again', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const }
  const first = await openOnce(consumersApp, options)
  const handle = async (commit: { events: readonly { payload: { customer: string; n: number } }[] }, delivery: Delivery) => {
    await delivery.call(note, commit.events[0]!.payload)
  }
  const early = await first.consumer('slow', { events }, handle)
  const receipt = await first.submit(order, { customer: 'ann', n: 0 })
  await idle(early)
  await early.pause()
  await orders(first, 'ann', 1, 3)
  await sleep(10)
  expect(numbers(first, 'ann')).toEqual([0])
  await first.close()
  const second = await openFor(consumersApp, options)
  expect(second.consumers.list()).toMatchObject([{ name: 'slow', isPaused: true, isOpen: false }])
  const late = await second.consumer('slow', { events, from: 'beginning' }, handle)
  await sleep(10)
  expect(late.inspect()).toMatchObject({ isPaused: true, isBehind: true, handled: 0 })
  await late.resume()
  await idle(late)
  expect(numbers(second, 'ann')).toEqual([0, 1, 2])
  await late.reset(receipt.position)
  await until(() => numbers(second, 'ann').length === 5, 'what is behind the position once more')
  expect(numbers(second, 'ann')).toEqual([0, 1, 2, 1, 2])
  await late.reset('now')
  await late.reset(new Date(0))
  await until(() => numbers(second, 'ann').length === 8, 'everything once more')
  await refused(late.reset(undefined as never), 'INVALID_USE')
})

test('what is parked is there after a restart and a checkpoint, with what its calls have done', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const, retention: { bytes: 0 } }
  let isBroken = true
  const handle = async (commit: { events: readonly { payload: { customer: string; n: number } }[] }, delivery: Delivery) => {
    const { customer, n } = commit.events[0]!.payload
    await delivery.call(note, { customer, n })
    if (isBroken && n === 1) throw new Error('behind its effect')
    await delivery.call(note, { customer: 'total', n })
  }
  const asked = { events, key: customerOf, redelivery: quick }
  const first = await openOnce(consumersApp, options)
  const early = await first.consumer('keeps', asked, handle)
  await orders(first, 'ann', 0, 3)
  await orders(first, 'eve', 0, 1)
  await idle(early)
  await early.close() // its mark has passed what is parked
  await first.checkpoint()
  await first.checkpoint()
  await orders(first, 'zoe', 0, 1)
  await first.close()

  const second = await openFor(consumersApp, options)
  isBroken = false
  const late = await second.consumer('keeps', asked, handle)
  await idle(late)
  expect(late.parked().map(({ key, attempts }) => [key, attempts])).toEqual([['ann', 3], ['ann', 0]])
  expect(await late.unpark('ann')).toBe(true)
  await until(() => late.inspect().parked === 0, 'nothing is parked')
  expect(numbers(second, 'ann')).toEqual([0, 1, 2])
  expect(numbers(second, 'total').sort()).toEqual([0, 0, 0, 1, 2])
})

test('what came behind a parked commit and makes its first call when it goes on has its effect once, whatever checkpoint comes (seed 1984248145 of the model)', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const, retention: { bytes: 0 } }
  let broken = 0
  const asked = { events, key: customerOf, redelivery: quick }
  const handle = async (commit: { events: readonly { payload: { customer: string; n: number } }[] }, delivery: Delivery) => {
    const { customer, n } = commit.events[0]!.payload
    if (n === broken && n === 0) throw new Error('before its effect')
    await delivery.call(note, { customer, n })
    if (n === broken) throw new Error('behind its effect')
  }
  const first = await openOnce(consumersApp, options)
  const early = await first.consumer('goes', asked, handle)
  await orders(first, 'ann', 0, 2)
  await idle(early)
  await early.close() // its mark has passed both, and neither has made a call
  const again = await first.consumer('goes', asked, handle)
  broken = 1
  expect(await again.unpark('ann')).toBe(true)
  await until(() => first.consumers.parked('goes', { state: 'parked' }).some(({ attempts }) => attempts === 3), 'the second one is parked by itself')
  for (let n = 0; n < 2; n += 1) await first.checkpoint()
  await first.close()

  broken = -1
  const second = await openFor(consumersApp, options)
  const late = await second.consumer('goes', asked, handle)
  expect(await late.unpark('ann')).toBe(true)
  await until(() => second.consumers.parked('goes').length === 0, 'nothing is parked')
  expect(numbers(second, 'ann')).toEqual([0, 1])
})

test('what was parked and came to its end before the log was read as far again is not delivered again (seed 1001 of the model)', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const }
  let gate = (): void => undefined
  const opened = new Promise<void>((resolve) => (gate = resolve))
  const delivered: string[] = []
  const first = await openOnce(consumersApp, options)
  const asked = { events, key: customerOf, redelivery: quick }
  const early = await first.consumer('goes', asked, async (commit) => {
    const { customer } = commit.events[0]!.payload
    if (customer === 'ann') await opened // the mark stays before both
    throw new Error('not now')
  })
  await orders(first, 'ann', 0, 1)
  await orders(first, 'bob', 0, 2)
  await until(() => early.inspect().parked === 2, 'both of bob are parked')
  await early.pause()
  gate()
  await first.close()

  const second = await openFor(consumersApp, options)
  const late = await second.consumer('goes', asked, (commit) => void delivered.push(`${commit.events[0]!.payload.customer} ${commit.events[0]!.payload.n}`))
  expect(late.inspect().isPaused).toBe(true)
  const [one] = late.parked()
  expect(await late.discard({ position: one!.position })).toBe(1)
  await late.resume()
  await idle(late)
  expect(delivered).toEqual(['ann 0'])
  expect(await late.unpark('bob')).toBe(true)
  await until(() => late.inspect().parked === 0, 'nothing is parked')
  expect(delivered).toEqual(['ann 0', 'bob 1'])
})

test('a consumer that is deleted leaves nothing: neither cursor, nor parked commits, nor ids', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const }
  const db = await openFor(consumersApp, options)
  const handle = async (commit: { events: readonly { payload: { customer: string; n: number } }[] }, delivery: Delivery) => {
    await delivery.call(note, commit.events[0]!.payload)
    throw new Error('never')
  }
  const consumer = await db.consumer('gone', { events, key: customerOf, redelivery: { limit: 1 } }, handle)
  await orders(db, 'ann', 0, 3)
  await idle(consumer)
  await refused(db.consumers.delete('gone'), 'INVALID_USE')
  await consumer.close()
  expect(db.consumers.list().map(({ name }) => name)).toEqual(['gone'])
  expect(await db.consumers.delete('gone')).toBe(true)
  expect(await db.consumers.delete('gone')).toBe(false)
  expect([db.consumers.list(), db.consumers.parked('gone')]).toEqual([[], []])
  await db.checkpoint()
  const again = await db.consumer('gone', { events, from: 'beginning', redelivery: { limit: 1 } }, async (commit, delivery) => {
    await delivery.call(note, { customer: 'again', n: commit.events[0]!.payload.n })
  })
  await idle(again)
  expect(numbers(db, 'again')).toEqual([0, 1, 2])
})

test('a handler that does not end holds up its key alone, and closing waits for it no longer than a bound', { timeout: 20_000 }, async () => {
  const db = await openFor(consumersApp)
  const seen: string[] = []
  let signal: AbortSignal | undefined
  const consumer = await db.consumer('stuck', { events, key: customerOf }, async (commit, delivery) => {
    const { customer, n } = commit.events[0]!.payload
    if (customer === 'bob') {
      signal = delivery.signal
      await new Promise(() => undefined)
    }
    seen.push(`${customer} ${n}`)
  })
  for (let n = 0; n < 3; n += 1) for (const customer of ['ann', 'bob']) await db.call(order, { customer, n })
  await until(() => seen.length === 3 && consumer.inspect().inFlight === 1, 'the other key')
  expect(consumer.inspect()).toMatchObject({ inFlight: 1, waiting: 5, isBehind: true })
  expect(signal!.aborted).toBe(false)
  await within(8_000, 'closing', db.close())
  expect(signal!.aborted).toBe(true)
})

test('a commit that is too long to be kept is read from the log again; reasons and keys have bounds', async () => {
  const db = await openFor(consumersApp, { path: await newFolder(), durability: 'os' })
  const long = 'long '.repeat(300_000)
  let isBroken = true
  const seen: number[] = []
  const options = { tables: [shop.tables.order], key: (commit: { changes: readonly { after?: { note: string } | undefined }[] }) => (commit.changes[0]!.after!.note.length === 2_000 ? commit.changes[0]!.after!.note : 'short'), redelivery: { limit: 1 } }
  const consumer = await db.consumer('long', options, (commit) => {
    if (isBroken) throw new Error('x'.repeat(5_000))
    seen.push(commit.changes[0]!.after!.note.length)
  })
  await db.call(order, { customer: 'ann', n: 0, note: long })
  await db.call(order, { customer: 'ann', n: 1, note: 'k'.repeat(2_000) })
  await until(() => consumer.parked().length === 2, 'both are set aside')
  const [first, second] = consumer.parked()
  expect([first!.commit, first!.message.length, first!.key]).toEqual([undefined, 1_000, 'short'])
  expect(second).toMatchObject({ state: 'dead', attempts: 1, code: 'INVALID_USE' })
  isBroken = false
  expect(await consumer.unpark('short')).toBe(true)
  await until(() => seen.length === 1, 'the long one')
  expect(seen).toEqual([long.length])
})

test('memory is bounded: of a log that nobody handles, a part is taken', async () => {
  const db = await openFor(consumersApp)
  const consumer = await db.consumer('part', { events }, (_, { signal }) => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())))
  await db.submitMany(order, Array.from({ length: 3_000 }, (_, n) => ({ customer: `c${n % 50}`, n })))
  await until(() => consumer.inspect().waiting >= 1_024, 'as many as may be')
  await db.call(order, { customer: 'last', n: 0 })
  await sleep(5)
  // What was read with the last one that fitted came in one frame.
  expect(consumer.inspect()).toMatchObject({ inFlight: 1, isBehind: true })
  expect(consumer.inspect().waiting).toBeLessThan(1_024 + 4_096)
  await within(8_000, 'closing', consumer.close())
})

test('what a delivery gives is of use while its handler runs, and wrong options are refused by name', async () => {
  const db = await openFor(consumersApp)
  let kept: Delivery | undefined
  const consumer = await db.consumer('kept', { events }, (_, delivery) => void (kept = delivery))
  await db.call(order, { customer: 'ann', n: 0 })
  await idle(consumer)
  await refused(kept!.call(note, { customer: 'ann', n: 0 }), 'INVALID_USE')
  expect(() => kept!.nak()).toThrow(/has ended/)
  const nothing = () => undefined
  for (const [name, options, handler] of [
    ['', { events }, nothing], ['a:b', { events }, nothing], ['x', { evnts: [] }, nothing], ['x', { concurrency: 0 }, nothing], ['x', { key: 'customer' }, nothing],
    ['x', { redelivery: { limit: 0 } }, nothing], ['x', { redelivery: { often: 1 } }, nothing], ['x', { group: 'yes' }, nothing], ['x', { from: 'then' }, nothing], ['x', { onStop: 1 }, nothing],
    ['x', null, nothing], ['x', {}, 'handler'],
  ] as const) {
    await refused((db.consumer as (...all: unknown[]) => Promise<unknown>)(name, options, handler), 'INVALID_USE')
  }
  expect(() => consumer.parked({ limit: 0 })).toThrow(/limit/)
  await refused(consumer.unpark({ position: 'nowhere' as never }), 'INVALID_USE')
  expect(await consumer.unpark({ position: Position.parse(`${'0'.repeat(16)}-00000000`) })).toBe(false)
})

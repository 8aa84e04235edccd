/** Ids: one outcome per id, whatever happens in between. api.md, section 2. */
import { describe, expect, test } from 'vitest'
import type { Database, OpenOptions } from 'sluicedb'
import bankApp, { bank, deposit, forbid, look, openAccount, transfer } from '../support/apps/bank-app.js'
import oddApp, { ending, odd, prepare } from '../support/apps/odd-app.js'
import { newFolder, openFor, openOnce, refused, take } from '../support/fixture.js'
import { canon, expectSame } from '../support/same.js'
import { randomOf, seeds, withSeed } from '../support/random.js'

const hosts: readonly (readonly [string, OpenOptions])[] = [
  ['workers 0', { workers: 0, partitions: 4 }],
  ['workers 2', { workers: 2, partitions: 8 }],
]
const balance = (db: Database, id: string) => db.table(bank.tables.account).value(id, 'balance')

describe.each(hosts)('%s', (_, options) => {
  const start = async (more: OpenOptions = {}) => {
    const db = await openFor(bankApp, { ...options, ...more })
    for (const id of ['ann', 'bob']) await db.call(openAccount, { id, balance: 100 })
    return db
  }

  test('a repeat returns the recorded answer, position and level, and does nothing', async () => {
    const db = await start()
    const input = { to: 'ann', amount: 5, n: 1 }
    const first = await db.submit(deposit, input, { id: 'd1' })
    const second = await db.submit(deposit, { ...input }, { id: 'd1' })
    expect(first.repeated).toBe(false)
    // The random number and the uuid inside the answer show that this is the record, not a second run.
    expectSame(second, { ...first, repeated: true }, 'the repeat')
    expect(balance(db, 'ann')).toBe(105)
    expect(await db.call(deposit, input, { id: 'd1' })).toEqual(first.value)
  })

  test('aborts, constraint errors and failures are recorded too', async () => {
    const db = await start()
    const poor = { from: 'ann', to: 'bob', amount: 500, n: 1 }
    const first = await refused(db.call(transfer, poor, { id: 'poor' }), 'ABORTED')
    await db.call(deposit, { to: 'ann', amount: 1_000, n: 2 })
    const second = await refused(db.call(transfer, poor, { id: 'poor' }), 'ABORTED')
    expect(bank.aborts.INSUFFICIENT_FUNDS.is(second)).toBe(true)
    expectSame([second.reason, second.details], [first.reason, first.details], 'the recorded abort')
    expectSame(second.details, { balance: 100 }, 'its details')
    await refused(db.call(openAccount, { id: 'ann' }, { id: 'again' }), 'CONSTRAINT')
    await refused(db.call(openAccount, { id: 'ann' }, { id: 'again' }), 'CONSTRAINT')
    await refused(db.call(deposit, { to: 'eve', amount: 1, n: 9 }, { id: 'nobody' }), 'NOT_FOUND')
    await db.call(openAccount, { id: 'eve' })
    await refused(db.call(deposit, { to: 'eve', amount: 1, n: 9 }, { id: 'nobody' }), 'NOT_FOUND')
    expect([balance(db, 'ann'), balance(db, 'bob'), balance(db, 'eve')]).toEqual([1_100, 100, 0])
  })

  test('many of one id in one tick: one runs, all get its answer', async () => {
    const db = await start()
    const receipts = await Promise.all(
      Array.from({ length: 50 }, () => db.submit(deposit, { to: 'ann', amount: 5, n: 1 }, { id: 'same' })),
    )
    expect(balance(db, 'ann')).toBe(105)
    expect(new Set(receipts.map((receipt) => canon([receipt.value, receipt.position]))).size).toBe(1)
    expect(receipts.filter((receipt) => !receipt.repeated)).toHaveLength(1)
  })

  test('many of one id over many batches and other calls', { timeout: 30_000 }, async () => {
    const db = await start()
    const answers = new Set<string>()
    const call = async (n: number) => {
      if (n % 3 === 0) await new Promise((resolve) => setTimeout(resolve, n % 7))
      answers.add(canon(await db.call(deposit, { to: 'bob', amount: 7, n: 1 }, { id: 'spread' })))
    }
    const others = Array.from({ length: 300 }, (_, n) =>
      db.call(deposit, { to: 'ann', amount: 1, n: 100 + n }),
    )
    await Promise.all([...Array.from({ length: 60 }, (_, n) => call(n)), ...others])
    expect([balance(db, 'bob'), balance(db, 'ann'), answers.size]).toEqual([107, 400, 1])
  })

  test('the same id with other input or another procedure is ID_REUSED, at any distance', async () => {
    const db = await start()
    await db.call(deposit, { to: 'ann', amount: 5, n: 1 }, { id: 'x' })
    await refused(db.call(deposit, { to: 'ann', amount: 6, n: 1 }, { id: 'x' }), 'ID_REUSED')
    await refused(db.call(look, { id: 'ann' }, { id: 'x' }), 'ID_REUSED')
    const mixed = await Promise.all(
      [6, 7, 6, 7].map((amount) =>
        db.call(deposit, { to: 'bob', amount, n: 2 }, { id: 'y' }).then(
          () => amount,
          (error: { code: string }) => error.code,
        ),
      ),
    )
    const [winner] = mixed.filter((it) => typeof it === 'number')
    expectSame(
      mixed,
      [6, 7, 6, 7].map((amount) => (amount === winner ? amount : 'ID_REUSED')),
      'one input wins',
    )
    expect([balance(db, 'ann'), balance(db, 'bob')]).toEqual([105, 100 + Number(winner)])
    expect(await db.call(deposit, { to: 'ann', amount: 5, n: 1 }, { id: 'x' })).toMatchObject({ n: 1 })
  })

  test('the order of the properties of an input does not make it another input; defaults neither', async () => {
    const db = await start()
    const first = await db.call(deposit, { to: 'ann', amount: 5, n: 1 }, { id: 'p' })
    expect(await db.call(deposit, { n: 1, amount: 5, to: 'ann', filler: '' }, { id: 'p' })).toEqual(first)
    expect(balance(db, 'ann')).toBe(105)
  })

  test('ids in submitMany: repeats inside one list and of earlier calls', async () => {
    const db = await start()
    const inputs = [1, 2, 1, 3, 2].map((n) => ({ to: 'ann', amount: 1, n }))
    await db.call(deposit, inputs[1]!, { id: 'm2' })
    const outcomes = await db.submitMany(deposit, inputs, { id: (input) => `m${input.n}` })
    expect(outcomes.map((outcome) => outcome.ok && [outcome.value.n, outcome.repeated])).toEqual([
      [1, false],
      [2, true],
      [1, true],
      [3, false],
      [2, true],
    ])
    expect(balance(db, 'ann')).toBe(103)
  })

  test('a call that changes nothing is recorded too when it has an id', async () => {
    const db = await start()
    expect(await db.call(look, { id: 'ann' }, { id: 'look' })).toBe(100)
    await db.call(deposit, { to: 'ann', amount: 1, n: 1 })
    expect(await db.call(look, { id: 'ann' }, { id: 'look' })).toBe(100)
    expect(await db.call(look, { id: 'ann' })).toBe(101)
  })

  test('the stream shows the transaction once, with its id', async () => {
    const db = await start()
    for (let round = 0; round < 3; round += 1)
      await db.call(deposit, { to: 'ann', amount: 5, n: 1 }, { id: 'once' })
    await db.call(deposit, { to: 'bob', amount: 5, n: 2 })
    const commits = await take(db.changes({ from: 'beginning', tables: [bank.tables.entry] }), 2)
    expect(commits.map((commit) => commit.requestId)).toEqual(['once', undefined])
  })

  test(
    'across a reopen: answers, aborts and reused ids are what they were',
    { timeout: 30_000 },
    async () => {
      const path = await newFolder()
      const first = await openOnce(bankApp, { ...options, path })
      for (const id of ['ann', 'bob']) await first.call(openAccount, { id, balance: 100 })
      const receipt = await first.submit(deposit, { to: 'ann', amount: 5, n: 1 }, { id: 'd1' })
      const poor = { from: 'ann', to: 'bob', amount: 500, n: 2 }
      await refused(first.call(transfer, poor, { id: 'poor' }), 'ABORTED')
      await refused(first.call(forbid, { id: 'ann' }, { id: 'own' }), 'ABORTED')
      await first.close()
      for (let round = 0; round < 2; round += 1) {
        const db = await openOnce(bankApp, { ...options, path })
        try {
          expectSame(
            await db.submit(deposit, { to: 'ann', amount: 5, n: 1 }, { id: 'd1' }),
            { ...receipt, repeated: true },
            'the receipt',
          )
          const error = await refused(db.call(transfer, poor, { id: 'poor' }), 'ABORTED')
          expectSame([error.reason, error.details], ['INSUFFICIENT_FUNDS', { balance: 105 }], 'the abort')
          const own = await refused(db.call(forbid, { id: 'ann' }, { id: 'own' }), 'ABORTED')
          expectSame([own.reason, own.details], ['NO_SUCH_ACCOUNT', { id: 'ann' }], 'the other abort')
          await refused(db.call(deposit, { to: 'bob', amount: 5, n: 1 }, { id: 'd1' }), 'ID_REUSED')
          expect([balance(db, 'ann'), balance(db, 'bob')]).toEqual([105, 100])
        } finally {
          await db.close()
        }
      }
    },
  )

  test('a client that retries at random ends with every effect once', { timeout: 60_000 }, async () => {
    for (const seed of seeds(1)) {
      await withSeed(seed, async (random) => {
        const path = await newFolder()
        let db = await openOnce(bankApp, { ...options, path, durability: 'os' })
        for (const id of ['ann', 'bob']) await db.call(openAccount, { id, balance: 100 })
        const done = new Map<number, string>()
        for (let round = 0; round < 3; round += 1) {
          const calls = Array.from({ length: 80 }, () => random.below(40)).map(async (n) => {
            const answer = canon(
              await db.call(deposit, { to: n % 2 ? 'ann' : 'bob', amount: 1, n }, { id: `r${n}` }),
            )
            const known = done.get(n)
            if (known !== undefined) expect(answer).toBe(known)
            done.set(n, answer)
          })
          await Promise.all(calls)
          expect(Number(balance(db, 'ann')) + Number(balance(db, 'bob'))).toBe(200 + done.size)
          await db.close()
          db = await openOnce(bankApp, { ...options, path, durability: 'os' })
        }
        expect(db.table(bank.tables.entry).count()).toBe(done.size)
        await db.close()
      })
    }
  })
})

test('an id that failed on input is free: nothing ran', async () => {
  const db = await openFor(bankApp)
  await db.call(openAccount, { id: 'ann', balance: 1 })
  await refused(db.call(deposit, { to: 'ann', amount: 0.5, n: 1 }, { id: 'typo' }), 'INVALID_INPUT')
  expect(await db.call(deposit, { to: 'ann', amount: 5, n: 1 }, { id: 'typo' })).toMatchObject({ n: 1 })
})

test('failures of the procedure itself are recorded as well', async () => {
  const db = await openFor(oddApp)
  await db.call(prepare)
  for (const name of ['throws undefined', 'returns a cycle', 'throws an error']) {
    for (let round = 0; round < 2; round += 1)
      await refused(db.call(ending, { name }, { id: name }), 'PROCEDURE_FAILED')
  }
  expect(db.table(odd.tables.sample).value(0, 'int')).toBe(0)
})

test('an id is kept for its window at least, also a short one', { timeout: 20_000 }, async () => {
  const db = await openFor(bankApp, { outcomes: { window: '2s' } })
  await db.call(openAccount, { id: 'ann', balance: 0 })
  const input = { to: 'ann', amount: 1, n: 1 }
  const first = await db.submit(deposit, input, { id: 'w' })
  for (const end = performance.now() + 1_000; performance.now() < end; await db.call(look, { id: 'ann' })) {
    expectSame(
      await db.submit(deposit, input, { id: 'w' }),
      { ...first, repeated: true },
      'within the window',
    )
    await refused(db.call(deposit, { ...input, n: 2 }, { id: 'w' }), 'ID_REUSED')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
})

test('ten thousand ids, then all of them again', { timeout: 60_000 }, async () => {
  const db = await openFor(bankApp, { workers: 1, partitions: 4 })
  await db.call(openAccount, { id: 'ann', balance: 0 })
  const random = randomOf(1)
  const inputs = Array.from({ length: 10_000 }, (_, n) => ({ to: 'ann', amount: 1 + random.below(5), n }))
  const id = (input: { n: number }) => `many-${input.n}`
  const first = await db.submitMany(deposit, inputs, { id })
  const total = db.table(bank.tables.account).value('ann', 'balance')
  expect(total).toBe(inputs.reduce((sum, input) => sum + input.amount, 0))
  const second = await db.submitMany(deposit, inputs, { id })
  for (let at = 0; at < inputs.length; at += 1)
    expectSame(second[at], { ...first[at], repeated: true }, `id ${at}`)
  expect(db.table(bank.tables.account).value('ann', 'balance')).toBe(total)
})

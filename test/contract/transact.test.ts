/** Interactive transactions: what a body sees, what becomes of it, and what may end it. api.md, section 3. */
import { describe, expect, test } from 'vitest'
import { app, column as c, service, SluiceError, table, type Database, type Draft, type OpenOptions } from 'sluicedb'
import bankApp, { bank, deposit, openAccount, setNote } from '../support/apps/bank-app.js'
import { newFolder, openFor, refused, take, thrown, until, within } from '../support/fixture.js'
import { framesIn, type InsideOptions, openInside } from '../support/inside.js'
import { expectSame } from '../support/same.js'

const hosts: readonly (readonly [string, OpenOptions])[] = [
  ['workers 0', { workers: 0, partitions: 4 }],
  ['workers 2', { workers: 2, partitions: 8 }],
]
const { account, entry } = bank.tables
const balance = (db: Database, id: string) => db.table(account).value(id, 'balance')
const never = () => expect.fail('this body must not run')

/** Runs `meanwhile` between the first part of a body and its end. */
const overtaken = (db: Database, first: (tx: Draft) => void, meanwhile: () => Promise<unknown>, then: (tx: Draft) => void) =>
  db.transact(async (tx) => {
    first(tx)
    await meanwhile()
    then(tx)
  })

describe.each(hosts)('%s', (_, options) => {
  const start = async (more: OpenOptions = {}) => {
    const db = await openFor(bankApp, { ...options, ...more })
    for (const id of ['ann', 'bob', 'eve']) await db.call(openAccount, { id, balance: 100 })
    return db
  }

  test('a body reads, waits and writes; its value is the answer, and then everybody sees what it wrote', async () => {
    const db = await start()
    const marker = { not: () => 'plain data' }
    const answer = await db.transact(async (tx) => {
      const ann = tx.table(account).get('ann')!
      await new Promise((resolve) => setTimeout(resolve, 2))
      tx.table(account).update('ann', { balance: ann.balance - 30 })
      tx.table(account).add('bob', { balance: 30 })
      expect(balance(db, 'ann'), 'nobody sees it before').toBe(100)
      return marker
    })
    expect(answer).toBe(marker)
    expect([balance(db, 'ann'), balance(db, 'bob')]).toEqual([70, 130])
  })

  test('it sees its own writes over one snapshot, in key order, also in pages and in reverse', async () => {
    const db = await start()
    for (const n of [1, 3, 5, 7]) await db.call(deposit, { to: 'ann', amount: n, n })
    await db.transact(async (tx) => {
      const entries = tx.table(entry)
      const numbers = (range: object) => Array.from(entries.scan({ prefix: ['ann'], ...range }), (row) => row.n)
      expect(entries.insert({ account: 'ann', n: 4, amount: 4 })).toEqual(['ann', 4])
      entries.put({ account: 'ann', n: 5, amount: 50 })
      expect([entries.delete(['ann', 3]), entries.delete(['ann', 3]), entries.delete(['ann', 9])]).toEqual([true, false, false])
      entries.update(['ann', 7], (row) => ({ amount: row.amount * 10 }))
      await Promise.resolve()
      expect(numbers({})).toEqual([1, 4, 5, 7])
      expect(numbers({ limit: 2 })).toEqual([1, 4])
      expect(numbers({ after: ['ann', 4], limit: 1 })).toEqual([5])
      expect(numbers({ reverse: true, limit: 3 })).toEqual([7, 5, 4])
      expect(entries.get(['ann', 5])).toEqual({ account: 'ann', n: 5, amount: 50, filler: '' })
      expect([entries.has(['ann', 3]), entries.has(['ann', 4]), entries.get(['ann', 100])]).toEqual([false, true, undefined])
      expect([entries.value(['ann', 7], 'amount'), entries.value(['ann', 3], 'amount')]).toEqual([70, undefined])
      const accounts = tx.table(account)
      accounts.add('ann', { balance: 1_000 })
      accounts.update('bob', { balance: 0 })
      expect(accounts.index.byBalance.scan({ from: 50 }), 'rows stand where their own changes put them').toMatchObject([{ id: 'eve' }, { id: 'ann', balance: 1_116 }])
      expect(accounts.index.byOwner.get('owner of bob')).toMatchObject([{ id: 'bob', balance: 0 }])
    })
    expect(Array.from(db.table(entry).scan({ prefix: ['ann'] }), ({ n, amount }) => [n, amount])).toEqual([[1, 1], [4, 4], [5, 50], [7, 70]])
  })

  test('a row that changed meanwhile is CONFLICT, with table and key; nothing of it happened', async () => {
    const db = await start()
    const lost = overtaken(
      db,
      (tx) => expect(tx.table(account).get('ann')?.balance).toBe(100),
      () => db.call(deposit, { to: 'ann', amount: 1, n: 1 }),
      (tx) => {
        tx.table(account).update('ann', { balance: 0 })
        tx.table(account).put({ id: 'new', owner: 'new', balance: 1 })
        tx.emit(bank.events.opened, { id: 'new' })
      },
    )
    const error = await refused(lost, 'CONFLICT')
    expect(error.retryable).toBe(true)
    expectSame(error.details, { table: 'bank.account', key: 'ann' }, 'the details')
    expect([balance(db, 'ann'), balance(db, 'new')]).toEqual([101, undefined])
  })

  test('keys that were not there, and ranges, are reads: phantoms are CONFLICT', async () => {
    const db = await start()
    for (const n of [1, 3]) await db.call(deposit, { to: 'ann', amount: n, n })
    const write = (tx: Draft) => tx.table(account).put({ id: 'zoe', owner: 'zoe', balance: 1 })
    const open = (id: string) => () => db.call(openAccount, { id })
    const absent = await refused(overtaken(db, (tx) => expect(tx.table(account).has('new')).toBe(false), open('new'), write), 'CONFLICT')
    expectSame(absent.details, { table: 'bank.account', key: 'new' }, 'the absent key')
    const taken = await refused(overtaken(db, (tx) => tx.table(account).insert({ id: 'newer', owner: '', balance: 0 }), open('newer'), write), 'CONFLICT')
    expectSame(taken.details, { table: 'bank.account', key: 'newer' }, 'the key of an insert')
    const range = await refused(
      overtaken(db, (tx) => void [...tx.table(entry).scan({ prefix: ['ann'] })], () => db.call(deposit, { to: 'ann', amount: 2, n: 2 }), write),
      'CONFLICT',
    )
    expectSame(range.details, { table: 'bank.entry', range: { prefix: ['ann'] } }, 'the range')
    const index = await refused(
      overtaken(db, (tx) => void tx.table(account).index.byOwner.get('owner of newest'), open('newest'), write),
      'CONFLICT',
    )
    expectSame(index.details, { table: 'bank.account', index: 'byOwner', values: 'owner of newest' }, 'the index')
    const ordered = await refused(
      overtaken(db, (tx) => void [...tx.table(account).index.byBalance.scan({ from: 500 })], () => db.call(openAccount, { id: 'rich', balance: 900 }), write),
      'CONFLICT',
    )
    expectSame(ordered.details, { table: 'bank.account', index: 'byBalance', range: { from: 500 } }, 'the range of an index')
    expect(balance(db, 'zoe')).toBeUndefined()
  })

  test('only what was looked at counts: other columns, rows behind a page, sums and blind writes are no conflicts', async () => {
    const db = await start()
    for (const n of [1, 3, 5]) await db.call(deposit, { to: 'ann', amount: n, n })
    await overtaken(
      db,
      (tx) => {
        expect(tx.table(account).value('ann', 'balance')).toBe(109)
        expect(tx.table(account).has('bob')).toBe(true)
        expect(Array.from(tx.table(entry).scan({ prefix: ['ann'], limit: 2 }), (row) => row.n)).toEqual([1, 3])
        tx.table(account).add('eve', { balance: 5 })
        tx.table(account).update('bob', { balance: 7 })
        tx.table(account).put({ id: 'new', owner: 'mine', balance: 1 })
      },
      async () => {
        await db.call(setNote, { id: 'ann', note: 'another column' })
        await db.call(setNote, { id: 'bob', note: 'another column' })
        await db.call(deposit, { to: 'eve', amount: 1, n: 1 })
        await db.transact((tx) => tx.table(entry).insert({ account: 'ann', n: 4, amount: 0 }))
        await db.call(openAccount, { id: 'new', balance: 50 })
      },
      () => undefined,
    )
    expect([balance(db, 'eve'), balance(db, 'bob'), balance(db, 'new')]).toEqual([106, 7, 1])
    expect(db.table(account).get('bob')?.note).toBe('another column')
    await refused(
      overtaken(
        db,
        (tx) => expect(Array.from(tx.table(entry).scan({ prefix: ['ann'], limit: 2 }), (row) => row.n)).toEqual([1, 3]),
        () => db.transact((tx) => tx.table(entry).insert({ account: 'ann', n: 2, amount: 0 })),
        (tx) => tx.table(account).add('ann', { balance: 1 }),
      ),
      'CONFLICT',
    )
  })

  test('the same value again is no conflict: a read is what it answered', async () => {
    const db = await start()
    await overtaken(
      db,
      (tx) => void tx.table(account).get('ann'),
      async () => {
        await db.call(setNote, { id: 'ann', note: 'there' })
        await db.call(setNote, { id: 'ann', note: null })
      },
      (tx) => tx.table(account).add('bob', { balance: 1 }),
    )
    expect(balance(db, 'bob')).toBe(101)
  })

  test('retries run the body again on a new snapshot, until it fits: no update is lost', { timeout: 30_000 }, async () => {
    const db = await start()
    let runs = 0
    const times: number[] = []
    const increment = () =>
      db.transact(
        async (tx) => {
          runs += 1
          times.push(tx.now)
          const before = tx.table(account).value('ann', 'balance')!
          await new Promise((resolve) => setImmediate(resolve))
          tx.table(account).update('ann', { balance: before + 1 })
        },
        { retries: 1_000 },
      )
    await Promise.all(Array.from({ length: 25 }, increment))
    expect(balance(db, 'ann')).toBe(125)
    expect(runs).toBeGreaterThan(25)
    expect(times.every((now) => Math.abs(now - Date.now()) < 60_000)).toBe(true)
    expect((await refused(db.transact(never, { retries: -1 }), 'INVALID_USE')).message).toContain('retries')
  })

  test('what was added to is checked in the lane: a row that went, a sum below the minimum', async () => {
    const db = await start()
    const add = (tx: Draft) => tx.table(account).add('ann', { balance: -60 })
    expect((await refused(overtaken(db, add, () => db.transact(add), () => undefined), 'CONSTRAINT')).details).toMatchObject({ table: 'bank.account', column: 'balance' })
    await refused(overtaken(db, add, () => db.transact((tx) => tx.table(account).delete('ann')), () => undefined), 'NOT_FOUND')
    expect(balance(db, 'ann')).toBeUndefined()
    const read = db.transact((tx) => {
      tx.table(account).add('bob', { balance: -200 })
      tx.table(account).get('bob')
    })
    await refused(read, 'CONSTRAINT')
  })

  test('what the body throws is what the promise rejects with, and nothing has changed', async () => {
    const db = await start()
    const mine = new Error('mine')
    const failing = (tx: Draft) => {
      tx.table(account).update('ann', { balance: 0 })
      throw mine
    }
    await expect(db.transact(failing)).rejects.toBe(mine)
    await expect(db.transact(async (tx) => failing(tx))).rejects.toBe(mine)
    await expect(db.transact(() => Promise.reject(undefined as unknown as Error))).rejects.toBeUndefined()
    expect(balance(db, 'ann')).toBe(100)
  })

  test('tx.abort ends it, also when it is caught; declared reasons are recognised', async () => {
    const db = await start()
    const error = await refused(
      db.transact((tx) => {
        try {
          tx.table(account).update('ann', { balance: 0 })
          tx.abort('INSUFFICIENT_FUNDS', { balance: 100 })
        } catch {
          return 'went on'
        }
      }),
      'ABORTED',
    )
    expect([bank.aborts.INSUFFICIENT_FUNDS.is(error), error.reason, error.details]).toEqual([true, 'INSUFFICIENT_FUNDS', { balance: 100 }])
    expect(balance(db, 'ann')).toBe(100)
  })

  test('a refused operation dooms it, as in a procedure', async () => {
    const db = await start()
    const operations: readonly (readonly [SluiceError['code'], (tx: Draft) => unknown])[] = [
      ['CONSTRAINT', (tx) => tx.table(account).insert({ id: 'ann', owner: '', balance: 1 })],
      ['CONSTRAINT', (tx) => tx.table(account).update('ann', { balance: -1 })],
      ['NOT_FOUND', (tx) => tx.table(account).update('nobody', { balance: 1 })],
      ['NOT_FOUND', (tx) => tx.table(account).add('nobody', { balance: 1 })],
      ['INVALID_INPUT', (tx) => tx.table(account).get(5 as unknown as string)],
      ['INVALID_INPUT', (tx) => tx.table(account).update('ann', { no: 1 } as object)],
      ['INVALID_INPUT', (tx) => tx.table(entry).scan({ prefix: [new Date()] } as object)],
      ['INVALID_INPUT', (tx) => tx.table(entry).scan(new Map() as object)],
      ['INVALID_INPUT', (tx) => tx.emit(bank.events.opened, { id: 5 as unknown as string })],
      ['INVALID_USE', (tx) => (tx.table(account) as unknown as { scan(): unknown }).scan()],
      ['INVALID_USE', (tx) => (tx.table(account) as unknown as { count(): unknown }).count()],
      ['INVALID_USE', (tx) => tx.table(account).value('ann', 'no' as 'note')],
      ['INVALID_USE', (tx) => tx.table(table({ columns: { id: c.int() }, key: ['id'] }))],
      ['INVALID_USE', (tx) => tx.emit('transferred' as unknown as typeof bank.events.opened, { id: '' })],
      ['INVALID_USE', (tx) => tx.abort('')],
    ]
    for (const [code, operation] of operations) {
      const doomed = db.transact((tx) => {
        tx.table(account).update('bob', { balance: 0 })
        const first = thrown(() => operation(tx), code)
        expect(thrown(() => tx.table(account).has('bob'), code), 'everything after it throws it again').toBe(first)
      })
      await refused(doomed, code)
    }
    expect(balance(db, 'bob')).toBe(100)
  })

  test('used after its end it is INVALID_USE', async () => {
    const db = await start()
    let kept!: Draft
    await db.transact((tx) => void (kept = tx))
    const accounts = await db.transact((tx) => tx.table(account))
    for (const use of [() => kept.table(account).get('ann'), () => accounts.get('ann'), () => kept.emit(bank.events.opened, { id: '' }), () => kept.abort('LATE')]) thrown(use, 'INVALID_USE')
  })

  test('a signal, a time limit and close() end a body that waits, at once and without effect', async () => {
    const db = await start()
    let late: unknown
    const stuck = (options: object, end: () => void = () => undefined) =>
      within(
        5_000,
        'it is given up',
        refused(
          db.transact(async (tx) => {
            tx.table(account).update('ann', { balance: 0 })
            setTimeout(end, 1)
            await new Promise((resolve) => setTimeout(resolve, 60))
            try {
              tx.table(account).get('ann')
            } catch (error) {
              late = error
            }
            throw new Error('nobody hears this')
          }, options),
        ),
      )
    const reason = new Error('enough')
    const controller = new AbortController()
    const cancelled = await stuck({ signal: controller.signal }, () => controller.abort(reason))
    expect([cancelled.code, cancelled.cause]).toEqual(['CANCELLED', reason])
    await until(() => late !== undefined, 'the body goes on, and is told')
    expect(late).toBe(cancelled)
    await refused(db.transact(never, { signal: AbortSignal.abort() }), 'CANCELLED')
    const timedOut = await stuck({ timeoutMs: 5 })
    expect([timedOut.code, timedOut.details]).toEqual(['TIMEOUT', { timeoutMs: 5 }])
    await refused(db.transact((tx) => tx.table(account).add('ann', { balance: 1 }), { timeoutMs: -1 }), 'INVALID_USE')
    await refused(db.transact((tx) => tx.table(account).add('ann', { balance: 1 }), { retry: 1 } as object), 'INVALID_USE')
    expect(balance(db, 'ann')).toBe(100)
    const closed = await stuck({}, () => void db.close())
    expect(closed.code).toBe('DATABASE_CLOSED')
    await refused(db.transact(never), 'DATABASE_CLOSED')
  })

  test('the limit in time goes over all retries', async () => {
    const db = await start()
    const hopeless = db.transact(
      async (tx) => {
        const before = tx.table(account).value('ann', 'balance')!
        await db.transact((other) => other.table(account).add('ann', { balance: 1 }))
        tx.table(account).update('ann', { balance: before })
      },
      { retries: 1_000, timeoutMs: 150 },
    )
    await within(20_000, 'it gives up', refused(hopeless, 'TIMEOUT'))
  })

  test('a body that only reads is not sequenced, and sees one moment however long it takes', async () => {
    const { db, engine } = await openInside(bankApp, options as InsideOptions)
    await db.call(openAccount, { id: 'ann', balance: 100 })
    const before = engine.parts.control.executed
    const seen = await db.transact(async (tx) => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      return [tx.table(account).get('ann')?.balance, tx.table(account).delete('nobody')]
    })
    expect([seen, engine.parts.control.executed]).toEqual([[100, false], before])
    const stale = await db.transact(async (tx) => {
      await db.call(deposit, { to: 'ann', amount: 1, n: 1 })
      return tx.table(account).get('ann')?.balance
    })
    expect(stale).toBe(100)
  })

  test('in the stream it has no procedure, its id, and its changes and events', async () => {
    const db = await start()
    const stream = db.changes({ from: 'now' })
    await db.transact(
      (tx) => {
        tx.table(account).add('ann', { balance: 5 })
        tx.emit(bank.events.opened, { id: 'ann' })
      },
      { id: 'one' },
    )
    const [commit] = await take(stream, 1)
    expect([commit!.procedure, commit!.requestId]).toEqual([undefined, 'one'])
    expect(commit!.changes).toMatchObject([{ table: 'bank.account', kind: 'update', before: { balance: 100 }, after: { balance: 105 } }])
    expect(commit!.events).toMatchObject([{ type: 'bank.opened', payload: { id: 'ann' } }])
  })

  test('two bodies of one caller are concurrent, and a call inside a body is a transaction of its own', async () => {
    const db = await start()
    const both = await Promise.allSettled(
      ['bob', 'eve'].map((to) =>
        db.transact(async (tx) => {
          const { balance: before } = tx.table(account).get('ann')!
          await Promise.resolve()
          tx.table(account).update('ann', { balance: before - 10 })
          tx.table(account).add(to, { balance: 10 })
        }),
      ),
    )
    expect(both.map((it) => it.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(balance(db, 'ann')).toBe(90)
    await expect(
      db.transact(async () => {
        await db.call(deposit, { to: 'ann', amount: 1, n: 7 })
        throw new Error('the call stays')
      }),
    ).rejects.toThrow('the call stays')
    expect(balance(db, 'ann')).toBe(91)
  })

  test('with an id it happens once: repeats get the answer, and their bodies do not run', async () => {
    const db = await start()
    const pay = (tx: Draft) => {
      tx.table(account).add('ann', { balance: 5 })
      return { at: tx.now, left: tx.table(account).get('ann')!.balance, big: 1n }
    }
    const first = await db.transact(pay, { id: 'pay' })
    expect(first.left).toBe(105)
    expectSame(await db.transact(never as unknown as typeof pay, { id: 'pay' }), first, 'the repeat')
    const together = await Promise.all(Array.from({ length: 20 }, () => db.transact(pay, { id: 'many', retries: 50 })))
    expect(new Set(together.map(({ left }) => left))).toEqual(new Set([110]))
    expect(balance(db, 'ann')).toBe(110)
    expect(await db.transact((tx) => tx.table(account).has('ann'), { id: 'only read' })).toBe(true)
    expect(await db.transact(never, { id: 'only read' })).toBe(true)
    expect(await db.transact(() => undefined, { id: 'nothing' })).toBeUndefined()
    await refused(db.transact(never, { id: '' }), 'INVALID_INPUT')
    await refused(db.transact(() => new Map(), { id: 'no plain data' }), 'PROCEDURE_FAILED')
  })

  test('with an id its own end is recorded, but neither CONFLICT nor what the body throws', async () => {
    const db = await start()
    const poor = (tx: Draft) => tx.abort('POOR', { at: tx.table(account).value('ann', 'balance') })
    await refused(db.transact(poor, { id: 'poor' }), 'ABORTED')
    await db.call(deposit, { to: 'ann', amount: 1, n: 1 })
    const again = await refused(db.transact(never, { id: 'poor' }), 'ABORTED')
    expect([again.reason, again.details]).toEqual(['POOR', { at: 100 }])
    await refused(db.transact((tx) => tx.table(account).insert({ id: 'ann', owner: '', balance: 0 }), { id: 'taken' }), 'CONSTRAINT')
    await refused(db.transact(never, { id: 'taken' }), 'CONSTRAINT')
    await refused(db.transact((tx) => tx.table(account).add('ann', { balance: -500 }), { id: 'below' }), 'CONSTRAINT')
    await refused(db.transact(never, { id: 'below' }), 'CONSTRAINT')

    const meet = (other: () => Promise<unknown>) =>
      db.transact(
        async (tx) => {
          const before = tx.table(account).get('ann')!.balance
          await other()
          tx.table(account).update('ann', { balance: before + 10 })
        },
        { id: 'meets' },
      )
    await refused(meet(() => db.call(deposit, { to: 'ann', amount: 1, n: 2 })), 'CONFLICT')
    await meet(() => Promise.resolve())
    await meet(never as () => Promise<unknown>)
    expect(balance(db, 'ann')).toBe(112)
    await expect(db.transact(() => Promise.reject(new Error('the network')), { id: 'network' })).rejects.toThrow('the network')
    expect(await db.transact(() => 'there again', { id: 'network' })).toBe('there again')
  })

  test('an id belongs to a transaction or to a procedure, not to both', async () => {
    const db = await start()
    await db.call(deposit, { to: 'ann', amount: 1, n: 1 }, { id: 'a' })
    await refused(db.transact(never, { id: 'a' }), 'ID_REUSED')
    await db.transact((tx) => tx.table(account).add('ann', { balance: 1 }), { id: 'b' })
    await refused(db.call(deposit, { to: 'ann', amount: 1, n: 2 }, { id: 'b' }), 'ID_REUSED')
  })

  test('bounds: too many rows, too many bytes', { timeout: 60_000 }, async () => {
    const db = await start()
    const long = 'x'.repeat(2 ** 20)
    const bytes = db.transact((tx) => {
      for (let n = 0; n < 4; n += 1) tx.table(account).update('ann', { note: long })
    })
    expect((await refused(bytes, 'OUT_OF_SPACE')).details).toEqual({ bytes: 3 * 2 ** 20 })
    await db.transact((tx) => {
      for (let n = 0; n < 400; n += 1) tx.table(entry).insert({ account: 'ann', n, amount: n })
    })
    const rows = db.transact((tx) => {
      for (let n = 0; n < 1_000; n += 1) void tx.table(entry).scan({ prefix: ['ann'] })
    })
    expect((await refused(rows, 'OUT_OF_SPACE')).details).toEqual({ rows: 100_000 })
    const answer = (characters: number) => db.transact(() => 'x'.repeat(characters), { id: `answer ${characters}` })
    expect((await answer(2 ** 19 - 16)).length).toBe(2 ** 19 - 16)
    await refused(answer(2 ** 19), 'PROCEDURE_FAILED')
    expect(await db.transact(() => 1, { retries: 1_000 })).toBe(1)
    await refused(db.transact(() => 1, { retries: 1_001 }), 'INVALID_USE')
  })
})

test('rows of one partition make a transaction of its lane, others of the cross-partition lane; ids last through a reopen', async () => {
  const path = await newFolder()
  const first = await openInside(bankApp, { path, partitions: 4 })
  await first.db.transact((tx) => {
    for (const id of ['ann', 'bob', 'eve', 'kim', 'zoe']) tx.table(account).put({ id, owner: 'o', balance: 100 })
  })
  const pay = (tx: Draft) => {
    tx.table(account).update('ann', { balance: tx.table(account).get('ann')!.balance - 1 })
    tx.table(entry).insert({ account: 'ann', n: tx.table(entry).scan({ prefix: ['ann'] }) instanceof Array ? 1 : 2, amount: -1 })
    return 'paid'
  }
  await first.db.transact(pay, { id: 'pay' })
  await first.db.transact((tx) => void [tx.table(account).index.byOwner.get('o'), tx.table(account).add('ann', { balance: 1 })])
  await first.close()
  const lanes = framesIn(path).flatMap(({ records }) => records.map(({ lane }) => lane))
  expect(lanes.map((lane) => lane >= 0)).toEqual([false, true, false])

  const db = await openFor(bankApp, { path })
  expect(await db.transact(never, { id: 'pay' })).toBe('paid')
  expect(balance(db, 'ann')).toBe(100)
  expect((await take(db.changes({ from: 'beginning' }), 3)).map(({ procedure, requestId }) => [procedure, requestId])).toEqual([
    [undefined, undefined],
    [undefined, 'pay'],
    [undefined, undefined],
  ])
})

test('atomic handlers run inside of it, in its order, and can refuse it; inside a procedure it is refused', async () => {
  const things = service('things', {
    tables: { thing: table({ columns: { id: c.int(), n: c.int() }, key: ['id'] }) },
    events: { said: { id: c.int() } },
  })
  const { thing } = things.tables
  things.on(() => things.events.said, { name: 'count', atomic: true }, (tx, { payload }) => {
    if (payload.id === 13) throw tx.abort('UNLUCKY')
    const row = tx.db.thing.row(0)
    if (row) row.n += payload.id
    else tx.db.thing.insert({ id: 0, n: payload.id })
  })
  let db!: Database
  let inside: Promise<unknown> | undefined
  const wrong = things.procedure('wrong', {}, () => void (inside = db.transact(never)))
  db = await openFor(app(import.meta.url, [things]))
  const say = (...ids: number[]) =>
    db.transact((tx) => {
      for (const id of ids) tx.emit(things.events.said, { id })
      tx.table(thing).put({ id: ids[0]!, n: 1 })
    })
  await say(5, 6)
  expect((await refused(say(7, 13), 'ABORTED')).reason).toBe('UNLUCKY')
  expect([...db.table(thing)].map(({ id, n }) => [id, n]).sort()).toEqual([[0, 11], [5, 1]])
  await db.call(wrong)
  await refused(inside!, 'INVALID_USE')
})

test('a snapshot that is given up because memory runs short is another run, where there are retries', { timeout: 60_000 }, async () => {
  const db = await openFor(bankApp, { memory: { bytes: 24 * 2 ** 20 }, history: { bytes: 0 } })
  await db.call(openAccount, { id: 'ann', balance: 1 })
  let runs = 0
  const body = async (tx: Draft) => {
    runs += 1
    const isFirst = runs === 1
    tx.table(account).get('ann')
    for (let n = 0; isFirst && n < 2_000; n += 1) {
      await db.call(setNote, { id: 'ann', note: String(n % 10).repeat(20_000) })
      if (n % 50 === 49) tx.table(account).get('ann')
    }
    tx.table(account).update('ann', { note: 'done' })
  }
  await refused(db.transact(body), 'SNAPSHOT_TOO_OLD')
  runs = 0
  await db.transact(body, { retries: 1 })
  expect([runs, db.table(account).get('ann')?.note]).toEqual([2, 'done'])
})

/**
 * The log as the event bus: api.md, section 4. In memory and on disk, with several workers: the same
 * promises.
 */
import { describe, expect, test } from 'vitest'
import { Position, type AnyChange, type Commit, type Database, type OpenOptions } from 'sluicedb'
import bankApp, {
  bank,
  churn,
  closeAccount,
  deposit,
  forbid,
  look,
  openAccount,
  setNote,
  touch,
  transfer,
} from '../support/apps/bank-app.js'
import { newFolder, openFor, openOnce, refused, take, until, within } from '../support/fixture.js'
import { canon, expectSame } from '../support/same.js'

interface Host {
  readonly name: string
  readonly disk: boolean
  readonly options: OpenOptions
}
const hosts: readonly Host[] = [
  { name: 'workers 0, memory', disk: false, options: { workers: 0, partitions: 4 } },
  { name: 'workers 0, fsync', disk: true, options: { workers: 0, partitions: 4 } },
  { name: 'workers 2, memory', disk: false, options: { workers: 2, partitions: 8 } },
  { name: 'workers 2, os', disk: true, options: { workers: 2, partitions: 8, durability: 'os' } },
]
const optionsOf = async ({ disk, options }: Host): Promise<OpenOptions> =>
  disk ? { ...options, path: await newFolder() } : options
const ids = Array.from({ length: 8 }, (_, at) => `acc${at}`)
const openAll = (db: Database, balance = 1_000_000) =>
  Promise.all(ids.map((id) => db.call(openAccount, { id, balance })))

/** Transfers and deposits in flight together, `width` at a time, until `count` are done. */
async function load(db: Database, count: number, width: number, first = 0): Promise<void> {
  let next = first
  const lane = async () => {
    while (next < first + count) {
      const n = next++
      const [from, to] = [ids[n % 8]!, ids[(n * 5 + 3) % 8]!]
      if (n % 3 === 0) await db.call(deposit, { to, amount: 1, n })
      else if (from !== to) await db.call(transfer, { from, to, amount: 1, n })
      else await db.call(deposit, { to, amount: 2, n })
    }
  }
  await Promise.all(Array.from({ length: width }, lane))
}

/**
 * Follows the stream with a model of the accounts: every before-image is what the stream left, positions
 * grow.
 */
function follower() {
  const rows = new Map<string, unknown>()
  const commits: Commit[] = []
  return {
    commits,
    rows,
    take(commit: Commit) {
      const last = commits.at(-1)
      if (last)
        expect(last.position < commit.position, `${last.position} before ${commit.position}`).toBe(true)
      if (last) expect(commit.time).toBeGreaterThanOrEqual(last.time)
      commits.push(commit)
      for (const change of commit.changes) {
        const key = `${change.table} ${canon(change.key)}`
        expectSame(change.before, rows.get(key), `before-image of ${key} at ${commit.position}`)
        if (change.after) rows.set(key, change.after)
        else rows.delete(key)
      }
    },
  }
}
function expectRowsOf(db: Database, rows: ReadonlyMap<string, unknown>): void {
  const actual = [
    ...Array.from(db.table(bank.tables.account), (row) => [`bank.account ${canon(row.id)}`, row] as const),
    ...Array.from(
      db.table(bank.tables.entry),
      (row) => [`bank.entry ${canon([row.account, row.n])}`, row] as const,
    ),
    ...Array.from(
      db.table(bank.tables.untouched),
      (row) => [`bank.untouched ${canon(row.id)}`, row] as const,
    ),
  ]
  expectSame(actual.map(canon).sort(), [...rows].map(canon).sort(), 'the rows that the stream rebuilds')
}

describe.each(hosts)('$name', (host) => {
  test('a commit says who, when and what, with whole images before and after', async () => {
    const db = await openFor(bankApp, await optionsOf(host))
    const started = Date.now()
    await db.call(openAccount, { id: 'ann', balance: 10 })
    await db.call(openAccount, { id: 'bob' })
    const receipt = await db.submit(transfer, { from: 'ann', to: 'bob', amount: 4, n: 1 }, { id: 'req-1' })
    await db.call(closeAccount, { id: 'bob' })
    const [ann, bob, moved, closed] = await take(db.changes({ from: 'beginning' }), 4)
    expect([ann!.procedure, bob!.procedure, moved!.procedure, closed!.procedure]).toEqual([
      'bank.openAccount',
      'bank.openAccount',
      'bank.transfer',
      'bank.closeAccount',
    ])
    expect([ann!.requestId, moved!.requestId]).toEqual([undefined, 'req-1'])
    expect(moved!.position).toBe(receipt.position)
    expect(Math.abs(moved!.time - started)).toBeLessThan(60_000)
    const row = (id: string, balance: number) => ({ id, owner: `owner of ${id}`, balance, note: null })
    expectSame(
      ann!.changes,
      [{ table: 'bank.account', kind: 'insert', key: 'ann', before: undefined, after: row('ann', 10) }],
      'an insert',
    )
    const byKey = (commit: Commit) =>
      [...commit.changes].sort((one, other) =>
        `${one.table} ${canon(one.key)}` < `${other.table} ${canon(other.key)}` ? -1 : 1,
      )
    expectSame(
      byKey(moved!),
      [
        { table: 'bank.account', kind: 'update', key: 'ann', before: row('ann', 10), after: row('ann', 6) },
        { table: 'bank.account', kind: 'update', key: 'bob', before: row('bob', 0), after: row('bob', 4) },
        {
          table: 'bank.entry',
          kind: 'insert',
          key: ['ann', 1],
          before: undefined,
          after: { account: 'ann', n: 1, amount: -4, filler: '' },
        },
        {
          table: 'bank.entry',
          kind: 'insert',
          key: ['bob', 1],
          before: undefined,
          after: { account: 'bob', n: 1, amount: 4, filler: '' },
        },
      ],
      'a transfer',
    )
    expectSame(
      closed!.changes,
      [{ table: 'bank.account', kind: 'delete', key: 'bob', before: row('bob', 4), after: undefined }],
      'a delete',
    )
    expect(moved!.events).toHaveLength(1)
    const [event] = moved!.events
    expectSame(event!.payload, { from: 'ann', to: 'bob', amount: 4, n: 1 }, 'the payload')
    expect([event!.type, event!.time]).toEqual(['bank.transferred', moved!.time])
    expect(bank.events.transferred.is(event!)).toBe(true)
    expect(bank.events.opened.is(event!)).toBe(false)
    expect(moved!.changes.filter((change: AnyChange) => bank.tables.account.is(change))).toHaveLength(2)
  })

  test('a transaction shows its net effect; what it undid or did not do is not there', async () => {
    const db = await openFor(bankApp, await optionsOf(host))
    await db.call(openAccount, { id: 'ann', balance: 10 })
    await db.call(churn, { id: 'ann' })
    await refused(db.call(forbid, { id: 'ann' }), 'ABORTED')
    expect(await db.call(look, { id: 'ann' })).toBe(10)
    await db.call(setNote, { id: 'ann', note: 'last' })
    const follow = follower()
    for (const commit of await take(db.changes({ from: 'beginning' }), 3)) follow.take(commit)
    expectRowsOf(db, follow.rows)
    expect(follow.commits.map((commit) => commit.procedure)).toEqual([
      'bank.openAccount',
      'bank.churn',
      'bank.setNote',
    ])
    const churned = follow.commits[1]!.changes
    expect(
      new Set(churned.map((change) => change.key)).has('ann-'),
      'a row that came and went in one transaction',
    ).toBe(false)
    expectSame(
      churned
        .filter((change) => change.key === 'ann')
        .map((change) => [change.before?.['note'], change.after?.['note']]),
      [[null, 'second']],
      'one change for one row',
    )
  })

  test(
    'catch-up then live under load: no gap, no repeat, whole commits, one order for all',
    { timeout: 60_000 },
    async () => {
      const db = await openFor(bankApp, await optionsOf(host))
      await openAll(db)
      await load(db, 1_500, 64)
      const working = load(db, 3_000, 64, 10_000)
      const total = ids.length + 1_500 + 3_000
      const start = follower()
      const early = take(
        db.changes({ from: 'beginning' }),
        total,
        'subscribed at the start of the load',
        40_000,
      )
      await new Promise((resolve) => setTimeout(resolve, 5))
      const late = take(
        db.changes({ from: 'beginning' }),
        total,
        'subscribed in the middle of the load',
        40_000,
      )
      await working
      const [one, other, after] = await Promise.all([
        early,
        late,
        take(db.changes({ from: 'beginning' }), total, 'subscribed after the load', 40_000),
      ])
      for (const commit of one) start.take(commit)
      expectRowsOf(db, start.rows)
      expectSame(other.map(canon), one.map(canon), 'the second subscriber')
      expectSame(after.map(canon), one.map(canon), 'the third subscriber')
      for (const commit of one) {
        const entries = commit.changes.filter((change) => bank.tables.entry.is(change)).length
        expect(entries, commit.procedure).toBe(
          { 'bank.transfer': 2, 'bank.deposit': 1 }[commit.procedure ?? ''] ?? 0,
        )
      }
    },
  )

  test(
    'from a position and from a Date: the same commits as from the beginning, cut there',
    { timeout: 30_000 },
    async () => {
      const db = await openFor(bankApp, await optionsOf(host))
      await openAll(db)
      await load(db, 200, 16)
      await new Promise((resolve) => setTimeout(resolve, 30))
      await load(db, 200, 16, 1_000)
      const all = await take(db.changes({ from: 'beginning' }), ids.length + 400)
      const positions = all.map((commit) => commit.position)
      expect(positions.toSorted()).toEqual(positions)
      for (const at of [0, 1, 57, 200, all.length - 2]) {
        const from = positions[at]!
        const [first] = await take(db.changes({ from }), 1)
        // Whether a position includes its own commit, api.md does not say; it must be that one or the next,
        // for every start alike.
        expect([positions[at], positions[at + 1]]).toContain(first!.position)
        const offset = positions.indexOf(first!.position) - at
        const [again] = await take(db.changes({ from: positions[0]! }), 1)
        expect(positions.indexOf(again!.position), 'every start counts alike').toBe(offset)
        const rest = await take(
          db.changes({ from: Position.parse(JSON.parse(JSON.stringify(from)) as string) }),
          all.length - at - offset,
        )
        expectSame(rest.map(canon), all.slice(at + offset).map(canon), `from ${from}`)
      }
      const boundary = all.findIndex((commit, at) => at > 0 && commit.time - all[at - 1]!.time >= 20)
      expect(boundary).toBeGreaterThan(0)
      const moment = new Date(all[boundary]!.time - 5)
      const rest = await take(db.changes({ from: moment }), all.length - boundary)
      expectSame(
        rest.map((commit) => commit.position),
        positions.slice(boundary),
        'from a Date',
      )
    },
  )

  test("'now' is the moment of the call, not of the first next()", async () => {
    const db = await openFor(bankApp, await optionsOf(host))
    await openAll(db)
    const [stream, bare, events] = [
      db.changes({ from: 'now' }),
      db.changes(),
      db.events(bank.events.transferred),
    ]
    for (let n = 1; n <= 3; n += 1) await db.call(transfer, { from: 'acc0', to: 'acc1', amount: 1, n })
    const wanted = ['bank.transfer', 'bank.transfer', 'bank.transfer']
    expect((await take(stream, 3)).map((commit) => commit.procedure)).toEqual(wanted)
    expect((await take(bare, 3)).map((commit) => commit.procedure)).toEqual(wanted)
    expect((await take(events, 3)).map((event) => event.payload.n)).toEqual([1, 2, 3])
  })

  test('with tables or events a commit arrives when it touches one of them, and carries only those', async () => {
    const db = await openFor(bankApp, await optionsOf(host))
    const { account, entry, untouched } = bank.tables
    await db.call(openAccount, { id: 'ann', balance: 10 })
    await db.call(touch, { id: 1 })
    await db.call(openAccount, { id: 'bob' })
    await db.call(transfer, { from: 'ann', to: 'bob', amount: 1, n: 1 })
    await db.call(touch, { id: 1 })
    await db.call(deposit, { to: 'bob', amount: 1, n: 2 })
    const shape = (commit: {
      procedure: string | undefined
      changes: readonly { table: string }[]
      events: readonly { type: string }[]
    }) =>
      [
        commit.procedure?.slice(5),
        ...commit.changes.map((change) => change.table.slice(5)).sort(),
        ...commit.events.map((event) => event.type.slice(5)),
      ].join(' ')
    expect((await take(db.changes({ from: 'beginning', tables: [untouched] }), 2)).map(shape)).toEqual([
      'touch untouched',
      'touch untouched',
    ])
    expect((await take(db.changes({ from: 'beginning', tables: [entry] }), 2)).map(shape)).toEqual([
      'transfer entry entry',
      'deposit entry',
    ])
    expect(
      (await take(db.changes({ from: 'beginning', events: [bank.events.opened] }), 2)).map(shape),
    ).toEqual(['openAccount opened', 'openAccount opened'])
    expect(
      (
        await take(db.changes({ from: 'beginning', tables: [account], events: [bank.events.transferred] }), 4)
      ).map(shape),
    ).toEqual([
      'openAccount account',
      'openAccount account',
      'transfer account account transferred',
      'deposit account',
    ])
    const events = await take(
      db.events([bank.events.opened, bank.events.transferred], { from: 'beginning' }),
      3,
    )
    expect(events.map((event) => event.type)).toEqual(['bank.opened', 'bank.opened', 'bank.transferred'])
    for (const event of events) expect(Position.parse(event.position)).toBe(event.position)
    expect(events.map((event) => event.position).toSorted()).toEqual(events.map((event) => event.position))
  })

  test(
    'a subscriber that does not read never holds up commits, and continues without a gap',
    { timeout: 60_000 },
    async () => {
      const db = await openFor(bankApp, await optionsOf(host))
      await openAll(db)
      const stream = db.changes({ from: 'beginning' })
      const iterator = stream[Symbol.asyncIterator]()
      const first = await iterator.next()
      await within(40_000, 'commits go on beside a stuck subscriber', load(db, 4_000, 128))
      const follow = follower()
      follow.take(first.value as Commit)
      for (let more = ids.length - 1 + 4_000; more > 0; more -= 1) {
        const next = await within(
          20_000,
          `the ${follow.commits.length}th commit of the slow subscriber`,
          iterator.next(),
        )
        follow.take(next.value as Commit)
      }
      expectRowsOf(db, follow.rows)
      await load(db, 10, 1, 50_000)
      for (let more = 10; more > 0; more -= 1)
        follow.take((await within(5_000, 'live again', iterator.next())).value as Commit)
      expectRowsOf(db, follow.rows)
      await stream.close()
    },
  )

  test('a stream ends by signal, by break, by close(), with the database, and only then', async () => {
    const db = await openOnce(bankApp, await optionsOf(host))
    await openAll(db)
    const controller = new AbortController()
    const counts: Record<string, number> = {}
    const count = async (name: string, stream: AsyncIterable<unknown>) => {
      counts[name] = 0
      for await (const _ of stream) counts[name] += 1
      return name
    }
    const closed = db.changes({ from: 'beginning' })
    const bySignal = count('signal', db.changes({ from: 'beginning', signal: controller.signal }))
    const byClose = count('close', closed)
    const byDatabase = count('database', db.changes({ from: 'beginning' })).catch(
      (error: { code: string }) => error.code,
    )
    await until(
      () => Object.values(counts).every((it) => it === ids.length),
      'all subscribers are up to date',
    )
    controller.abort()
    expect(await within(5_000, 'the signal ends it', bySignal)).toBe('signal')
    await within(5_000, 'close() returns', closed.close())
    expect(await within(5_000, 'close() ends it', byClose)).toBe('close')
    const aborted: unknown[] = []
    for await (const commit of db.changes({ from: 'beginning', signal: AbortSignal.abort() }))
      aborted.push(commit)
    expect(aborted).toEqual([])
    await db.call(setNote, { id: 'acc0', note: 'x' })
    await until(() => counts['database'] === ids.length + 1, 'the last subscriber goes on')
    expect([counts['signal'], counts['close']]).toEqual([ids.length, ids.length])
    await within(10_000, 'the database closes with a subscriber waiting', db.close())
    expect(['database', 'DATABASE_CLOSED']).toContain(await within(5_000, 'the database ends it', byDatabase))
  })

  test('many subscribers that leave in the middle leave nothing behind', { timeout: 30_000 }, async () => {
    const db = await openFor(bankApp, await optionsOf(host))
    await openAll(db)
    let [count, leaving] = [0, true]
    const working = (async () => {
      for (; leaving; count += 50) await load(db, 50, 16, count)
    })()
    for (let round = 0; round < 40; round += 1)
      await take(db.changes({ from: round % 2 === 0 ? 'beginning' : 'now' }), 1 + (round % 5))
    leaving = false
    await working
    expect(await take(db.changes({ from: 'beginning' }), ids.length + count)).toHaveLength(ids.length + count)
  })

  test(
    'a commit is delivered only when reads on this thread see it, and in the order of the answers',
    { timeout: 30_000 },
    async () => {
      const db = await openFor(bankApp, await optionsOf(host))
      await openAll(db)
      const stream = db.changes({ from: 'now', tables: [bank.tables.entry] })
      const positions = new Map<number, string>()
      const working = (async () => {
        for (let n = 0; n < 200; n += 1) {
          const receipt = await db.submit(deposit, { to: ids[n % 8]!, amount: 1, n })
          positions.set(n, receipt.position)
        }
      })()
      let seen = 0
      for await (const commit of stream) {
        for (const change of commit.changes) {
          const key = change.key as readonly [string, number]
          expect(db.table(bank.tables.entry).has(key), `row ${canon(key)} when its commit arrives`).toBe(true)
          expect(key[1]).toBe(seen)
        }
        seen += 1
        if (seen === 200) break
      }
      await working
      expect([...positions.values()].toSorted()).toEqual([...positions.values()])
    },
  )
})

test(
  'the stream goes on across a reopen: same positions, same commits, then new ones',
  { timeout: 30_000 },
  async () => {
    const options: OpenOptions = { workers: 1, partitions: 4, path: await newFolder() }
    const first = await openOnce(bankApp, options)
    await openAll(first)
    await load(first, 300, 32)
    const before = await take(first.changes({ from: 'beginning' }), ids.length + 300)
    await first.close()
    const db = await openFor(bankApp, options)
    await load(db, 50, 8, 5_000)
    const after = await take(db.changes({ from: 'beginning' }), ids.length + 350)
    expectSame(after.slice(0, before.length).map(canon), before.map(canon), 'the commits from before')
    const follow = follower()
    for (const commit of after) follow.take(commit)
    expectRowsOf(db, follow.rows)
  },
)

test('Position.parse takes what it gave and refuses the rest', async () => {
  const db = await openFor(bankApp)
  const { position } = await db.submit(openAccount, { id: 'ann' })
  expect(Position.parse(position)).toBe(position)
  for (const text of [
    '',
    'x',
    '0',
    `${position} `,
    ` ${position}`,
    position.slice(1),
    `${position}0`,
    '../x',
    'beginning',
    'now',
  ]) {
    expect(() => Position.parse(text), text).toThrowError(
      expect.objectContaining({ code: expect.stringMatching(/INVALID_(INPUT|USE)/) as unknown }),
    )
  }
})

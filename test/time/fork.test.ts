/**
 * Forks. The oracle is another database that was given the same calls: what a fork answers, and what it holds, is what that one answers
 * and holds; and the database that it was forked from is as if there had been none.
 */
import { SluiceError, type Database, type Fork } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import branchApp, { act, actIn, club, look, perRoom, rooms, seatBefore, watch } from '../support/apps/branch-app.js'
import { type Act, actOf } from '../support/branch-plans.js'
import { newFolder, openFor, openOnce, refused, take, thrown } from '../support/fixture.js'
import { randomOf, seeds, withSeed } from '../support/random.js'

const { member, pet, friend, loan, tally } = club.tables
const partitions = 4

type Callable = Pick<Database, 'call' | 'table' | 'query' | 'snapshot'>

async function answerOf(db: Callable, { member: lane, steps }: Act): Promise<unknown> {
  try {
    return lane === undefined ? await db.call(act, { steps: steps as never }) : await db.call(actIn, { member: lane, steps: steps as never })
  } catch (error) {
    if (!SluiceError.is(error)) throw error
    return { code: error.code, reason: error.reason, details: error.details }
  }
}

/** Everything that can be read, by every way. */
function stateOf(db: Pick<Callable, 'table' | 'query'>): unknown {
  const byKey = (rows: Iterable<unknown>): string[] => [...rows].map((row) => JSON.stringify(row)).sort()
  return {
    members: [...db.table(member).scan()],
    reversed: [...db.table(member).scan({ reverse: true, limit: 7 })],
    some: [...db.table(member).scan({ from: 3, to: 11 })],
    counts: [db.table(member), db.table(pet), db.table(friend), db.table(loan), db.table(tally)].map((table) => table.count()),
    pets: [...db.table(pet).scan()],
    ofOne: [...db.table(pet).scan({ prefix: [5] })],
    friends: byKey(db.table(friend)),
    loans: byKey(db.table(loan)),
    tallies: byKey(db.table(tally)),
    rooms: ['a', 'b', 'c'].map((room) => db.table(member).index.byRoom.get(room)),
    ranges: [[...db.table(member).index.byRoom.scan({ from: 'b', limit: 5 })], [...db.table(member).index.byRoom.scan({ reverse: true })]],
    seats: [0, 1, 2].map((seat) => db.table(member).index.bySeat.get(['a', seat])),
    emails: ['a1@club', 'b2@club', 'c3@club'].map((email) => db.table(member).index.email.get(email)),
    names: ['a', 'dd'].map((name) => db.table(pet).index.byName.get(name)),
    points: [0, 1, 2, 3].map((n) => [db.table(pet).get([n, n + 4]), db.table(pet).has([n, n + 4]), db.table(member).value(n, 'about')]),
    query: db.query(perRoom),
  }
}

describe('a fork', () => {
  test.each(seeds(6))('answers and holds what a copy of the database does (seed %i)', async (seed) => {
    await withSeed(seed, async (random) => {
      const path = random.chance(0.3) ? await newFolder() : undefined
      const open = (at?: string): Promise<Database> => openFor(branchApp, { partitions, ...(at === undefined ? {} : { path: at, durability: 'os' as const }) })
      let db = await open(path)
      const same = await open()
      const alone = await open()
      const acts = Array.from({ length: 120 }, () => actOf(random))
      for (const one of acts) for (const each of [db, same, alone]) await answerOf(each, one)
      if (path !== undefined && random.chance(0.5)) {
        await db.close()
        db = await open(path)
      }
      await using fork = await db.fork()
      expect(stateOf(fork)).toEqual(stateOf(same))
      for (let round = 0; round < 100; round += 1) {
        if (random.chance(0.4)) {
          const one = actOf(random)
          expect(await answerOf(db, one), `round ${round}, the database: ${JSON.stringify(one)}`).toEqual(await answerOf(alone, one))
        }
        const one = actOf(random)
        expect(await answerOf(fork, one), `round ${round}, the fork: ${JSON.stringify(one)}`).toEqual(await answerOf(same, one))
        if (round % 20 === 19) expect(stateOf(fork), `round ${round}`).toEqual(stateOf(same))
      }
      expect(await fork.call(rooms)).toEqual(await same.call(rooms))
      const one = await fork.call(look, { steps: [['member', 'scan'], ['pet', 'count']] as never })
      expect(one).toEqual(await same.call(look, { steps: [['member', 'scan'], ['pet', 'count']] as never }))
      expect(stateOf(db)).toEqual(stateOf(alone))
    })
  })

  test.each(seeds(4))('tells what it has changed, which is what lies between the two (seed %i)', async (seed) => {
    await withSeed(seed, async (random) => {
      const db = await openFor(branchApp, { partitions })
      for (let n = 0; n < 80; n += 1) await answerOf(db, actOf(random))
      await using fork = await db.fork()
      for (let n = 0; n < 40; n += 1) await answerOf(fork, actOf(random))
      for (const table of [member, pet, friend, loan, tally]) {
        const rowsOf = (from: Pick<Callable, 'table'>): Map<string, unknown> => {
          const name = (row: Readonly<Record<string, unknown>>): string => JSON.stringify(table === pet ? [row['member'], row['n']] : (row['id'] ?? row['what']))
          return new Map([...(from.table(table as typeof member) as Iterable<Readonly<Record<string, unknown>>>)].map((row) => [name(row), row]))
        }
        const [before, after] = [rowsOf(db), rowsOf(fork)]
        const changed = new Map(fork.diff().filter((change) => table.is(change as never)).map((change) => [JSON.stringify(change.key), change]))
        for (const key of new Set([...before.keys(), ...after.keys(), ...changed.keys()])) {
          const [was, is, change] = [before.get(key), after.get(key), changed.get(key)]
          if (JSON.stringify(was) === JSON.stringify(is)) expect(change, key).toBeUndefined()
          else expect({ before: change?.before, after: change?.after }).toEqual({ before: was, after: is })
        }
      }
    })
  })

  test('of a moment of the past has its rows, from memory and from the disk', async () => {
    const path = await newFolder()
    const options = { path, durability: 'os', partitions } as const
    let db = await openOnce(branchApp, options)
    const random = randomOf(7)
    const moments: { readonly position: Fork['position']; readonly state: unknown }[] = []
    for (let n = 0; n < 60; n += 1) {
      await answerOf(db, actOf(random))
      if (n % 20 !== 19) continue
      using snapshot = db.snapshot()
      moments.push({ position: snapshot.position, state: stateOf(snapshot) })
    }
    const mustBe = async (): Promise<void> => {
      for (const { position, state } of moments) {
        await using fork = await db.fork(position)
        expect(fork.position).toBe(position)
        expect(stateOf(fork)).toEqual(state)
        await fork.call(act, { steps: [['member', 'insert', { email: 'new@club', room: 'new', seat: 1 }]] as never })
        expect(fork.table(member).index.email.get('new@club')).toMatchObject({ room: 'new' })
      }
    }
    await mustBe()
    await db.checkpoint()
    await db.close()
    db = await openOnce(branchApp, options)
    try {
      await mustBe()
      expect(db.table(member).index.email.get('new@club')).toBeUndefined()
    } finally {
      await db.close()
    }
  })

  test('has transactions of its own: interactive ones, snapshots, commits, ids', async () => {
    const db = await openFor(branchApp, { partitions })
    const ann = (await db.call(act, { steps: [['member', 'insert', { email: 'ann@club', room: 'a', seat: 1 }]] as never }, { id: 'one' }) as number[])[0]!
    await using fork = await db.fork()
    const commits = take(fork.changes(), 2)
    using before = fork.snapshot()
    expect(before.position).toBe(fork.position)
    await fork.transact((tx) => {
      const row = tx.table(member).get(ann)!
      tx.table(member).update(ann, { seat: row.seat + 1 })
    })
    const again = await fork.submit(act, { steps: [['member', 'get', ann]] as never }, { id: 'one' })
    expect(again).toMatchObject({ repeated: false, durability: 'memory', value: [{ seat: 2 }] })
    expect((await fork.submit(act, { steps: [['member', 'get', ann]] as never }, { id: 'one' })).repeated).toBe(true)
    expect(await fork.submitMany(act, [{ steps: [['pet', 'insert', { member: ann, points: 1, of: 2 }]] as never }])).toMatchObject([{ ok: true }])
    expect((await commits).map(({ changes }) => changes.map(({ kind, table }) => [kind, table]))).toEqual([[['update', 'club.member']], [['insert', 'club.pet']]])
    expect(before.table(member).get(ann)).toMatchObject({ seat: 1 })
    expect(before.query(perRoom)).toEqual([{ room: 'a', members: 1, seats: 1 }])
    expect(fork.query(perRoom)).toEqual([{ room: 'a', members: 1, seats: 2 }])
    expect(db.table(member).get(ann)).toMatchObject({ seat: 1 })
    const stale = refused(
      fork.transact(async (tx) => {
        const { seat } = tx.table(member).get(ann)!
        await fork.call(act, { steps: [['member', 'add', ann, { seat: 5 }]] as never })
        tx.table(member).update(ann, { seat })
      }),
      'CONFLICT',
    )
    await stale
    expect(await fork.call(seatBefore, { id: ann })).toBe(7)
  })

  test('runs atomic handlers, and none that would run after the commit', async () => {
    const db = await openFor(branchApp, { partitions })
    await db.call(act, { steps: [['emit', 'x']] as never })
    await using fork = await db.fork()
    await fork.call(act, { steps: [['emit', 'x'], ['emit', 'x'], ['emit', 'y']] as never })
    expect([...fork.table(tally)]).toEqual(expect.arrayContaining([{ what: 'x', times: 3 }, { what: 'y', times: 1 }]))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(fork.table(watch.tables.seen).get('y')).toBeUndefined()
    expect(db.table(tally).get('x')).toMatchObject({ times: 1 })
  })

  test('ends: closed by its user, by its database, by a signal before it began', async () => {
    const db = await openFor(branchApp, { partitions })
    const fork = await db.fork()
    await fork.close()
    await fork.close()
    await refused(fork.call(rooms), 'DATABASE_CLOSED')
    thrown(() => fork.table(member).get(1), 'DATABASE_CLOSED')
    expect(db.stats().snapshots).toMatchObject({})
    await refused(db.fork(undefined, { signal: AbortSignal.abort() }), 'CANCELLED')
    await refused(db.fork(new Date(Number.NaN)), 'INVALID_USE')
    await refused(db.fork('nonsense' as never), 'INVALID_USE')
    await refused(db.fork(undefined, { speed: 1 } as never), 'INVALID_USE')
    const other = await db.fork()
    await db.close()
    await refused(other.call(rooms), 'DATABASE_CLOSED')
    await refused(db.fork(), 'DATABASE_CLOSED')
  })
})

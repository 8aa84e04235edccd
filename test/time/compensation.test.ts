/** Taking a committed transaction back by a new one: whole, once, and only while nothing that it wrote has changed since. */
import { type Commit, type Database, type Position, SluiceError } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import branchApp, { act, actIn, club } from '../support/apps/branch-app.js'
import { actOf } from '../support/branch-plans.js'
import { newFolder, openFor, refused, take } from '../support/fixture.js'
import { seeds, withSeed } from '../support/random.js'

const { member, pet, friend, loan, tally } = club.tables
const partitions = 4
const steps = (...given: readonly (readonly unknown[])[]): { readonly steps: never } => ({ steps: given as never })

const byKey = (rows: Iterable<unknown>): string[] => [...rows].map((row) => JSON.stringify(row)).sort()
const stateOf = (db: Database): unknown => [member, pet, friend, loan, tally].map((table) => byKey(db.table(table as typeof member)))

/** All commits so far that changed rows of the club. */
async function commitsOf(db: Database, count: number): Promise<Commit[]> {
  return count === 0 ? [] : ((await take(db.changes({ from: 'beginning', tables: [member, pet, friend, loan, tally] }), count)) as Commit[])
}

describe('compensation', () => {
  test.each(seeds(4))('in reverse order leads back through every state (seed %i)', async (seed) => {
    await withSeed(seed, async (random) => {
      const db = await openFor(branchApp, { partitions, ...(random.chance(0.4) ? { path: await newFolder(), durability: 'os' as const } : {}) })
      const states = [stateOf(db)]
      for (let n = 0; n < 60; n += 1) {
        const { member: lane, steps: given } = actOf(random)
        try {
          await (lane === undefined ? db.call(act, { steps: given as never }) : db.call(actIn, { member: lane, steps: given as never }))
        } catch (error) {
          if (!SluiceError.is(error)) throw error
        }
        const state = stateOf(db)
        if (JSON.stringify(state) !== JSON.stringify(states.at(-1))) states.push(state)
      }
      const commits = await commitsOf(db, states.length - 1)
      const until = random.below(Math.min(10, commits.length))
      for (let n = commits.length - 1; n >= until; n -= 1) {
        const { position } = commits[n]!
        const receipt = await db.compensate(position)
        expect(receipt.position > position).toBe(true)
        expect(stateOf(db), `commit ${n}`).toEqual(states[n])
        const again = await db.compensate(position)
        expect(again).toEqual({ ...receipt, repeated: true })
      }
    })
  })

  test.each(seeds(4))('out of order is done or refused, by whether the rows have changed since (seed %i)', async (seed) => {
    await withSeed(seed, async (random) => {
      const db = await openFor(branchApp, { partitions })
      let count = 0
      for (let n = 0; n < 50; n += 1) {
        const before = JSON.stringify(stateOf(db))
        await db.call(act, { steps: actOf(random).steps as never }).catch(() => undefined)
        if (JSON.stringify(stateOf(db)) !== before) count += 1
      }
      const commits = await commitsOf(db, count)
      for (let round = 0; round < 15; round += 1) {
        const { position, changes } = random.pick(commits)
        const before = stateOf(db)
        const rows = changes.map(({ table, key, after }) => ({ key, after, is: [member, pet, friend, loan, tally].find((one) => one.is({ table } as never))! }))
        const changed = rows.find(({ is, key, after }) => JSON.stringify(db.table(is as typeof member).get(key as never)) !== JSON.stringify(after))
        try {
          const { repeated } = await db.compensate(position)
          if (repeated) expect(stateOf(db)).toEqual(before)
          else {
            expect(changed).toBeUndefined()
            for (const { table, key, before: was } of changes) {
              const is = [member, pet, friend, loan, tally].find((one) => one.is({ table } as never))!
              expect(db.table(is as typeof member).get(key as never)).toEqual(was)
            }
          }
        } catch (error) {
          if (!SluiceError.is(error)) throw error
          expect(stateOf(db)).toEqual(before)
          if (changed === undefined) expect(error.code).toBe('CONSTRAINT')
          else expect(error).toMatchObject({ code: 'CONFLICT', details: { key: expect.anything() as unknown } })
        }
      }
    })
  })

  test('is one commit, which says what it takes back, and does something more in the same transaction', async () => {
    const path = await newFolder()
    let db = await openFor(branchApp, { partitions, path, durability: 'os' })
    await db.call(act, steps(['member', 'put', { id: 4, room: 'a', seat: 1, email: 'a@club' }], ['member', 'put', { id: 5, room: 'a', seat: 2, email: 'b@club' }]))
    const { position } = await db.submit(act, steps(
      ['member', 'update', 4, { email: null }], ['member', 'update', 5, { email: 'a@club' }], ['member', 'update', 4, { email: 'b@club' }],
      ['pet', 'insert', { member: 4, points: 1, of: 2 }], ['emit', 'swapped'],
    ))
    const stream = take(db.changes({ tables: [member], events: [club.events.happened] }), 1)
    const receipt = await db.compensate(position, { also: (tx) => void tx.emit(club.events.happened, { what: 'taken back' }) })
    const [commit] = await stream
    expect(commit).toMatchObject({ position: receipt.position, procedure: undefined, requestId: `compensate:${position}`, events: [{ type: 'club.happened' }] })
    expect([4, 5].map((id) => db.table(member).get(id)?.email)).toEqual(['a@club', 'b@club'])
    expect(db.table(pet).count()).toBe(0)
    expect(byKey(db.table(tally))).toEqual(byKey([{ what: 'taken back', times: 1 }]))
    await db.close()
    db = await openFor(branchApp, { partitions, path, durability: 'os' })
    expect(await db.compensate(position)).toEqual({ ...receipt, repeated: true })
    // A compensation is a transaction: it can be taken back, too.
    await db.compensate(receipt.position)
    expect([4, 5].map((id) => db.table(member).get(id)?.email)).toEqual(['b@club', 'a@club'])
    expect(db.table(pet).count()).toBe(1)
  })

  test('is refused where a rule would break: somebody refers to what would go', async () => {
    const db = await openFor(branchApp, { partitions })
    const { position } = await db.submit(act, steps(['member', 'put', { id: 4, room: 'a', seat: 1 }]))
    await db.call(act, steps(['loan', 'put', { id: 1, to: 4 }]))
    const error = await refused(db.compensate(position), 'CONSTRAINT')
    expect(error.details).toMatchObject({ table: 'club.loan', key: 1 })
    expect(db.table(member).has(4)).toBe(true)
  })

  test('meets no transaction half way: of those that run beside it some come first, and then it is refused', async () => {
    const db = await openFor(branchApp, { partitions, workers: 1 })
    const { position } = await db.submit(act, steps(['member', 'put', { id: 4, room: 'a', seat: 1 }], ['member', 'put', { id: 5, room: 'b', seat: 1 }]))
    const outcomes = await Promise.allSettled([db.call(act, steps(['member', 'add', 5, { seat: 1 }])), db.compensate(position), db.call(act, steps(['member', 'add', 4, { seat: 1 }]))])
    const isUndone = outcomes[1]!.status === 'fulfilled'
    expect([db.table(member).has(4), db.table(member).has(5)]).toEqual(isUndone ? [false, false] : [true, true])
    if (!isUndone) expect(outcomes[1]).toMatchObject({ reason: { code: 'CONFLICT' } })
  })

  test('takes the position of a commit, and nothing else', async () => {
    const db = await openFor(branchApp, { partitions })
    const { position } = await db.submit(act, steps(['member', 'put', { id: 4, room: 'a', seat: 1 }]))
    await refused(db.compensate(`${position.slice(0, -1)}7` as Position), 'NOT_FOUND')
    await refused(db.compensate('ffff000000000000-00000000' as Position), 'INVALID_USE')
    await refused(db.compensate(new Date() as never), 'INVALID_USE')
    await refused(db.compensate(position, { speed: 1 } as never), 'INVALID_USE')
    await refused(db.compensate(position, { also: 1 as never }), 'INVALID_USE')
    await refused(db.compensate(position, { signal: AbortSignal.abort() }), 'CANCELLED')
    await refused(db.compensate(position, { also: (tx) => tx.abort('NO') }), 'ABORTED')
  })
})

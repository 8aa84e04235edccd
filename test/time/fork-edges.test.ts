/** What a fork meets at its edges: unique values of rows that nobody has looked at, its memory, a batch that is rolled back, a base that is given up. */
import { SluiceError } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import { openFork, type OpenEngine } from '../../dist/engine/index.js'
import { SluiceDatabase } from '../../dist/bindings/database.js'
import branchApp, { act, club } from '../support/apps/branch-app.js'
import lanesApp, { bump, lanes, overflow } from '../support/apps/lanes-app.js'
import { openFor, refused } from '../support/fixture.js'
import { openInside, type Inside } from '../support/inside.js'

const { member, pet, friend, loan } = club.tables
const MiB = 2 ** 20
const steps = (...given: readonly (readonly unknown[])[]): { readonly steps: never } => ({ steps: given as never })

/** A fork with less memory than users get. */
function small(inside: Inside, bytes: number): SluiceDatabase {
  const { engine } = inside
  const view = engine.openView()!
  const base = { engine, options: {}, catalog: {} } as unknown as OpenEngine
  return new SluiceDatabase(openFork(base, view, { batch: view.batch, index: 0, time: 0 }, bytes), engine.program)
}

describe('a fork', () => {
  test('knows the rows that it has not seen by their unique values, by what they refer to, and by their keys', async () => {
    const db = await openFor(branchApp, { partitions: 4 })
    await db.call(act, steps(
      ['member', 'put', { id: 1, room: 'a', seat: 1, email: 'one@club' }],
      ['member', 'put', { id: 2, room: 'b', seat: 2, email: 'two@club' }],
      ['member', 'put', { id: 3, room: 'c', seat: 3 }],
      ['pet', 'put', { member: 1, n: 4, points: 1, of: 2 }],
      ['friend', 'put', { id: 7, of: 1 }],
      ['loan', 'put', { id: 8, to: 2 }],
    ))
    const wrong = async (step: readonly unknown[], constraint: string): Promise<void> => {
      await using fork = await db.fork()
      const { details } = await refused(fork.call(act, steps(step)), 'CONSTRAINT')
      expect(details['constraint']).toBe(constraint)
      expect(fork.diff()).toEqual([])
    }
    await wrong(['member', 'insert', { room: 'x', seat: 9, email: 'one@club' }], 'email')
    await wrong(['member', 'put', { id: 2, room: 'x', seat: 9, email: 'one@club' }], 'email')
    await wrong(['member', 'update', 2, { email: 'one@club' }], 'email')
    await wrong(['member', 'set', 3, { email: 'one@club' }], 'email')
    await wrong(['member', 'update', 2, { room: 'a', seat: 1 }], 'bySeat')
    await wrong(['member', 'add', 3, { seat: -5 }], 'min')
    await wrong(['member', 'insert', { id: 1, room: 'x', seat: 9 }], 'key')
    await wrong(['pet', 'insert', { member: 9, points: 1, of: 2 }], 'member')
    await wrong(['member', 'delete', 2], 'to')
    await using fork = await db.fork()
    await fork.call(act, steps(['member', 'delete', 1]))
    expect([fork.table(pet).count(), fork.table(friend).get(7)?.of, fork.table(loan).get(8)?.to]).toEqual([0, null, 2])
    expect(fork.diff().map(({ kind, table, key }) => [kind, table, key])).toEqual(expect.arrayContaining([['delete', 'club.member', 1], ['delete', 'club.pet', [1, 4]], ['update', 'club.friend', 7]]))
    expect(fork.diff()).toHaveLength(3)
    // Numbers go on where the database was.
    expect(await fork.call(act, steps(['member', 'insert', { room: 'x', seat: 9 }]))).toEqual(await db.call(act, steps(['member', 'insert', { room: 'x', seat: 9 }])))
  })

  test('has memory for so much, and says so; reading from outside takes none', async () => {
    const inside = await openInside(branchApp, { partitions: 4 })
    const about = 'x'.repeat(4_000)
    for (let id = 1; id <= 4_500; id += 500) await inside.db.call(act, { steps: Array.from({ length: 500 }, (_, n) => ['member', 'put', { id: id + n, room: `room ${id + n}`, seat: 1, about }]) as never })
    const fork = small(inside, 16 * MiB)
    const error = await refused(fork.call(act, steps(['member', 'scan'])), 'OUT_OF_SPACE')
    expect(error.message).toContain('A fork holds')
    expect(error.details['bytes']).toBeGreaterThan(15 * MiB)
    expect([...fork.table(member) as Iterable<unknown>]).toHaveLength(4_500)
    expect(await fork.call(act, steps(['member', 'add', 5, { seat: 2 }], ['member', 'count']))).toEqual([null, 4_500])
    expect(fork.table(member).get(5)).toMatchObject({ seat: 3 })
    await fork.close()
    expect(inside.db.table(member).get(5)).toMatchObject({ seat: 1 })
  })

  test('R36: a batch that is rolled back leaves the rows of the base as they are', { timeout: 60_000 }, async () => {
    const db = await openFor(lanesApp, { partitions: 4 })
    const expected = new Map<number, number>()
    for (let at = 0; at < 40; at += 1) {
      await db.call(bump, { at, n: at })
      expected.set(at, at)
    }
    await using fork = await db.fork()
    let broken = 0
    for (let round = 0; round < 4 || (broken < 1 && round < 40); round += 1) {
      const calls = Array.from({ length: 10 }, (_, n) => ({ at: (round * 7 + n * 3) % 40, n: 1 + n }))
      const pending = calls.slice(0, 5).map((it) => fork.call(bump, it))
      const guilty = fork.call(overflow, { at: 100 + round, frames: 20 + round * 3 }).catch((error: unknown) => error)
      pending.push(...calls.slice(5).map((it) => fork.call(bump, it)))
      await Promise.all(pending)
      for (const { at, n } of calls) expected.set(at, expected.get(at)! + n)
      if (SluiceError.is(await guilty, 'PROCEDURE_FAILED')) broken += 1
      expect(new Map([...fork.table(lanes.tables.cell)].filter(({ at }) => at < 100).map(({ at, n }) => [at, n]).sort(([a], [b]) => a! - b!) as [number, number][])).toEqual(expected)
    }
    expect(broken, 'some overflows struck inside an operation').toBeGreaterThan(0)
    expect(db.table(lanes.tables.cell).get(7)).toMatchObject({ n: 7 })
  })

  test('ends with SNAPSHOT_TOO_OLD where the database has given up its moment, and the database goes on', async () => {
    const inside = await openInside(branchApp, { partitions: 4, historyBytes: 0, memoryBytes: 16 * MiB })
    await inside.db.call(act, steps(['member', 'put', { id: 1, room: 'a', seat: 1 }]))
    await using fork = await inside.db.fork()
    for (let n = 0; n < 2_000; n += 1) {
      try {
        await inside.db.call(act, steps(['member', 'put', { id: 2, room: 'b', seat: 1, about: `${n}`.repeat(4_000) }]))
      } catch (error) {
        if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
      }
      if (n % 50 !== 49) continue
      const ended = await fork.call(act, steps(['member', 'get', 1_000 + n])).catch((error: unknown) => error)
      if (SluiceError.is(ended, 'SNAPSHOT_TOO_OLD')) return
    }
    expect.fail('the base was never given up')
  })
})


/**
 * The past, against a model that keeps every state: `asOf` by position and by Date, and `history` of every row, after reopening, behind
 * checkpoints, and where retention has been.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, type OpenOptions, type Position, type RowVersion, SluiceError } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import branchApp, { act, actIn, club } from '../support/apps/branch-app.js'
import notesApp, { erase, notes, write } from '../support/apps/notes-app.js'
import { actOf } from '../support/branch-plans.js'
import { newFolder, openFor, openOnce, refused, take, thrown, until } from '../support/fixture.js'
import { type Random, seeds, withSeed } from '../support/random.js'

const { member, pet } = club.tables
const partitions = 4
const fixed = Symbol.for('sluicedb.fixed')
const stepMs = 10

type AnyRow = Readonly<Record<string, unknown>>
type Rows = ReadonlyMap<string, AnyRow>
interface State {
  readonly position: Position
  readonly time: number
  readonly members: Rows
  readonly pets: Rows
}
type Version = RowVersion<AnyRow>

const keyed = (rows: Iterable<AnyRow>, keyOf: (row: AnyRow) => unknown): Rows => new Map([...rows].map((row) => [JSON.stringify(keyOf(row)), row]))
const memberKey = (row: AnyRow): unknown => row['id']
const petKey = (row: AnyRow): unknown => [row['member'], row['n']]

class Model {
  readonly states: State[] = []

  /** The state behind every call that changed something. */
  async step(db: Database, random: Random): Promise<void> {
    const { member: lane, steps } = actOf(random)
    // What runs behind a commit would stand in the batch of the next call, or beside it.
    await until(() => db.stats().handlers.every(({ isBehind }) => !isBehind), 'the handlers have caught up')
    const id = random.chance(0.3) ? `call ${this.states.length}` : undefined
    try {
      await (lane === undefined ? db.call(act, { steps: steps as never }, { id }) : db.call(actIn, { member: lane, steps: steps as never }, { id }))
    } catch (error) {
      if (!SluiceError.is(error)) throw error
    }
    using now = db.snapshot()
    if (now.position === this.states.at(-1)?.position) return
    this.states.push({ position: now.position, time: now.time, members: keyed(now.table(member).scan(), memberKey), pets: keyed(now.table(pet).scan(), petKey) })
  }

  /** What became of a row: the states in which it differs from the one before. */
  versionsOf(rows: 'members' | 'pets', key: string): Omit<Version, 'procedure' | 'requestId'>[] {
    let before: AnyRow | undefined
    return this.states.flatMap((state) => {
      const after = state[rows].get(key)
      const was = before
      before = after
      if (JSON.stringify(was) === JSON.stringify(after)) return []
      const kind = was === undefined ? 'insert' : after === undefined ? 'delete' : 'update'
      return [{ position: state.position, time: state.time, kind, before: was, after } as Version]
    })
  }
  keysOf(rows: 'members' | 'pets'): string[] {
    return [...new Set(this.states.flatMap((state) => [...state[rows].keys()]))]
  }
}

async function all<T>(of: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const one of of) found.push(one)
  return found
}
const bare = (versions: readonly Version[]): unknown[] => versions.map(({ procedure: _, requestId: __, ...rest }) => rest)

describe.each([
  { name: 'in memory', disk: false, runs: 3 },
  { name: 'on disk', disk: true, runs: 2 },
])('$name', ({ disk, runs }) => {
  test.each(seeds(runs))('every state and every version is as the model has kept it (seed %i)', async (seed) => {
    await withSeed(seed, async (random) => {
      const path = disk ? await newFolder() : undefined
      let nowMs = 1_000_000
      const open = (): Promise<Database> => {
        nowMs += 1_000_000
        return openFor(branchApp, { partitions, path, history: { bytes: random.pick([0, 2 ** 12, 2 ** 26]) }, ...(disk ? { durability: 'os' } : {}), [fixed]: { nowMs, stepMs, seed: 1 } } as OpenOptions)
      }
      let db = await open()
      const model = new Model()
      for (let n = 0; n < 120; n += 1) {
        await model.step(db, random)
        if (!disk || !random.chance(0.03)) continue
        if (random.chance(0.5)) await db.checkpoint()
        await db.close()
        db = await open()
      }
      await mustKnowVersions(db, model, random, disk)
      await mustKnowStates(db, model, random, disk)
    })
  })
})

async function mustKnowVersions(db: Database, model: Model, random: Random, disk: boolean): Promise<void> {
  for (const rows of ['members', 'pets'] as const) {
    for (const key of model.keysOf(rows).filter(() => random.chance(0.4))) {
      const wanted = model.versionsOf(rows, key)
      const history = (options?: object): AsyncIterable<Version> => db.history((rows === 'members' ? member : pet) as never, JSON.parse(key) as never, options) as AsyncIterable<Version>
      const found = await all(history())
      expect(bare(found), `${rows} ${key}`).toEqual(wanted)
      for (const { procedure } of found) expect(['club.act', 'club.actIn']).toContain(procedure)
      const limit = 1 + random.below(4)
      expect(bare(await all(history({ limit, reverse: true })))).toEqual(wanted.toReversed().slice(0, limit))
      if (wanted.length === 0) continue
      const [from, to] = [random.below(wanted.length), random.below(wanted.length)].sort((a, b) => a - b) as [number, number]
      const within = wanted.slice(from, to + 1)
      expect(bare(await all(history({ from: wanted[from]!.position, to: wanted[to]!.position })))).toEqual(within)
      expect(bare(await all(history({ from: new Date(wanted[from]!.time), to: new Date(wanted[to]!.time), reverse: true })))).toEqual(within.toReversed())
    }
  }
  expect(await all(db.history(member, 4_711))).toEqual([])
}

async function mustKnowStates(db: Database, model: Model, random: Random, disk: boolean): Promise<void> {
  for (let n = 0; n < 12; n += 1) {
    const place = random.below(model.states.length)
    const state = model.states[place]!
    const next = model.states[place + 1]
    const late = Math.min((next?.time ?? Infinity) - 1, state.time + random.below(stepMs))
    for (const moment of [state.position, new Date(late)]) {
      try {
        using past = await db.asOf(moment)
        expect(past.position).toBe(state.position)
        expect(past.time).toBe(state.time)
        expect(keyed(past.table(member).scan(), memberKey)).toEqual(state.members)
        expect(keyed(past.table(pet).scan(), petKey)).toEqual(state.pets)
      } catch (error) {
        if (disk || !SluiceError.is(error, 'HISTORY_GONE')) throw error // without a path memory is all there is
      }
    }
  }
}

test.each([false, true])('before the first commit there was nothing, and the position of a call that has recorded nothing says so (seed 1386298940 of the aggregates), on disk: %s', async (isOnDisk) => {
  const path = isOnDisk ? await newFolder() : undefined
  const first = await openOnce(notesApp, { ...(path && { path }), history: { bytes: 2 ** 20 } })
  const before = new Date(Date.now() - 60_000)
  const start = first.stats().position
  const { position: ofNothing } = await first.submit(erase, { owner: 'ann', id: 7 })
  const { position } = await first.submit(write, { owner: 'ann', id: 1, text: 'x', tag: null })
  const count = async (db: Database, moment: Position | Date): Promise<number> => {
    using past = await db.asOf(moment)
    return past.table(notes.tables.note).count()
  }
  const counts = async (db: Database) => [await count(db, start), await count(db, ofNothing), await count(db, before), await count(db, position)]
  expect(await counts(first)).toEqual([0, 0, 0, 1])
  await first.close()
  if (path === undefined) return
  const second = await openFor(notesApp, { path })
  expect(await counts(second)).toEqual([0, 0, 0, 1])
})

describe('a history', () => {
  test('tells who made a version, and by which request', async () => {
    const db = await openFor(branchApp, { partitions })
    await db.call(act, { steps: [['member', 'put', { id: 4, room: 'a', seat: 1 }]] as never }, { id: 'first' })
    await db.transact((tx) => tx.table(member).update(4, { seat: 2 }))
    await db.call(actIn, { member: 4, steps: [['member', 'set', 4, { about: 'x' }], ['member', 'set', 4, { about: 'y' }]] as never })
    await db.call(act, { steps: [['member', 'delete', 4], ['member', 'put', { id: 4, room: 'b', seat: 1 }]] as never })
    const versions = await all(db.history(member, 4))
    expect(versions.map(({ kind, procedure, requestId }) => [kind, procedure, requestId])).toEqual([
      ['insert', 'club.act', 'first'],
      ['update', undefined, undefined],
      ['update', 'club.actIn', undefined],
      ['update', 'club.act', undefined],
    ])
    expect(versions.map(({ after }) => [after?.room, after?.seat, after?.about])).toEqual([['a', 1, ''], ['a', 2, ''], ['a', 2, 'y'], ['b', 1, '']])
  })

  test('of many versions is read in reverse with a bounded memory, and whole', async () => {
    const db = await openFor(branchApp, { partitions })
    await db.call(act, { steps: [['member', 'put', { id: 4, room: 'a', seat: 0 }]] as never })
    await db.submitMany(actIn, Array.from({ length: 5_000 }, () => ({ member: 4, steps: [['member', 'add', 4, { seat: 1 }]] as never })))
    const seats = (await all(db.history(member, 4, { reverse: true }))).map(({ after }) => after?.seat)
    expect(seats).toEqual(Array.from({ length: 5_001 }, (_, n) => 5_000 - n))
    expect(await take(db.history(member, 4, { from: new Date(0) }), 3)).toHaveLength(3)
  })

  test('says where retention has cut it off, and refuses only when nothing is left', async () => {
    const path = await newFolder()
    const db = await openOnce(notesApp, { path, retention: { bytes: 0 }, durability: 'os' })
    try {
      const first = await db.submit(write, { owner: 'ann', id: 1, text: 'one', tag: null })
      expect(db.history(notes.tables.note, ['ann', 1]).oldest).toBeUndefined()
      await db.submitMany(write, Array.from({ length: 60 }, (_, n) => ({ owner: 'ann', id: n + 2, text: 'x'.repeat(100_000), tag: null })))
      for (let n = 0; n < 2; n += 1) await db.checkpoint()
      expect(readdirSync(join(path, 'log'))).not.toContain('0000000001.slog')
      await db.call(write, { owner: 'ann', id: 1, text: 'two', tag: null })
      const history = db.history(notes.tables.note, ['ann', 1])
      expect((await all(history)).map(({ kind, before, after }) => [kind, before?.text, after?.text])).toEqual([['update', 'one', 'two']])
      expect(history.oldest! > first.position).toBe(true)
      expect(await all(db.history(notes.tables.note, ['ann', 1], { reverse: true }))).toHaveLength(1)
      const gone = await refused(all(db.history(notes.tables.note, ['ann', 1], { to: first.position })), 'HISTORY_GONE')
      expect(gone.details).toEqual({ oldest: history.oldest })
      await refused(all(db.history(notes.tables.note, ['ann', 1], { to: new Date(0) })), 'HISTORY_GONE')
    } finally {
      await db.close()
    }
  })

  test('is refused with wrong options, ends by its signal and with its database', async () => {
    const db = await openFor(branchApp, { partitions })
    await db.call(act, { steps: [['member', 'put', { id: 4, room: 'a', seat: 1 }]] as never })
    thrown(() => db.history(member, 'four' as never), 'INVALID_INPUT')
    thrown(() => db.history({} as never, 4 as never), 'INVALID_USE')
    for (const options of [{ limit: -1 }, { reverse: 1 }, { from: 'now' }, { to: new Date(Number.NaN) }, { speed: 1 }, { signal: 1 }]) thrown(() => db.history(member, 4, options as never), 'INVALID_USE')
    expect(await all(db.history(member, 4, { limit: 0 }))).toEqual([])
    await refused(all(db.history(member, 4, { signal: AbortSignal.abort() })), 'CANCELLED')
    const late = db.history(member, 4)
    await db.close()
    await refused(all(late), 'DATABASE_CLOSED')
    thrown(() => db.history(member, 4), 'DATABASE_CLOSED')
  })
})

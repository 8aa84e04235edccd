/**
 * Random databases and random erasures, against a model that never had the subject: every state of the model is kept, and an erasure
 * goes through all of them. Compared are the rows, the stream from the beginning folded commit by commit, moments of the past,
 * the database opened again, a backup of it, and what `sluice verify` says; and no file holds a byte of who was erased for good.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Database } from 'sluicedb'
import { expect, test } from 'vitest'
import { sluiceJson } from '../cli/sluice.js'
import application, { dropNote, dropVisit, note, putBoth, putNote, putVisit, visit } from '../support/apps/erasure-app.js'
import { newFolder, openFor, openOnce } from '../support/fixture.js'
import { type Random, seeds, withSeed } from '../support/random.js'

interface Row {
  readonly id: number
  readonly owner: string | null
  readonly text: string | null
  readonly n: number
}
interface State {
  readonly note: Map<number, Row>
  readonly visit: Map<number, Row>
}
type Position = string

const emptyState = (): State => ({ note: new Map(), visit: new Map() })
const copyOf = (state: State): State => ({ note: new Map(state.note), visit: new Map(state.visit) })
const shown = (state: State): string => JSON.stringify([state.note, state.visit].map((rows) => [...rows.values()].sort((a, b) => a.id - b.id)))

class Model {
  current = emptyState()
  /** What the state was behind each position. */
  readonly states = new Map<Position, State>()

  at(position: Position): void {
    this.states.set(position, copyOf(this.current))
  }
  erase(subject: string): void {
    for (const state of [this.current, ...this.states.values()]) {
      for (const [id, row] of state.note) if (row.owner === subject) state.note.delete(id)
      for (const [id, row] of state.visit) if (row.owner === subject) state.visit.set(id, { ...row, owner: null, text: null })
    }
  }
}

const subjectOf = (n: number): string => `subject-${n}-q8w7`
const textOf = (random: Random, owner: string): string | null => random.pick([null, 'short', `of ${owner}`, `${owner} and more `.repeat(1 + random.below(60))])

async function step(db: Database, model: Model, random: Random): Promise<void> {
  const id = random.below(8)
  const owner = subjectOf(random.below(4))
  const row = { id, owner, text: textOf(random, owner), n: random.below(100) }
  const options = random.chance(0.3) ? { id: `${random.chance(0.5) ? owner : 'call'}:${random.below(2 ** 31)}` } : {}
  switch (random.below(6)) {
    case 0:
    case 1: {
      const { position } = await db.submit(putNote, row, options)
      model.current.note.set(id, row)
      return model.at(position)
    }
    case 2: {
      const { position } = await db.submit(putVisit, row, options)
      model.current.visit.set(id, row)
      return model.at(position)
    }
    case 3: {
      const { position } = await db.submit(putBoth, row, options)
      model.current.note.set(id, row)
      model.current.visit.set(id + 1, { ...row, id: id + 1 })
      return model.at(position)
    }
    case 4: {
      const isThere = model.current.note.delete(id)
      const { position } = await db.submit(dropNote, { id }, options)
      return isThere ? model.at(position) : undefined
    }
    default: {
      const isThere = model.current.visit.delete(id)
      const { position } = await db.submit(dropVisit, { id }, options)
      return isThere ? model.at(position) : undefined
    }
  }
}

const stateOf = (from: Pick<Database, 'table'>): State => ({
  note: new Map([...from.table(note)].map((row) => [row.id, { ...row }])),
  visit: new Map([...from.table(visit)].map((row) => [row.id, { ...row }])),
})

/** Every change of the stream fits what was before it, and every state is the model's. */
async function foldStream(db: Database, model: Model): Promise<void> {
  const state = emptyState()
  const last = db.stats().position
  let compared = 0
  for await (const { position, changes, events, erased, erasure } of db.changes({ from: 'beginning' })) {
    for (const { table, kind, key, before, after } of changes) {
      const rows = (table === 'people.note' ? state.note : state.visit) as Map<unknown, object>
      const was = rows.get(key)
      // Between two owners, `before` has what is personal as `after` has it.
      const passed = table === 'people.visit' && kind === 'update' ? { owner: before!['owner'], text: before!['text'] } : {}
      expect(was && { ...was, ...passed }, `${kind} of ${table} ${String(key)} at ${position}`).toEqual(before)
      if (after === undefined) rows.delete(key)
      else rows.set(key, after)
    }
    expect(changes.length + events.length > 0 || erased === true || erasure !== undefined).toBe(true)
    const expected = model.states.get(position)
    if (expected !== undefined) {
      expect(shown(state), `the stream at ${position}`).toBe(shown(expected))
      compared += 1
    }
    if (position >= last) break
  }
  expect(compared).toBeGreaterThan(5)
}

async function compare(db: Database, model: Model, random: Random): Promise<void> {
  expect(shown(stateOf(db))).toBe(shown(model.current))
  await foldStream(db, model)
  const positions = [...model.states.keys()]
  const position = random.pick(positions)
  const past = await db.asOf(position as never)
  expect(shown(stateOf(past)), `as of ${position}`).toBe(shown(model.states.get(position)!))
  past.close()
}

function filesWith(path: string, text: string): readonly string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => {
    const file = join(path, name)
    return statSync(file).isFile() && readFileSync(file).includes(text)
  })
}

async function run(random: Random, workers: number, rounds: number): Promise<void> {
  const path = join(await newFolder(), 'db')
  const model = new Model()
  // A subject that is erased last is nobody afterwards.
  const db = await openFor(application, { path, workers, durability: 'os', partitions: 3, checkpoint: { logBytes: Infinity } })
  for (let round = 0; round < rounds; round += 1) {
    for (let n = 0; n < 12; n += 1) {
      await step(db, model, random)
      if (random.chance(0.1)) await db.checkpoint()
    }
    const subject = subjectOf(random.below(4))
    const record = await db.erase(subject)
    model.erase(subject)
    model.at(record.position)
    expect(filesWith(path, subject)).toEqual([])
  }
  const gone = subjectOf(3)
  await db.erase(gone)
  model.erase(gone)
  await compare(db, model, random)
  const copy = join(path, '..', 'copy')
  await db.backup(copy)
  await db.close()
  for (const directory of [path, copy]) {
    expect(filesWith(directory, gone)).toEqual([])
    if (directory === path) expect(await sluiceJson('verify', directory)).toMatchObject({ isWhole: true, findings: [], log: { erasures: rounds + 1, isErasureUnderWay: false } })
    const again = await openOnce(application, { path: directory, durability: 'os' })
    try {
      await compare(again, model, random)
      if (directory === path) continue
      await step(again, model, random)
      expect(shown(stateOf(again))).toBe(shown(model.current))
    } finally {
      await again.close()
    }
  }
}

test('a database that has erased is one that never had who was erased', { timeout: 120_000 }, async () => {
  for (const seed of seeds(1)) await withSeed(seed, (random) => run(random, 0, 2))
})

test('with a worker too', { timeout: 120_000 }, async () => {
  await withSeed(77, (random) => run(random, 1, 1))
})

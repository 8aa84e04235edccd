/**
 * What retention takes out of segments (engine/stream/log-compactor.ts), against the definition on plain lists: of some tables the newest
 * change of each key is left, of some streams what is young enough or the newest bytes, everything else is as it was.
 *
 * One database writes the frames; each case lays them into small segments of a disk in memory and takes its own steps.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { app, column as c, service, table } from 'sluicedb'
import { beforeAll, expect, test } from 'vitest'
import type { LoggedCatalog } from '../../../engine/schema/catalog.js'
import { FrameDecoder } from '../../../engine/stream/frame-decoder.js'
import { compactLog, type CompactionReport, type CompactionRules } from '../../../engine/stream/log-compactor.js'
import {
  changeField, changeWords, compactedUpTo, decodeSchema, encodeSchema, ErasureJournal, eventWords, FileLogStorage, FrameBodyReader, inspectLog, listSegments, LogReader, LogWriter,
  MemoryLogStorage, recoverLog, type StorageFault, type StorageOperation,
} from '../../../wal/index.js'
import { openOnce } from '../../support/fixture.js'
import { randomOf, type Random, seeds, withSeed } from '../../support/random.js'

const shop = service('shop', {
  tables: {
    cart: table({ columns: { owner: c.text(), n: c.i32(), note: c.text().nullable(), sum: c.int() }, key: ['owner', 'n'] }),
    order: table({ columns: { id: c.int(), note: c.text() }, key: ['id'] }),
    visit: table({ columns: { page: c.text(), count: c.int() }, key: ['page'] }),
  },
  events: { viewed: { page: c.text(), by: c.text().nullable() }, opened: {}, ordered: { id: c.int() } },
})
const input = { owner: c.text(), n: c.i32(), note: c.text(), kind: c.i32(), id: c.int(), views: c.i32() }
const step = shop.procedure('step', { input }, (tx, { owner, n, note, kind, id, views }) => {
  if (kind === 0) tx.db.cart.delete([owner, n])
  else tx.db.cart.put({ owner, n, note: kind === 1 ? null : note, sum: id })
  if (kind === 3) tx.db.cart.put({ owner: 'shared', n: 0, note, sum: id })
  if (kind > 2) tx.db.order.put({ id, note })
  if (views > 0) tx.db.visit.put({ page: owner, count: id })
  for (let view = 0; view < views; view += 1) tx.emit('viewed', { page: note, by: view === 0 ? null : owner })
  if (views === 1) tx.emit('opened', {})
  if (kind > 2) tx.emit('ordered', { id })
  return { id, note }
})
const application = app(import.meta.url, [shop])
const owners = ['ann', 'bob', 'cid with a name that is longer than a cell of the row', 'é']
const startMs = 1_700_000_000_000

interface Frame {
  readonly batch: number
  readonly body: Uint8Array
}
interface Part {
  readonly kind: 'change' | 'event'
  /** Of a change: the key too. */
  readonly name: string
  readonly key: string
  /** As the decoder shows it. */
  readonly text: string
  /** In the body. */
  readonly bytes: number
}
interface Commit {
  readonly batch: number
  readonly index: number
  readonly now: number
  readonly parts: readonly Part[]
}

let frames: readonly Frame[]
let schema: Uint8Array
let catalog: LoggedCatalog
let commits: readonly Commit[]

beforeAll(async () => {
  const path = mkdtempSync(join(tmpdir(), 'sluice-test-'))
  const options = { path, durability: 'os' as const, partitions: 2, [Symbol.for('sluicedb.fixed')]: { nowMs: startMs, stepMs: 1_000, seed: 7 } }
  const db = await openOnce(application, options)
  const random = randomOf(5)
  for (let n = 0; n < 70; n += 1) {
    const one = () => ({ owner: random.pick(owners), n: random.below(3), note: 'x'.repeat(random.pick([0, 9, 200, 700])), kind: random.below(5), id: random.below(40), views: random.pick([0, 0, 1, 3]) })
    // Several in one batch, now and then with ids.
    await Promise.all(Array.from({ length: 1 + random.below(4) }, (_, k) => db.call(step, one(), { id: random.chance(0.2) ? `step ${n} ${k}` : undefined })))
  }
  await db.close()
  const found: Frame[] = []
  const log = FileLogStorage.open(join(path, 'log'))
  for (const { kind, batch, body } of recoverLog(log)) {
    if (kind === 'schema') schema = body.slice()
    else found.push({ batch, body: body.slice() })
  }
  rmSync(path, { recursive: true })
  frames = found
  catalog = JSON.parse(decodeSchema(schema)) as LoggedCatalog
  commits = found.flatMap(({ body }) => commitsOf(new FrameDecoder(catalog), body, true))
})

/** Sizes are counted where the body is as it was written. */
function commitsOf(decoder: FrameDecoder, bytes: Uint8Array, isSized = false): Commit[] {
  const body = new FrameBodyReader(bytes)
  body.check()
  const { words } = body
  const padded = (length: number): number => Math.ceil(length / 8) * 8
  const found: Commit[] = []
  let change = 0
  let event = 0
  decoder.decode(body, { tables: undefined, events: undefined, outcomes: true }, 0, ({ batch, index, changes, events, time, isCompacted, value, id }) => {
    const parts: Part[] = changes.map(({ table: name, key, ...rest }) => {
      const at = body.changesWord + change++ * changeWords
      return { kind: 'change', name, key: JSON.stringify(key), text: JSON.stringify(rest), bytes: isSized ? changeWords * 4 + padded(words[at + changeField.imageBytes]!) + padded(words[at + changeField.beforeBytes]!) : 0 }
    })
    for (const { type, payload } of events) {
      const at = body.eventsWord + event++ * eventWords
      parts.push({ kind: 'event', name: type, key: '', text: JSON.stringify(payload), bytes: isSized ? eventWords * 4 + padded(words[at + 2]!) : 0 })
    }
    if (isSized) expect(isCompacted).toBe(false)
    expect(id === undefined || value!.length > 0).toBe(true) // answers of calls with an id stay
    found.push({ batch, index, now: time, parts })
  })
  if (isSized) expect([change, event]).toEqual([body.changeCount, body.eventCount])
  return found
}

const databaseId = Uint8Array.from({ length: 16 }, (_, n) => n + 1)

function layOut(segmentBytesMax: number, options: { crashable?: boolean } = {}): MemoryLogStorage {
  const storage = new MemoryLogStorage(options)
  const recovery = recoverLog(storage, { databaseId })
  const tail = recovery.next()
  if (tail.done !== true) throw new Error('a new log is empty')
  const writer = LogWriter.open(storage, tail.value, { databaseId, schema, durability: 'fsync', segmentBytesMax })
  let previous = 0
  for (const { batch, body } of frames) {
    writer.append(body, { batch, previous })
    previous = batch
  }
  writer.close()
  return storage
}

/** All that is left, from the beginning, as a stream reads it. */
async function readLeft(storage: MemoryLogStorage): Promise<readonly string[]> {
  const reader = LogReader.readFrom(storage, { databaseId, batch: 1 })
  const decoder = new FrameDecoder(catalog)
  const left: Commit[] = []
  for await (const { kind, body } of reader.frames(frames.at(-1)!.batch)) if (kind === 'frame') left.push(...commitsOf(decoder, body.slice()))
  reader.close()
  return shown(left, () => true)
}
const shown = (of: readonly Commit[], isLeft: (part: Part) => boolean): string[] =>
  of.map(({ batch, index, parts }) => `${batch} ${index}: ${parts.filter(isLeft).map(({ kind, name, key, text }) => `${kind} ${name} ${key} ${text}`).join('; ')}`)

/** The definition. */
class Model {
  readonly #gone = new Set<Part>()

  compact(rules: CompactionRules, within: number, upTo: number, nowMs: number): void {
    const newest = new Map<string, Part>()
    for (const { batch, parts } of commits) if (batch <= upTo) for (const part of parts) if (rules.tables.includes(part.name)) newest.set(`${part.name} ${part.key}`, part)
    const leaving: Part[] = []
    const batches = [...new Set(commits.map(({ batch }) => batch))].filter((batch) => batch <= upTo).reverse()
    for (const batch of batches) {
      if (batch > within) continue
      for (const { parts } of commits.filter((one) => one.batch === batch)) {
        for (const part of parts) if (rules.tables.includes(part.name) && newest.get(`${part.name} ${part.key}`) !== part) leaving.push(part)
      }
    }
    for (const { tables, events, ageMs, bytes } of rules.streams) {
      const isOf = ({ kind, name }: Part): boolean => (kind === 'change' ? tables : events).includes(name)
      let newer = 0
      for (const batch of batches) {
        const all = commits.filter((one) => one.batch === batch)
        const own = all.flatMap(({ parts }) => parts.filter((part) => isOf(part) && !this.#gone.has(part)))
        const isOut = (ageMs !== undefined && all[0]!.now < nowMs - ageMs) || (bytes !== undefined && newer > bytes)
        if (isOut && batch <= within) leaving.push(...own)
        newer += own.reduce((sum, part) => sum + part.bytes, 0)
      }
    }
    for (const part of leaving) this.#gone.add(part)
  }

  get left(): readonly string[] {
    return shown(commits, (part) => !this.#gone.has(part))
  }
  get gone(): number {
    return this.#gone.size
  }
}

const compact = (storage: MemoryLogStorage, rules: CompactionRules, olderCheckpoint: number, upTo: number, nowMs: number, more: object = {}): CompactionReport =>
  compactLog(storage, { rules, olderCheckpoint, consumers: [], consumerBytes: 0, nowMs, upTo, last: undefined, share: 0, ...more })

/** The batch that the last of the segments before a batch ends with. */
function endBefore(storage: MemoryLogStorage, batch: number): number {
  let end = 0
  for (const part of inspectLog(storage)) if (part.kind === 'segment' && part.previous <= batch) end = part.previous
  return end
}

function anyRules(random: Random): CompactionRules {
  const stream = () => ({
    tables: random.pick([[], ['shop.visit'], ['shop.visit', 'shop.order'], ['shop.cart']]),
    events: random.pick([['shop.viewed'], ['shop.opened'], ['shop.viewed', 'shop.opened']]),
    ageMs: random.pick([undefined, 0, 20_000, 90_000]),
    bytes: random.pick([undefined, 0, 3_000, 30_000]),
  })
  return { tables: random.pick([[], ['shop.cart'], ['shop.cart', 'shop.visit']]), streams: Array.from({ length: random.below(3) }, stream) }
}

test('any rules, in any steps: what is left is what the definition leaves, in its commits and in their order, and the log is whole', async () => {
  let gone = 0
  for (const seed of seeds(10)) {
    await withSeed(seed, async (random) => {
      const storage = layOut(random.pick([8_192, 16_384, 40_000]))
      const model = new Model()
      const batches = frames.map(({ batch }) => batch)
      let at = 0
      for (let n = 0; n < 3; n += 1) {
        at += random.below(batches.length - at)
        const olderCheckpoint = batches[at]!
        const upTo = batches[at + random.below(batches.length - at)]!
        const nowMs = startMs + 1_000 * (at + random.below(60))
        const rules = anyRules(random)
        const lengthOf = (): number => storage.list().reduce((sum, name) => sum + storage.bytesOf(name).length, 0)
        const before = lengthOf()
        const within = endBefore(storage, olderCheckpoint)
        const report = compact(storage, rules, olderCheckpoint, upTo, nowMs)
        expect(report).toMatchObject({ problem: undefined, bytes: before - lengthOf() })
        model.compact(rules, within, upTo, nowMs)
        expect(await readLeft(storage)).toEqual(model.left)
        expect(compactedUpTo(storage)).toBeLessThanOrEqual(olderCheckpoint)
        expect(compact(storage, { ...rules, streams: rules.streams.map((rule) => ({ ...rule, bytes: undefined })) }, olderCheckpoint, upTo, nowMs).segments).toBe(0)
      }
      gone += model.gone
      const parts = [...inspectLog(storage)]
      expect(parts.at(-1)).toMatchObject({ kind: 'end', verdict: 'clean', batch: batches.at(-1) })
      expect(parts.flatMap((part) => (part.kind === 'frame' ? [part.batch] : []))).toEqual(batches)
    })
  }
  expect(gone).toBeGreaterThan(100)
}, 60_000)

test('a power cut at every operation leaves the newest change of each key, and the next compaction ends where this one would have', async () => {
  const rules: CompactionRules = { tables: ['shop.cart', 'shop.visit'], streams: [{ tables: [], events: ['shop.viewed'], ageMs: 30_000, bytes: undefined }] }
  const storage = layOut(16_384, { crashable: true })
  const last = frames.at(-1)!.batch
  const run = (disk: MemoryLogStorage): CompactionReport => compact(disk, rules, last, last, startMs + 120_000)
  let counted = 0
  const done = storage.copy({ crashable: true, onOperation: () => void (counted += 1) })
  expect(run(done).segments).toBeGreaterThan(3)
  const operations = counted
  const goal = await readLeft(done)
  const newest = new Map(commits.flatMap(({ parts }) => parts.filter(({ name }) => rules.tables.includes(name)).map((part) => [`${part.name} ${part.key}`, part.text] as const)))
  let between = 0
  for (let stop = 0; stop < operations; stop += 7) {
    const random = randomOf(stop)
    let count = 0
    const onOperation = ({ kind, bytes }: StorageOperation): StorageFault | undefined => {
      count += 1
      return count <= stop ? undefined : { code: 'EIO', writtenBytes: kind === 'write' ? random.below(bytes + 1) : 0 }
    }
    const life = storage.copy({ crashable: true, onOperation })
    expect(run(life).problem).toMatch('EIO')
    const found = life.crash(() => random.chance(0.5), { crashable: true })
    const recovery = recoverLog(found, { databaseId, after: last })
    while (recovery.next().done !== true);
    expect(found.list().every((name) => name.endsWith('.slog'))).toBe(true)
    const left = await readLeft(found)
    if (left.join() !== goal.join() && compactedUpTo(found) > 0) between += 1
    const kept = left.join('\n')
    for (const [name, text] of newest) expect(kept, `operation ${stop}, ${name}`).toContain(`${name} ${text}`)
    run(found)
    expect(await readLeft(found)).toEqual(goal)
  }
  expect(between).toBeGreaterThan(3)
}, 60_000)

const cartOnly: CompactionRules = { tables: ['shop.cart'], streams: [] }

test('a segment is written anew for a useful share only, and the log is looked through when that much of it may be new', () => {
  const storage = layOut(16_384)
  const last = frames.at(-1)!.batch
  const all = listSegments(storage).length - 1
  const some = compact(storage.copy(), cartOnly, last, last, 0, { share: 0.25 })
  expect(some.segments).toBeGreaterThan(0)
  expect(some.segments).toBeLessThanOrEqual(all)
  expect(compact(storage.copy(), cartOnly, last, last, 0, { share: 0.99 })).toMatchObject({ segments: 0, bytes: 0, look: { batch: endBefore(storage, last) } })

  // Looked at, and nothing new: it is not read.
  let reads = 0
  const watched = storage.copy({ onOperation: ({ kind, at }) => void (reads += kind === 'read' && at > 0 ? 1 : 0) })
  const look = { batch: endBefore(watched, last), atMs: 1_000 }
  reads = 0
  expect(compact(watched, cartOnly, last, last, 2_000, { last: look, share: 0.25 })).toEqual({ segments: 0, bytes: 0, look, problem: undefined })
  expect(reads).toBe(0)
  const early = { batch: endBefore(watched, frames[frames.length >>> 1]!.batch), atMs: 1_000 }
  expect(compact(watched, cartOnly, last, last, 2_000, { last: early, share: 0.25 }).look).toEqual({ ...look, atMs: 2_000 })
  // An age is looked at when a share of it has gone by.
  const aged: CompactionRules = { tables: [], streams: [{ tables: ['shop.order'], events: [], ageMs: 4_000, bytes: undefined }] }
  expect(compact(watched, aged, last, last, 1_999, { last: look, share: 0.25 }).look).toBe(look)
  expect(compact(watched, aged, last, last, 2_000, { last: look, share: 0.25 }).look).toEqual({ ...look, atMs: 2_000 })
})

test('keys that find no room are not compacted, and none loses its newest change', async () => {
  const storage = layOut(16_384)
  const last = frames.at(-1)!.batch
  const full = compact(storage.copy(), cartOnly, last, last, 0)
  let before = 0
  for (const keyBytes of [0, 600, 1_200, 100_000]) {
    const disk = storage.copy()
    const { bytes } = compact(disk, cartOnly, last, last, 0, { keyBytes })
    expect(bytes).toBeGreaterThanOrEqual(before)
    before = bytes
    const kept = (await readLeft(disk)).join('\n')
    const newest = new Map(commits.flatMap(({ parts }) => parts.filter(({ name }) => name === 'shop.cart').map((part) => [part.key, part.text] as const)))
    for (const [key, text] of newest) expect(kept).toContain(`shop.cart ${key} ${text}`)
  }
  expect(before).toBe(full.bytes)
  expect(compact(storage.copy(), cartOnly, last, last, 0, { keyBytes: 0 }).bytes).toBe(0)
})

test('who is behind holds it back, an erasure that is not over too, and a disk without room', () => {
  const storage = layOut(16_384)
  const last = frames.at(-1)!.batch
  const all = compact(storage.copy(), cartOnly, last, last, 0).segments
  const middle = frames[frames.length >>> 1]!.batch
  const consumers = [{ name: 'late', batch: middle }]
  const held = storage.copy()
  const some = compact(held, cartOnly, last, last, 0, { consumers, consumerBytes: Infinity })
  expect(some.segments).toBeGreaterThan(0)
  expect(some.segments).toBeLessThan(all)
  expect(compactedUpTo(held)).toBeLessThanOrEqual(middle)
  expect(compact(storage.copy(), cartOnly, last, last, 0, { consumers, consumerBytes: 0 }).segments).toBe(all)
  expect(compact(storage.copy(), cartOnly, last, last, 0, { hasRoom: () => false })).toMatchObject({ segments: 0, problem: undefined })
  expect(compact(storage.copy(), cartOnly, last, last, 0, { shouldStop: () => true })).toEqual({ segments: 0, bytes: 0, look: undefined, problem: undefined })
  const erasing = storage.copy()
  ErasureJournal.begin(erasing, {}).close()
  expect(compact(erasing, cartOnly, last, last, 0).segments).toBe(0)
})

test('rows of another generation of a table are other rows', async () => {
  const later = encodeSchema(JSON.stringify({ ...catalog, tables: catalog.tables.map((one) => (one.name === 'shop.cart' ? { ...one, generation: 1 } : one)) }))
  const storage = layOut(16_384)
  const last = frames.at(-1)!.batch
  const recovery = recoverLog(storage, { databaseId, after: last })
  let end = recovery.next()
  while (end.done !== true) end = recovery.next()
  const writer = LogWriter.open(storage, end.value, { databaseId, schema: later, durability: 'fsync', segmentBytesMax: 16_384 })
  // The same rows once more, later: of the generation before, its newest stay.
  let previous = last
  for (const { body } of frames) {
    const batch = previous + 1
    const copy = body.slice()
    new DataView(copy.buffer).setUint32(32, batch % 2 ** 32, true)
    new DataView(copy.buffer).setUint32(36, Math.floor(batch / 2 ** 32), true)
    writer.append(copy, { batch, previous })
    previous = batch
  }
  writer.close()
  const one = layOut(16_384)
  compact(one, cartOnly, endBefore(storage, last), last, 0)
  compact(storage, cartOnly, endBefore(storage, last), previous, 0)
  const upTo = Math.min(compactedUpTo(storage), compactedUpTo(one))
  const until = (left: readonly string[]): readonly string[] => left.filter((line) => Number(line.split(' ')[0]) <= upTo)
  expect(until(await readLeft(storage))).toEqual(until(await readLeft(one)))
  expect(upTo).toBeGreaterThan(frames[10]!.batch)
})

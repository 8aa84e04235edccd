/**
 * What subscribers may rely on, whatever becomes of the disk and of the log behind them. The machinery is that of the fault table: the disk in
 * memory of wal/storage-memory.ts, the small logs of test/wal/log-fixture.ts. Rows 1 to 4 and 11 of docs/reliability.md do the same at length, for the
 * whole engine (test/faults/engine.test.ts) and for every byte (test/faults/damage.test.ts).
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { app, column as c, service, table } from 'sluicedb'
import { expect, test } from 'vitest'
import { Control } from '../../engine/shared/control.js'
import { FrameRing } from '../../engine/shared/frame-ring.js'
import { Statistics } from '../../engine/shared/statistics.js'
import { LogPump } from '../../engine/worker/log-pump.js'
import { inspectLog, LogReader, MemoryLogStorage, type StorageOperation } from '../../wal/index.js'
import { newFolder, openFor, openOnce, refused, take, until } from '../support/fixture.js'
import { appendAll, bodyOf, databaseId, openWriter, prefixLength, recover, seeded, type Written } from '../wal/log-fixture.js'

const MiB = 2 ** 20

// ── the log waits for who has not read it ─────────────────────────────────────────────────────────────────────

function counting() {
  const source = service('source', { tables: { page: table({ columns: { id: c.int(), text: c.text() }, key: ['id'] }) }, events: { written: { id: c.int() } } })
  const write = source.procedure('write', { input: { id: c.int(), text: c.text(), tells: c.bool().default(false) } }, (tx, { id, text, tells }) => {
    tx.db.page.put({ id, text })
    if (tells) tx.emit('written', { id })
  })
  const reader = service('reader', { tables: { seen: table({ columns: { id: c.int() }, key: ['id'] }) } })
  reader.on(source.events.written, { name: 'read' }, (tx, { payload }) => void tx.db.seen.put(payload))
  return { application: app(import.meta.url, [source, reader]), write, seen: reader.tables.seen }
}

const segments = (path: string): readonly string[] => readdirSync(join(path, 'log')).filter((name) => name.endsWith('.slog')).sort()

test('§8.10 (ChangeStreamHistoryLost of MongoDB, Redis #5570): what a handler has not durably passed stays in the log, and leaves when it has', { timeout: 120_000 }, async () => {
  const path = await newFolder()
  const { application, write, seen } = counting()
  const options = { path, durability: 'os', retention: { bytes: 0 }, checkpoint: { logBytes: Infinity } } as const
  const db = await openOnce(application, options)
  const text = 'x'.repeat(MiB / 2)
  for (let id = 0; id < 9; id += 1) await db.call(write, { id, text, tells: id === 0 }) // more than the first segment
  await until(() => db.table(seen).count() === 1, 'the handler has handled the one event')
  expect(segments(path)).toContain('0000000002.slog')
  for (let n = 0; n < 2; n += 1) await db.checkpoint()
  expect(segments(path)).toContain('0000000001.slog') // its cursor is noted when more comes: until then it would begin there again
  expect((await take(db.changes({ from: 'beginning' }), 1))[0]!.procedure).toBe('source.write')
  await db.close()

  // The next life finds the cursor where it was, misses nothing, moves it on, and lets go: nothing else had held the segment.
  const again = await openFor(application, options)
  for (const id of [100, 101]) {
    await again.call(write, { id, text: '', tells: true })
    await until(() => again.table(seen).has(id), 'the handler goes on')
  }
  for (let n = 0; n < 2; n += 1) await again.checkpoint()
  expect(segments(path)).not.toContain('0000000001.slog')
  expect([...again.table(seen)].map(({ id }) => id).sort((a, b) => a - b)).toEqual([0, 100, 101])
})

// ── what was seen does not vanish ─────────────────────────────────────────────────────────────────────────────

test('§8.11 (NATS #7564): a power cut at every operation of the log thread; what was acknowledged or seen by a subscriber is there afterwards', () => {
  const lives = (onOperation: (operation: StorageOperation) => { code: 'EIO' } | undefined, keeps: () => boolean): { seen: number; sealed: Written[]; found: number; operations: number } => {
    let operations = 0
    const disk = new MemoryLogStorage({
      crashable: true,
      onOperation: (operation) => {
        operations += 1
        return onOperation({ ...operation, index: operations - 1 })
      },
    })
    const sealed: Written[] = []
    let seen = 0
    try {
      const control = Control.create(1)
      const frames = new FrameRing(new SharedArrayBuffer(MiB), new SharedArrayBuffer(MiB), control)
      const writer = openWriter(disk, recover(disk).tail)
      const pump = new LogPump({ control, frames, writer, durability: 'fsync', statistics: Statistics.create(), monotonicMs: () => 0, ring: () => undefined })
      for (let group = 0; group < 6; group += 1) {
        for (let n = 0; n <= group % 3; n += 1) {
          const batch = sealed.length + 1
          const body = bodyOf(batch, 200 + 900 * ((batch * 7) % 11))
          const { bytes, at } = frames.reserve(body.length)
          bytes.set(body, at)
          frames.publish(batch, batch - 1, 0, 1, body.length)
          sealed.push({ batch, body })
        }
        while (pump.step() === 'worked') seen = control.durable // the newest that any answer, stream or view goes by
      }
    } catch {
      // The power is going.
    }
    const found = prefixLength(recover(disk.crash(keeps, {})).frames, sealed)
    return { seen, sealed, found, operations }
  }
  const { operations, found, sealed } = lives(() => undefined, () => false)
  expect(found).toBe(sealed.length)
  let most = 0
  for (let stop = 0; stop < operations; stop += 1) {
    for (const likely of [0, 0.5]) {
      const random = seeded(stop)
      const cut = lives(({ index }) => (index >= stop ? { code: 'EIO' } : undefined), () => random() < likely)
      expect(cut.found, `operation ${stop} of ${operations}, ${likely}`).toBeGreaterThanOrEqual(cut.seen)
      most = Math.max(most, cut.seen)
    }
  }
  expect(most).toBeGreaterThan(8)
})

// ── damage is said, not served ────────────────────────────────────────────────────────────────────────────────

test('§8.12 (Jepsen): a flipped bit of a segment is never served: a reader refuses there, and an opening refuses the database', async () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  const written = appendAll(writer, [900, 4_000, 20, 7_000, 300])
  writer.close()
  const last = written.at(-1)!.batch
  const places = [...inspectLog(storage)].flatMap((part) => (part.kind === 'frame' || part.kind === 'schema' ? [part] : []))
  const random = seeded(3)
  for (const { segment, offset, bytes } of places) {
    for (let n = 0; n < 12; n += 1) {
      const copy = storage.copy()
      const at = offset + (n < 4 ? [0, 40, 64, 72][n]! : Math.floor(random() * bytes))
      copy.bytesOf(`000000000${segment}.slog`)[at]! ^= 1 << Math.floor(random() * 8)
      const served: Written[] = []
      const reader = LogReader.readFrom(copy, { databaseId, batch: 1 })
      const all = async (): Promise<void> => {
        for await (const { kind, batch, body } of reader.frames(last)) if (kind === 'frame') served.push({ batch, body })
      }
      await expect(all(), `byte ${at} of segment ${segment}`).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
      reader.close()
      prefixLength(served, written)
      expect(() => recover(copy)).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
    }
  }

  const path = await newFolder()
  const { application, write } = counting()
  const db = await openOnce(application, { path })
  for (let id = 0; id < 4; id += 1) await db.call(write, { id, text: `page ${id}` })
  await db.close()
  const file = join(path, 'log', segments(path)[0]!)
  const bytes = readFileSync(file)
  const damaged = Buffer.from(bytes)
  damaged[damaged.indexOf('page 1')]! ^= 4
  writeFileSync(file, damaged)
  await refused(openOnce(application, { path }), 'LOG_CORRUPT')
  expect(readFileSync(file).equals(damaged)).toBe(true)
  writeFileSync(file, bytes)
  await (await openOnce(application, { path })).close()
})

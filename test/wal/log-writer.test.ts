import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { encodeSchema, listSegments, LogWriter, MemoryLogStorage, removeSegments } from '../../wal/index.js'
import type { StorageFault, StorageOperation } from '../../wal/index.js'
import { appendAll, bodyOf, databaseId, openWriter, prefixLength, recover, schema, seeded } from './log-fixture.js'
import type { Written } from './log-fixture.js'

// The machine may be shared: what is slow then is the machine, not the log.
vi.setConfig({ testTimeout: 60_000 })

test('a log of any lives comes back whole: bodies, order, schema, chain', () => {
  const append = (min: number, max: number) =>
    fc.record({ kind: fc.constant('append' as const), bytes: fc.integer({ min, max }) })
  const one = <Kind extends string>(...kinds: Kind[]) => fc.record({ kind: fc.constantFrom(...kinds) })
  const step = fc.oneof(
    { weight: 6, arbitrary: append(1, 9_000) },
    { weight: 1, arbitrary: append(15_000, 50_000) },
    { weight: 4, arbitrary: one('sync', 'certify', 'prepare') },
    { weight: 1, arbitrary: one('reopen', 'kill') },
  )
  const durabilities = fc.constantFrom('fsync' as const, 'os' as const, 'memory' as const)
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), durabilities, (steps, durability) => {
      const storage = new MemoryLogStorage()
      const written: Written[] = []
      let writer = openWriter(storage, recover(storage).tail, { durability })
      for (const it of steps) {
        if (it.kind === 'append') written.push(...appendAll(writer, [it.bytes], { sync: false }))
        else if (it.kind === 'sync') expect(writer.sync()).toBe(writer.writtenUpTo)
        else if (it.kind === 'certify') writer.certify()
        else if (it.kind === 'prepare') expect(['ready', 'underway', 'later']).toContain(writer.prepareNext())
        else {
          if (it.kind === 'reopen') writer.close()
          const found = recover(storage)
          expect(prefixLength(found.frames, written)).toBe(written.length)
          writer = openWriter(storage, found.tail, { durability })
        }
      }
      const found = recover(storage)
      expect(prefixLength(found.frames, written)).toBe(written.length)
      expect(found.tail.batch).toBe(written.at(-1)?.batch ?? 0)
      expect(found.tail.cutBytes).toBe(0)
      expect(new Set(found.schemas).size).toBeLessThanOrEqual(1)
      if (written.length > 0) expect(found.schemas[0]).toBe('{"tables":["account"]}')
    }),
    { numRuns: 150 },
  )
})

test('the chain is a digest of the history: syncs, certificates, segments and lives do not change it', () => {
  const lengths = [100, 5_000, 3_000, 9_000, 16, 12_000]
  const one = new MemoryLogStorage()
  appendAll(openWriter(one, recover(one).tail), lengths, { sync: false })

  const other = new MemoryLogStorage()
  for (const bytes of lengths) {
    const writer = openWriter(other, recover(other).tail, { segmentBytesMax: 65_536 })
    appendAll(writer, [bytes])
    writer.certify()
    writer.close()
  }
  expect(recover(one).tail.chain).toBe(recover(other).tail.chain)
  expect(recover(one).tail.segment).not.toBe(recover(other).tail.segment)
})

test('opening writes nothing to the log, and opening twice gives the same bytes', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  appendAll(writer, [100, 200])
  const before = storage.bytesOf('0000000001.slog').slice()
  for (let i = 0; i < 2; i += 1) openWriter(storage, recover(storage).tail)
  expect(Buffer.compare(before, storage.bytesOf('0000000001.slog'))).toBe(0)
})

test('a new schema goes before the next frame, the same one is not repeated', () => {
  const storage = new MemoryLogStorage()
  appendAll(openWriter(storage, recover(storage).tail), [10])
  appendAll(openWriter(storage, recover(storage).tail), [10])
  const next = encodeSchema('{"tables":["account","order"]}')
  appendAll(openWriter(storage, recover(storage).tail, { schema: next }), [10])
  const { schemas, tail } = recover(storage)
  expect(schemas).toEqual(['{"tables":["account"]}', '{"tables":["account","order"]}'])
  expect(Buffer.compare(tail.schema!, next)).toBe(0)
})

test('every life that writes has a higher incarnation', () => {
  const storage = new MemoryLogStorage()
  const seen: number[] = []
  for (let life = 0; life < 4; life += 1) {
    const { tail } = recover(storage)
    seen.push(tail.incarnation)
    appendAll(openWriter(storage, tail), [10])
  }
  expect(seen).toEqual([0, 1, 2, 3])
})

test('a body in pieces of shared memory is one body', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  const body = bodyOf(1, 1_001)
  const shared = new Uint8Array(new SharedArrayBuffer(1_001))
  shared.set(body)
  writer.append([shared.subarray(0, 500), shared.subarray(500, 500), shared.subarray(500)], { batch: 1, previous: 0 })
  writer.sync()
  expect(prefixLength(recover(storage).frames, [{ batch: 1, body }])).toBe(1)
})

test('frames out of order are a program error and leave the log alone', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  appendAll(writer, [10, 10])
  expect(() => writer.append(bodyOf(9, 1), { batch: 9, previous: 1 })).toThrow('in order')
  expect(() => writer.append(bodyOf(1, 1), { batch: 1, previous: writer.writtenUpTo })).toThrow('R16')
  expect(writer.failure).toBeUndefined()
  appendAll(writer, [10])
  expect(recover(storage).frames.length).toBe(3)
})

test('durable is synced for fsync, and written for os and memory', () => {
  for (const durability of ['fsync', 'os', 'memory'] as const) {
    let syncs = 0
    const onOperation = (operation: StorageOperation): undefined => {
      if (operation.kind === 'sync') syncs += 1
    }
    const storage = new MemoryLogStorage({ onOperation })
    const writer = openWriter(storage, recover(storage).tail, { durability })
    const before = syncs
    appendAll(writer, [9], { sync: false })
    expect(writer.durableUpTo).toBe(durability === 'fsync' ? 0 : 1)
    expect(writer.sync()).toBe(1)
    expect(syncs - before).toBe(durability === 'fsync' ? 1 : 0)
    expect(writer.sync()).toBe(1)
    expect(syncs - before).toBe(durability === 'fsync' ? 1 : 0)
    writer.certify()
    writer.close()
    expect(syncs - before).toBe({ fsync: 2, os: 2, memory: 0 }[durability])
  }
})

test('an idle certificate is written once after a frame, and recovery then rewrites nothing but itself', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  expect(writer.certify()).toBe(false)
  appendAll(writer, [100])
  expect(recover(storage).tail.certified).toBe(0)
  expect(writer.certify()).toBe(true)
  expect(writer.certify()).toBe(false)
  const { tail } = recover(storage)
  expect(tail).toMatchObject({ batch: tail.certified, rewrittenBytes: 128 })
})

test('there is room for a certificate behind the frame that fills a segment to the last byte', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  const schemaBytes = 128 + Math.ceil(schema.length / 8) * 8
  const written = appendAll(writer, [16_384 - 4_096 - schemaBytes - 128 - 128])
  expect(listSegments(storage)).toEqual([1])
  expect(writer.certify()).toBe(true)
  expect(recover(storage).tail).toMatchObject({ segment: 1, offset: 16_384 })
  written.push(...appendAll(openWriter(storage, recover(storage).tail), [50]))
  expect(prefixLength(recover(storage).frames, written)).toBe(2)
})

test('a frame that would leave no room for its certificate goes to the next segment', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  const schemaBytes = 128 + Math.ceil(schema.length / 8) * 8
  appendAll(writer, [16_384 - 4_096 - schemaBytes - 128 - 128 + 8 - (128 + 8), 8])
  expect(listSegments(storage)).toEqual([1, 2])
  expect(writer.certify()).toBe(true)
})

test('the next segment is prepared in steps, in proportion, and is ready when this one is half full', () => {
  const storage = new MemoryLogStorage()
  const MiB = 1_024 * 1_024
  const writer = openWriter(storage, recover(storage).tail, { segmentBytesMax: 8 * MiB })
  expect(storage.bytesOf('0000000001.slog').length).toBe(4 * MiB)
  let used = 0
  for (;;) {
    while (writer.prepareNext() === 'underway');
    const next = storage.bytesOf('0000000002.slog').length
    expect(next).toBeGreaterThanOrEqual(Math.min(4 * used, 8 * MiB))
    expect(next).toBeLessThanOrEqual(4 * used + 2 * MiB)
    if (next === 8 * MiB) break
    used += appendAll(writer, [300_000])[0]!.body.length
  }
  expect(used).toBeLessThanOrEqual(2 * MiB + 300_000)
  expect(writer.prepareNext()).toBe('ready')
})

test('a prepared segment is on disk with its name and all of its zeros, at every level', () => {
  for (const durability of ['fsync', 'os', 'memory'] as const) {
    const disk = new MemoryLogStorage({ crashable: true })
    const writer = openWriter(disk, recover(disk).tail, { durability })
    expect(writer.prepareNext()).toBe('ready')
    expect(disk.crash(() => false).bytesOf('0000000002.slog')).toEqual(new Uint8Array(16_384))
  }
})

test('a full disk at the preparation stops nothing until a frame needs the segment', () => {
  let full = false
  const onOperation = (operation: StorageOperation): StorageFault | undefined => {
    const next = operation.name === '0000000002.slog' && operation.kind === 'write'
    return full && next ? { code: 'ENOSPC', writtenBytes: 1_000 } : undefined
  }
  const storage = new MemoryLogStorage({ onOperation })
  const writer = openWriter(storage, recover(storage).tail)
  full = true
  expect(writer.prepareNext()).toBe('no-space')
  const written = appendAll(writer, [5_000])
  expect(writer.prepareNext()).toBe('no-space')
  full = false
  expect(writer.prepareNext()).toBe('ready')
  written.push(...appendAll(writer, [8_000, 8_000]))
  expect(prefixLength(recover(storage).frames, written)).toBe(3)
})

test('a full disk when a frame needs the segment ends the log; after room was made, reopening goes on', () => {
  let full = true
  const onOperation = (operation: StorageOperation): StorageFault | undefined =>
    full && operation.name === '0000000002.slog' ? { code: 'ENOSPC' } : undefined
  const storage = new MemoryLogStorage({ onOperation })
  const writer = openWriter(storage, recover(storage).tail)
  const written = appendAll(writer, [5_000])
  expect(() => appendAll(writer, [8_000])).toThrow(expect.objectContaining({ code: 'LOG_FAILED' }))
  expect(writer.durableUpTo).toBe(written[0].batch)
  full = false
  expect(() => appendAll(writer, [10])).toThrow(expect.objectContaining({ code: 'LOG_FAILED' }))
  const found = recover(storage)
  expect(prefixLength(found.frames, written)).toBe(1)
  written.push(...appendAll(openWriter(storage, found.tail), [8_000]))
  expect(prefixLength(recover(storage).frames, written)).toBe(2)
})

test('R44: after any failed write or sync nothing is written or synced, and what was acknowledged is there', () => {
  const lengths = [300, 4_000, 9_000, 700, 9_000, 64]
  const run = (failAt: number): { operations: number; failed: boolean } => {
    let failed = false
    let late = 0
    const onOperation = (operation: StorageOperation): StorageFault | undefined => {
      if (operation.kind === 'read') return undefined
      if (failed) late += 1
      if (operation.index !== failAt) return undefined
      failed = true
      return { code: 'EIO', writtenBytes: Math.floor(operation.bytes / 3) }
    }
    const storage = new MemoryLogStorage({ crashable: true, onOperation })
    const { tail } = recover(storage)
    let acknowledged = 0
    const written: Written[] = []
    let writer: LogWriter | undefined
    try {
      writer = openWriter(storage, tail)
      for (const bytes of lengths) {
        const batch = writer.writtenUpTo + 1 + (bytes % 3)
        written.push({ batch, body: bodyOf(batch, bytes) })
        appendAll(writer, [bytes])
        acknowledged = written.length
        writer.prepareNext()
        writer.certify()
      }
      writer.close()
    } catch (error) {
      expect(error).toMatchObject({ code: 'LOG_FAILED' })
      expect(writer?.failure ?? error).toBe(error)
      for (const again of [() => writer?.sync(), () => writer?.certify(), () => writer?.prepareNext()]) {
        if (writer !== undefined) expect(again).toThrow(expect.objectContaining({ code: 'LOG_FAILED' }))
      }
      writer?.close()
    }
    expect(late).toBe(0)
    const random = seeded(failAt)
    for (const keeps of [() => false, () => true, () => random() < 0.5]) {
      const disk = storage.crash(keeps, { crashable: true })
      expect(prefixLength(recover(disk).frames, written)).toBeGreaterThanOrEqual(acknowledged)
    }
    return { operations: storage.operations, failed }
  }
  const { operations } = run(-1)
  expect(operations).toBeGreaterThan(30)
  let failures = 0
  for (let failAt = 0; failAt < operations; failAt += 1) if (run(failAt).failed) failures += 1
  expect(failures).toBeGreaterThan(30)
})

test('segments go from the oldest, only when nothing in them is above the batch, and the rest opens', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  const written = appendAll(writer, [8_000, 8_000, 8_000, 8_000])
  expect(listSegments(storage)).toEqual([1, 2, 3, 4])
  expect(removeSegments(storage, { upTo: written[1].batch - 1 })).toEqual([1])
  expect(removeSegments(storage, { upTo: written[1].batch })).toEqual([2])
  expect(removeSegments(storage, { upTo: 1_000 })).toEqual([3])
  expect(removeSegments(storage, { upTo: 1_000 })).toEqual([])
  const { frames } = recover(storage, { after: written[2].batch })
  expect(prefixLength(frames, written.slice(3))).toBe(1)
  expect(() => recover(storage, { after: written[1].batch })).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
})

test('the head of the segment that becomes the first one is on disk before the older ones go', () => {
  const disk = new MemoryLogStorage({ crashable: true })
  const writer = openWriter(disk, recover(disk).tail, { durability: 'memory' })
  const written = appendAll(writer, [8_000, 8_000])
  expect(removeSegments(disk, { upTo: written[0].batch })).toEqual([1])
  const after = disk.crash(() => false)
  expect(prefixLength(recover(after, { after: written[0].batch }).frames, written.slice(1))).toBe(1)
})

test('a closed log takes no more calls', () => {
  const storage = new MemoryLogStorage()
  const writer = LogWriter.open(storage, recover(storage).tail, { databaseId, schema, durability: 'fsync' })
  writer.close()
  writer.close()
  expect(() => writer.sync()).toThrow(expect.objectContaining({ code: 'DATABASE_CLOSED' }))
})

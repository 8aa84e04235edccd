import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { inspectLog, MemoryLogStorage } from '../../wal/index.js'
import type { LogEnd, LogFinding, LogStorage, StorageOperation } from '../../wal/index.js'
import { appendAll, openWriter, prefixLength, recover, seeded, type Written } from './log-fixture.js'

// The machine may be shared: what is slow then is the machine, not the log.
vi.setConfig({ testTimeout: 60_000 })

const first = '0000000001.slog'

interface Inspected {
  readonly frames: Written[]
  readonly kinds: string[]
  readonly end: LogEnd
  /** `missing 3 – 5`, `detached 6 – 9 (2 in segment 1)`. */
  readonly lost: string[]
}

function inspect(storage: LogStorage): Inspected {
  const frames: Written[] = []
  const kinds: string[] = []
  const lost: string[] = []
  let end: LogEnd | undefined
  for (const found of inspectLog(storage) as Iterable<LogFinding>) {
    if (found.kind === 'end') end = found
    else if (found.kind === 'missing') lost.push(`missing ${found.afterBatch} – ${found.toBatch}`)
    else if (found.kind === 'detached') lost.push(`detached ${found.fromBatch} – ${found.toBatch} (${found.frames} in segment ${found.segment})`)
    else {
      expect(end, 'parts come before the end').toBeUndefined()
      kinds.push(found.kind)
      if (found.kind === 'frame') frames.push({ batch: found.batch, body: found.body.slice() })
    }
  }
  return { frames, kinds, end: end!, lost }
}

function logOf(lengths: readonly number[], options: { close?: boolean; sync?: boolean } = {}) {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  const written = appendAll(writer, lengths, { sync: options.sync ?? true })
  if (options.close !== false) writer.close()
  return { storage, written, starts: startsOf(storage) }
}

/** Where frames begin, by batch. */
function startsOf(storage: LogStorage): Map<number, { name: string; offset: number }> {
  const starts = new Map<number, { name: string; offset: number }>()
  for (const found of inspectLog(storage)) {
    if (found.kind === 'frame') starts.set(found.batch, { name: `000000000${found.segment}.slog`, offset: found.offset })
  }
  return starts
}

function damage(storage: MemoryLogStorage, place: { name: string; offset: number }): void {
  storage.bytesOf(place.name)[place.offset + 140]! ^= 0x40
}

test('a whole log: every part in order with its place, and a clean end', () => {
  const { storage, written } = logOf([40, 9_000, 9_000])
  const { frames, kinds, end, lost } = inspect(storage)
  expect(prefixLength(frames, written)).toBe(3)
  expect(kinds).toEqual(['segment', 'schema', 'frame', 'frame', 'segment', 'schema', 'frame', 'certificate'])
  expect(end).toMatchObject({ verdict: 'clean', segment: 2, batch: written[2]!.batch, durableUpTo: written[2]!.batch, bytesBehind: 0 })
  expect(lost).toEqual([])
  let at = { segment: 1, offset: 0 }
  for (const found of inspectLog(storage)) {
    if (found.kind === 'end' || found.kind === 'missing' || found.kind === 'detached') continue
    if (found.segment > at.segment) at = { segment: found.segment, offset: 0 }
    expect(found).toMatchObject(at)
    at = { segment: found.segment, offset: found.offset + found.bytes }
  }
})

test('no log, and one whose first segment was being made, are empty', () => {
  expect(inspect(new MemoryLogStorage()).end.verdict).toBe('empty')
  const storage = new MemoryLogStorage()
  storage.create(first).write([new Uint8Array(9_000)], 0)
  expect(inspect(storage).end).toMatchObject({ verdict: 'empty', batch: 0 })
})

test('a torn end is torn, and nothing is called lost', () => {
  const { storage, written, starts } = logOf([40, 100, 200], { close: false })
  damage(storage, starts.get(written[2]!.batch)!)
  const { frames, end, lost } = inspect(storage)
  expect(prefixLength(frames, written)).toBe(2)
  expect(end).toMatchObject({ verdict: 'torn', batch: written[1]!.batch, why: 'the checksum of the body is wrong' })
  expect(end.bytesBehind).toBeGreaterThan(200)
  expect(lost).toEqual([])
})

test('damage names the batches that are missing, and those that are readable without them, by segment', () => {
  const { storage, written, starts } = logOf([40, 100, 200, 9_000, 300, 9_000, 50])
  const batches = written.map((frame) => frame.batch)
  damage(storage, starts.get(batches[1]!)!)
  damage(storage, starts.get(batches[4]!)!)
  const { frames, end, lost } = inspect(storage)
  expect(prefixLength(frames, written)).toBe(1)
  expect(end).toMatchObject({ verdict: 'damaged', segment: 1, offset: starts.get(batches[1]!)!.offset, batch: batches[0], durableUpTo: batches[6] })
  expect(lost).toEqual([
    `missing ${batches[0]} – ${batches[1]}`,
    `detached ${batches[2]} – ${batches[3]} (2 in segment 1)`,
    `missing ${batches[3]} – ${batches[4]}`,
    `detached ${batches[5]} – ${batches[6]} (2 in segment 2)`,
  ])
})

test('when the newest frames are damaged, the certificate tells how many there were', () => {
  const { storage, written, starts } = logOf([40, 100, 200])
  for (const { batch } of written.slice(1)) damage(storage, starts.get(batch)!)
  expect(inspect(storage).lost).toEqual([`missing ${written[0]!.batch} – ${written[2]!.batch}`])
})

test('without a head, a segment still shows its frames', () => {
  const { storage, written } = logOf([40, 100, 200])
  storage.bytesOf(first)[9]! ^= 1
  const { frames, end, lost } = inspect(storage)
  expect(frames).toEqual([])
  expect(end).toMatchObject({ verdict: 'damaged', segment: 1, offset: 0, why: 'the head of the first segment is not whole' })
  const [from, to] = [written[0]!.batch, written[2]!.batch]
  expect(lost).toEqual([`detached ${from} – ${to} (3 in segment 1)`])
})

test('a missing segment is damage, with what lies behind the hole', () => {
  const { storage, written } = logOf([9_000, 9_000, 9_000])
  storage.remove('0000000002.slog')
  const [one, two, three] = written.map((frame) => frame.batch)
  const { end, lost } = inspect(storage)
  expect(end).toMatchObject({ verdict: 'damaged', segment: 1, batch: one })
  expect(lost).toEqual([`missing ${one} – ${two}`, `detached ${three} – ${three} (1 in segment 3)`])
})

test('bytes that cannot be read are damage, and what lies in other files is found', () => {
  const { storage, written } = logOf([9_000, 9_000, 9_000])
  const onOperation = ({ kind, name, at, bytes }: StorageOperation) =>
    kind === 'read' && name === '0000000002.slog' && at + bytes > 4_096 ? ({ code: 'EIO' } as const) : undefined
  const { frames, end, lost } = inspect(storage.copy({ onOperation }))
  expect(prefixLength(frames, written)).toBe(1)
  expect(end).toMatchObject({ verdict: 'damaged', segment: 2, why: expect.stringContaining('EIO') })
  expect(lost.at(-1)).toBe(`detached ${written[2]!.batch} – ${written[2]!.batch} (1 in segment 3)`)
})

test('beside a writer: a prefix of what is written, and never a word of damage', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
      const random = seeded(seed)
      const written: Written[] = []
      let mayWrite = true
      let writing = (): void => undefined
      const storage = new MemoryLogStorage({
        onOperation: ({ kind }) => {
          if (kind === 'read' && mayWrite && random() < 0.5) {
            mayWrite = false
            writing()
            mayWrite = true
          }
          return undefined
        },
      })
      mayWrite = false
      const writer = openWriter(storage, recover(storage).tail)
      let frames = 0
      writing = () => {
        // An inspection that the writer outruns for ever would not end.
        if ((frames += 1) > 60) return
        written.push(...appendAll(writer, [1 + Math.floor(random() * 5_000)], { sync: random() < 0.7 }))
        if (random() < 0.2) writer.certify()
        if (random() < 0.2) writer.prepareNext()
      }
      for (let n = 0; n < 5; n += 1) writing()
      mayWrite = true
      const before = written.length
      const found = inspect(storage)
      mayWrite = false
      expect(prefixLength(found.frames, written)).toBeGreaterThanOrEqual(before)
      expect(['clean', 'torn']).toContain(found.end.verdict)
    }),
    { numRuns: 60 },
  )
})

test('any bytes anywhere: no exception, no write, an end, and only frames that were written', () => {
  const { storage, written } = logOf([40, 3_000, 9_000, 70, 200])
  const writes: string[] = []
  const onOperation = ({ kind }: StorageOperation): undefined => {
    if (kind !== 'read') writes.push(kind)
  }
  const verdicts = new Set<string>()
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), fc.integer({ min: 1, max: 12 }), (seed, hits) => {
      const random = seeded(seed)
      const copy = storage.copy({ onOperation })
      for (let hit = 0; hit < hits; hit += 1) {
        const names = copy.list()
        const bytes = copy.bytesOf(names[Math.floor(random() * names.length)]!)
        const at = Math.floor(random() * bytes.length)
        const length = random() < 0.5 ? 1 : Math.floor(random() * 600)
        for (let i = at; i < Math.min(bytes.length, at + length); i += 1) bytes[i] = Math.floor(random() * 256)
      }
      const { frames, end, lost } = inspect(copy)
      prefixLength(frames, written)
      verdicts.add(end.verdict)
      if (end.verdict !== 'damaged') expect(lost).toEqual([])
      const byRecovery = ((): string => {
        try {
          const { tail } = recover(copy.copy({}))
          return tail.segment === 0 ? 'empty' : tail.cutBytes > 0 ? 'torn' : 'clean'
        } catch {
          return 'damaged'
        }
      })()
      expect(end.verdict).toBe(byRecovery)
    }),
    { numRuns: 300 },
  )
  expect(writes).toEqual([])
  expect([...verdicts].sort()).toEqual(expect.arrayContaining(['clean', 'damaged', 'torn']))
})

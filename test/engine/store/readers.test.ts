/** Another thread reads snapshots of the indexes, without any lock, while this one changes them and reclaims behind it. */
import { buildSync } from 'esbuild'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { HashIndex, hashStateWords } from '../../../engine/store/hash-index.js'
import { OrderedIndex, orderedCellWords } from '../../../engine/store/ordered-index.js'
import { fixture, randomFrom, seeds } from './fixture.js'

const batches = 1_500
const keysPerBatch = 20
const control = { published: 0, announced: 1, stop: 2, reads: 3, failure: 4, expected: 16 }
const idle = 2 ** 30

const reader = `
import { workerData } from 'node:worker_threads'
import { Region } from './engine/shared/region.ts'
import { Domain } from './engine/store/domain.ts'
import { HashIndex } from './engine/store/hash-index.ts'
import { OrderedIndex } from './engine/store/ordered-index.ts'
import { everything } from './engine/store/ordered-cursor.ts'
const { buffer, shared, domainAt, cell, hashAt } = workerData
const at = ${JSON.stringify(control)}
const region = new Region(buffer)
const domain = new Domain(region, domainAt)
const tree = new OrderedIndex(region, domain, cell)
const hash = new HashIndex(region, domain, hashAt)
const sought = { key: 0, equals(row) { return region.i32[row * 2] === this.key } }
let turn = 0
while (Atomics.load(shared, at.stop) === 0) {
  let snapshot
  do {
    snapshot = Atomics.load(shared, at.published)
    Atomics.store(shared, at.announced, snapshot)
  } while (Atomics.load(shared, at.published) !== snapshot)
  const rows = []
  const root = tree.rootAt(snapshot)
  tree.gather(root, { ...everything, reverse: turn % 2 === 1 }, Infinity, rows)
  let sum = 0
  for (const row of rows) sum = (sum + row) | 0
  if (rows.length !== shared[at.expected + snapshot * 2] || sum !== shared[at.expected + snapshot * 2 + 1]) Atomics.store(shared, at.failure, 1)
  if (tree.entriesAt(snapshot) !== rows.length) Atomics.store(shared, at.failure, 2)
  for (let n = 0; n < 200; n += 1) {
    sought.key = (n * 7919 + turn * 104729) % (snapshot * ${keysPerBatch} + 1)
    if (sought.key > 0 && hash.find(Math.imul(sought.key, 0x9e3779b1), sought) === 0) Atomics.store(shared, at.failure, 3)
  }
  const met = new Set()
  if (turn % 16 === 0) {
    hash.forEach((row) => { if (met.has(row)) Atomics.store(shared, at.failure, 4); met.add(row) })
    if (met.size < snapshot * ${keysPerBatch}) Atomics.store(shared, at.failure, 5)
  }
  Atomics.store(shared, at.announced, ${idle})
  Atomics.add(shared, at.reads, 1)
  turn += 1
}
`

test.each(seeds)('a foreign reader always finds exactly its snapshot, seed %i', { timeout: 60_000 }, async (seed) => {
  const random = randomFrom(seed)
  const { region, domain, take } = fixture(64 * 2 ** 20)
  const cell = take(orderedCellWords)
  const hashAt = take(hashStateWords)
  const rowsAt = take(2 * (batches * keysPerBatch + 2))
  const tree = new OrderedIndex(region, domain, cell)
  const hash = new HashIndex(region, domain, hashAt)
  const shared = new Int32Array(new SharedArrayBuffer((control.expected + 2 * batches + 2) * 4))
  shared[control.announced] = idle
  const { outputFiles } = buildSync({ stdin: { contents: reader, resolveDir: process.cwd(), loader: 'ts' }, bundle: true, write: false, platform: 'node', format: 'cjs' })
  const worker = new Worker(outputFiles[0]!.text, { eval: true, workerData: { buffer: region.buffer, shared, domainAt: domain.address, cell, hashAt } })
  const failed = new Promise<never>((_, reject) => worker.once('error', reject))
  failed.catch(() => undefined)

  const keyOf = (n: number): Uint8Array => Buffer.from(`key ${Math.imul(n, 0x85ebca6b) >>> 0}`)
  const live: number[] = []
  let sum = 0
  for (let batch = 1; batch <= batches; batch += 1) {
    domain.beginBatch()
    const bound = Math.min(batch - 1, Atomics.load(shared, control.announced))
    while (domain.oldestMark() <= bound) domain.reclaimOldest((_, __, record) => tree.trim(record, batch))
    for (let n = 0; n < keysPerBatch; n += 1) {
      const key = (batch - 1) * keysPerBatch + n + 1
      const row = rowsAt + key * 2
      region.i32[row * 2] = key
      const hashed = Math.imul(key, 0x9e3779b1)
      hash.reserve(hashed)
      hash.insert(hashed, row)
      const bytes = keyOf(key)
      tree.reserve(bytes.length)
      tree.insert(bytes, bytes.length, key, batch)
      live.push(key)
      sum = (sum + key) | 0
    }
    while (live.length > 2_000 || (live.length > 0 && random.chance(0.9))) {
      const [gone] = live.splice(random.below(live.length), 1)
      const bytes = keyOf(gone!)
      tree.reserveRemove()
      tree.remove(bytes, bytes.length, batch)
      sum = (sum - gone!) | 0
    }
    domain.endBatch(batch)
    shared[control.expected + batch * 2] = live.length
    shared[control.expected + batch * 2 + 1] = sum
    Atomics.store(shared, control.published, batch)
    // The reader must get its turns on a machine with few cores.
    if (batch % 100 === 0) {
      const reads = Atomics.load(shared, control.reads)
      while (Atomics.load(shared, control.reads) < reads + 2) await Promise.race([failed, new Promise((go) => setTimeout(go, 1))])
    }
  }
  Atomics.store(shared, control.stop, 1)
  await new Promise((exit) => worker.once('exit', exit))
  tree.check()
  expect(shared[control.failure]).toBe(0)
  expect(shared[control.reads]).toBeGreaterThan(20)
})

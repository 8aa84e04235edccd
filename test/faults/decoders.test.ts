/**
 * Arbitrary bytes into everything that reads bytes which somebody else may have had in his hands: the log, checkpoints,
 * manifests, and the codecs of requests, results and events. A decoder answers or refuses in the words it has for that;
 * nothing else is thrown, nothing is slow, and bytes that lie about their length do not make anybody allocate for it.
 *
 * Not among them: the images of rows inside a frame body. They stand behind the checksum of the body, and are believed.
 *
 * Most of the cases are valid bytes with a few of them changed: pure noise does not get past the first check.
 */
import { SluiceError } from '../../engine/base/errors.js'
import { ByteReader, ByteWriter, MalformedBytesError } from '../../engine/base/bytes.js'
import { CanonicalError, decodeCanonical, encodeCanonical } from '../../engine/base/canonical.js'
import { loggedCatalog } from '../../engine/schema/catalog.js'
import type { Program, RecordDescriptor } from '../../engine/schema/descriptor.js'
import { compileRecordCodec } from '../../engine/schema/record-codec.js'
import { decodeMeta, encodeMeta } from '../../engine/stream/checkpoint-rows.js'
import { decodeSchema, encodeSchema, FrameBodyReader, MemoryLogStorage, PlainCheckpointStore, RowBlock, CheckpointSet, inspectLog } from '../../wal/index.js'
import { decodeManifest, encodeManifest, encodeUnderWay } from '../../wal/checkpoint-manifest.js'
import { envelopeBytes, readEnvelope, writeEnvelope } from '../../wal/envelope.js'
import { simulate } from '../simulator/simulation.js'
import modelApp from '../support/apps/model-app.js'
import type { Random } from '../support/random.js'
import { databaseId } from '../wal/log-fixture.js'
import { faultRow } from './row.js'

const program = (modelApp as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!
const catalog = loggedCatalog(program, { seed: 7, partitions: 8 })
const slowMs = 1_000

interface Decoder {
  readonly name: string
  /** Bytes that it reads as they are. */
  readonly samples: readonly Uint8Array[]
  /** Returns, or throws one of its own. */
  decode(bytes: Uint8Array): void
  /** What it may throw, beside a `SluiceError` of code LOG_CORRUPT. */
  readonly ownErrors: readonly (abstract new (...parts: never[]) => Error)[]
}

const written = (write: (writer: ByteWriter) => void): Uint8Array => {
  const writer = new ByteWriter(256)
  write(writer)
  return writer.bytes().slice()
}

const plain = [null, true, -5, 2 ** 40, 1.5, 12n, -(2n ** 90n), 'text ☂', 'x'.repeat(300), [1, [2, [3]]], { a: { b: [], c: {} }, long: 'é'.repeat(99) }, Uint8Array.of(1, 2, 3), new Date(5)]

const record: RecordDescriptor = {
  columns: (['bool', 'i32', 'u32', 'int', 'f64', 'bigint', 'text', 'bytes', 'json', 'timestamp', 'uuid'] as const).flatMap((type) => [
    { name: type, type, nullable: false },
    { name: `${type}N`, type, nullable: true },
  ]),
}
const codec = compileRecordCodec(record, { checks: [], json: [] }, 'a fuzzed record')
const values = {
  bool: true, i32: -7, u32: 7, int: 2 ** 50, f64: 0.1, bigint: 2n ** 60n, text: 'é☂', bytes: Uint8Array.of(9, 8), json: { a: [1] }, timestamp: 1_000, uuid: '7b53c5a2-7f0e-4c2c-9d53-0a5b8d2f1e11',
  boolN: null, i32N: 3, u32N: null, intN: 1, f64N: null, bigintN: -1n, textN: 'n', bytesN: null, jsonN: null, timestampN: 5, uuidN: null,
}

const envelope = { kind: 'frame', segment: 1, offset: 4_096, incarnation: 3, batch: 77, previous: 76, durableUpTo: 70, bodyBytes: 64, bodyCrc: 1, writtenCrc: 1, chain: 5 } as const
function envelopeSample(): Uint8Array {
  const bytes = new Uint8Array(envelopeBytes)
  writeEnvelope(bytes, databaseId, envelope)
  return bytes
}
const manifest = { kind: 'plain', databaseId, sequence: 3, batch: 50, rows: 10, fileBytes: 4_000, fileCrc: 99 } as const

async function decoders(): Promise<readonly Decoder[]> {
  const bodies: Uint8Array[] = []
  await simulate(program, { seed: 5, workers: 2, steps: 60, faults: false, deaths: false, durability: 'fsync', checkpointEvery: 10, onSeal: (_, body) => void bodies.push(body) })
  const block = blockOf()
  return [
    { name: 'envelope', samples: [envelopeSample()], decode: (bytes) => void readEnvelope(bytes, 0), ownErrors: [] },
    {
      name: 'frame body',
      samples: bodies,
      decode: (bytes) => {
        const body = new FrameBodyReader(bytes)
        body.check()
      },
      ownErrors: [],
    },
    { name: 'manifest', samples: [encodeManifest(manifest), encodeUnderWay('lmdb', databaseId)], decode: (bytes) => void decodeManifest(bytes), ownErrors: [] },
    {
      name: 'checkpoint block',
      samples: [block],
      decode: (bytes) => {
        const rowsOfBlock = new RowBlock()
        const length = bytes.length & ~7
        rowsOfBlock.target(length).set(bytes.subarray(0, length))
        rowsOfBlock.read(length, 'a')
      },
      ownErrors: [],
    },
    {
      name: 'checkpoint folder',
      samples: [encodeManifest(manifest), block],
      decode: (bytes) => {
        const storage = new MemoryLogStorage()
        for (const name of ['a.manifest', 'b.manifest', 'a-0000000001.plain']) storage.create(name).write([bytes], 0)
        const set = CheckpointSet.open(new PlainCheckpointStore(storage))
        for (const { name } of set.candidates()) if (set.verify(name)) throw new Error('noise passed for a checkpoint')
      },
      ownErrors: [],
    },
    { name: 'meta of a checkpoint', samples: [encodeMeta({ format: 1, catalog, logTables: [], now: 5, records: 1, place: { segment: 1, offset: 4_096, batch: 1, chain: 0, incarnation: 1, frameOffset: 4_096 } })], decode: (bytes) => void decodeMeta(bytes), ownErrors: [SyntaxError, TypeError] },
    { name: 'schema', samples: [encodeSchema(JSON.stringify(catalog))], decode: (bytes) => void decodeSchema(bytes), ownErrors: [] },
    {
      name: 'segment',
      samples: [Uint8Array.from([...envelopeSample(), ...new Uint8Array(4_000), ...envelopeSample()])],
      decode: (bytes) => {
        const storage = new MemoryLogStorage()
        storage.create('0000000001.slog').write([bytes], 0)
        for (const found of inspectLog(storage)) if (found.kind === 'frame') throw new Error('noise passed for a frame')
      },
      ownErrors: [],
    },
    {
      name: 'canonical codec',
      samples: plain.map((value) => written((writer) => encodeCanonical(value, writer))),
      decode: (bytes) => void decodeCanonical(new ByteReader(bytes)),
      ownErrors: [CanonicalError, MalformedBytesError],
    },
    {
      name: 'record of a request',
      samples: [written((writer) => codec.encode(values, writer))],
      decode: (bytes) => void codec.decode(new ByteReader(bytes)),
      ownErrors: [MalformedBytesError, CanonicalError],
    },
  ]
}

/** Three records as checkpoint-blocks.ts lays them. */
function blockOf(): Uint8Array {
  const bytes = new Uint8Array(8 + 3 * 40)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 3, true)
  view.setUint32(4, bytes.length, true)
  for (let n = 0; n < 3; n += 1) {
    const at = 8 + n * 40
    view.setUint32(at, 20, true)
    view.setUint16(at + 4, 6, true)
    bytes.fill(n + 1, at + 8, at + 28)
    bytes.fill(n + 65, at + 32, at + 38)
  }
  return bytes
}

faultRow(
  14,
  {
    title: 'arbitrary bytes as log, checkpoint, request',
    injected: 'noise, and valid bytes cut, lengthened, spliced or with some bytes changed, into 10 decoders: envelope, frame body, manifest, checkpoint block, checkpoint folder, meta, schema, segment, canonical codec, record codec',
    invariant: 'an answer or a documented refusal; nothing takes a second; memory is bounded by the bytes',
    pr: 50_000,
    nightly: 10_000_000,
  },
  async (run) => {
    const all = await decoders()
    const accepted = new Map<string, number>()
    let slowest = 0
    let most = 0
    for (const index of run.cases()) {
      const decoder = all[index % all.length]!
      const bytes = fuzzed(run.chance, decoder.samples)
      const memory = index % 64 === 0 ? process.memoryUsage().arrayBuffers : 0
      const startedMs = performance.now()
      try {
        decoder.decode(bytes)
        accepted.set(decoder.name, (accepted.get(decoder.name) ?? 0) + 1)
      } catch (error) {
        const isOwn = SluiceError.is(error, 'LOG_CORRUPT') || SluiceError.is(error, 'INVALID_USE') || decoder.ownErrors.some((kind) => error instanceof kind)
        if (!isOwn) throw new Error(`${decoder.name} threw ${String(error)} at ${Buffer.from(bytes).toString('hex').slice(0, 600)}`, { cause: error })
      }
      const ms = performance.now() - startedMs
      if (ms > slowMs) throw new Error(`${decoder.name} took ${Math.round(ms)} ms for ${bytes.length} bytes`)
      slowest = Math.max(slowest, ms)
      if (index % 64 === 0) most = Math.max(most, process.memoryUsage().arrayBuffers - memory - 4 * bytes.length)
    }
    if (most > 64 * 2 ** 20) throw new Error(`a decoder took ${most} bytes more than it was given`)
    run.figure('slowest', Math.round(slowest * 10) / 10, 'ms')
    run.figure('most memory beside the bytes', Math.max(0, Math.round(most / 1_024)), 'KiB')
    run.figure('accepted', [...accepted].map(([name, count]) => `${name} ${count}`).join(', '))
  },
)

function fuzzed(random: Random, samples: readonly Uint8Array[]): Uint8Array {
  const noise = (length: number): Uint8Array => Uint8Array.from({ length }, () => random.below(256))
  if (random.chance(0.3)) return noise(random.below(random.pick([8, 40, 200, 1_000])))
  const sample = random.pick(samples)
  if (random.chance(0.05)) return sample.slice()
  let bytes = sample.slice()
  for (let n = 1 + random.below(4); n > 0; n -= 1) {
    if (bytes.length === 0) return bytes
    const at = random.below(bytes.length)
    const die = random.below(7)
    if (die === 0) bytes = bytes.slice(0, at)
    else if (die === 1) bytes = Uint8Array.from([...bytes, ...noise(1 + random.below(64))])
    else if (die === 2) bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff])
    else if (die === 3) bytes[at]! ^= 1 << random.below(8)
    else if (die === 4) bytes.set(noise(Math.min(8, bytes.length - at)), at)
    else if (die === 5) bytes.copyWithin(at, random.below(bytes.length), random.below(bytes.length))
    else if (bytes.length >= 4) {
      const word = random.below(bytes.length - 3)
      new DataView(bytes.buffer).setUint32(word, random.pick([0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, bytes.length]), true)
    }
  }
  return bytes
}

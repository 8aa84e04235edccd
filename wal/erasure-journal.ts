/**
 * The journal of an erasure: the file `erasure` beside the segments, from the moment when an erasure is asked for until it is done.
 *
 *   record    u32 magic "SLE1" | u32 kind | u32 bytes of the JSON | u32 patches | u32 bytes of the patches | u32 crc32 of all but this
 *             JSON, zeros to a multiple of 8
 *             patches: u32 segment | u32 offset | u32 bytes | zero | the bytes, a multiple of 8
 *
 *   1 intent  what is to be erased, and where: the first record
 *   2 patch   bytes that go over those of a segment, and the report so far. It is on disk before the first of them is written
 *             (log-rewrite.ts), so whatever a crash leaves of them in the segment is written once more
 *
 * Invariants:
 *   J1  Records are appended, synced one by one, and never changed: the whole ones from the beginning on are those that count. A torn
 *       one at the end was not acted on.
 *   J2  The file goes when everything it asks for is on disk, and is overwritten with zeros before: it names who was erased. Its first
 *       record goes before the others: with it the erasure is over. What a crash leaves of a file without one is removed at open.
 *
 * Why not a record in the log: it would hold what is to be erased, and would have to be erased itself, by a record in the log.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../engine/base/assert.js'
import { SluiceError } from '../engine/base/errors.js'
import { isMissing } from './damage.js'
import { segmentName } from './segment.js'
import type { LogFile, LogStorage } from './storage.js'

export const erasureJournalName = 'erasure'
/** "SLE1" */
const magic = 0x3145_4c53
const headBytes = 24
const patchHeadBytes = 16
const kinds = { intent: 1, patch: 2 } as const
/** One sector: all of it is written, or nothing. */
const firstZeroBytes = 512
const zeroChunkBytes = 1_024 * 1_024

/** Bytes of a segment, from a place on: whole parts of the log. */
export interface Patch {
  readonly segment: number
  readonly offset: number
  readonly bytes: Uint8Array
}

interface JournalRecord {
  readonly kind: number
  readonly json: unknown
  readonly patches: readonly Patch[]
}

export class ErasureJournal {
  readonly #storage: LogStorage
  readonly #file: LogFile
  #end: number
  /** As its first record says. */
  readonly intent: unknown
  /** Of the newest patch that was recorded; undefined when there was none. */
  report: unknown

  private constructor(storage: LogStorage, file: LogFile, records: readonly JournalRecord[], end: number) {
    this.#storage = storage
    this.#file = file
    this.#end = end
    this.intent = records[0]!.json
    this.report = records.findLast(({ kind }) => kind === kinds.patch)?.json
  }

  /** Begins one. There must be none. */
  static begin(storage: LogStorage, intent: unknown): ErasureJournal {
    if (isErasureUnderWay(storage)) throw SluiceError.of('INVALID_USE', 'Another erasure of this database was stopped before its end: open the database again, and it goes on.')
    ErasureJournal.clean(storage)
    const file = storage.create(erasureJournalName)
    const record = encode(kinds.intent, intent, [])
    file.write([record], 0)
    file.sync()
    storage.syncDirectory()
    return new ErasureJournal(storage, file, [{ kind: kinds.intent, json: intent, patches: [] }], record.length)
  }

  /** The one that is under way. Reads only. */
  static find(storage: LogStorage): ErasureJournal | undefined {
    if (!storage.list().includes(erasureJournalName)) return undefined
    const file = storage.open(erasureJournalName, 'write')
    const { records, end } = recordsOf(file)
    if (records[0]?.kind === kinds.intent) return new ErasureJournal(storage, file, records, end)
    file.close()
    return undefined
  }

  /** The bytes of these patches are on disk here when this returns; then they may be written to their segments. */
  record(report: unknown, patches: readonly Patch[]): void {
    const record = encode(kinds.patch, report, patches)
    this.#file.write([record], this.#end)
    this.#file.sync()
    this.#end += record.length
    this.report = report
  }

  /** Writes all patches once more: after a crash nobody knows which of them the segments have. */
  apply(): void {
    const { records } = recordsOf(this.#file)
    for (const { patches } of records) applyPatches(this.#storage, patches)
  }

  /** J2. */
  end(): void {
    overwrite(this.#file)
    this.#file.close()
    this.#storage.remove(erasureJournalName)
    this.#storage.syncDirectory()
  }

  /** Removes what is left of one that was never begun, or is over. */
  static clean(storage: LogStorage): void {
    if (!storage.list().includes(erasureJournalName) || isErasureUnderWay(storage)) return
    const file = storage.open(erasureJournalName, 'write')
    overwrite(file)
    file.close()
    storage.remove(erasureJournalName)
    storage.syncDirectory()
  }

  close(): void {
    this.#file.close()
  }
}

/** With zeros: the first record, then all others. */
function overwrite(file: LogFile): void {
  const size = file.size()
  const zeros = new Uint8Array(Math.min(zeroChunkBytes, size))
  const first = Math.min(firstZeroBytes, size)
  file.write([zeros.subarray(0, first)], 0)
  file.sync()
  for (let at = first; at < size; at += zeros.length) file.write([zeros.subarray(0, size - at)], at)
  file.sync()
}

/** Over the bytes of their segments, synced. A segment that retention has removed needs nothing. */
export function applyPatches(storage: LogStorage, patches: readonly Patch[]): void {
  const segments = [...new Set(patches.map(({ segment }) => segment))]
  for (const segment of segments) {
    const file = openIfThere(storage, segmentName(segment), 'write')
    if (file === undefined) continue
    try {
      for (const patch of patches) if (patch.segment === segment) file.write([patch.bytes], patch.offset)
      file.sync()
    } finally {
      file.close()
    }
  }
}

/**
 * The log as it will be when an erasure that a crash has stopped goes on: for who only reads. Where there is none it is the storage
 * itself.
 */
export function withPatches(storage: LogStorage): LogStorage {
  const file = openIfThere(storage, erasureJournalName, 'read')
  if (file === undefined) return storage
  const { records } = recordsOf(file)
  file.close()
  const patches = records.flatMap((record) => record.patches)
  if (patches.length === 0) return storage
  return {
    list: () => storage.list(),
    create: (name) => storage.create(name),
    remove: (name) => storage.remove(name),
    replace: (from, to) => storage.replace(from, to),
    syncDirectory: () => storage.syncDirectory(),
    open: (name, access) => {
      const found = storage.open(name, access)
      const own = patches.filter(({ segment }) => segmentName(segment) === name)
      return own.length === 0 ? found : new PatchedFile(found, own)
    },
  }
}

class PatchedFile implements LogFile {
  readonly #file: LogFile
  readonly #patches: readonly Patch[]

  constructor(file: LogFile, patches: readonly Patch[]) {
    this.#file = file
    this.#patches = patches
  }
  get name(): string {
    return this.#file.name
  }
  size(): number {
    return this.#file.size()
  }
  read(target: Uint8Array, at: number): number {
    return this.#patched(target, at, this.#file.read(target, at))
  }
  async readAsync(target: Uint8Array, at: number): Promise<number> {
    return this.#patched(target, at, await this.#file.readAsync(target, at))
  }
  write(parts: readonly Uint8Array[], at: number): void {
    this.#file.write(parts, at)
  }
  sync(): void {
    this.#file.sync()
  }
  close(): void {
    this.#file.close()
  }

  #patched(target: Uint8Array, at: number, read: number): number {
    for (const { offset, bytes } of this.#patches) {
      const from = Math.max(at, offset)
      const to = Math.min(at + read, offset + bytes.length)
      if (from < to) target.set(bytes.subarray(from - offset, to - offset), from - at)
    }
    return read
  }
}

/** Whether an erasure was asked for and is not done. */
export function isErasureUnderWay(storage: LogStorage): boolean {
  return recordsIn(storage)[0]?.kind === kinds.intent
}

/** Whether it has begun with the files: until it is done the log may lack what the checkpoints still have. */
export function isHalfErased(storage: LogStorage): boolean {
  const [first, ...others] = recordsIn(storage)
  return first?.kind === kinds.intent && others.length > 0
}

function recordsIn(storage: LogStorage): readonly JournalRecord[] {
  const journal = openIfThere(storage, erasureJournalName, 'read')
  if (journal === undefined) return []
  try {
    return recordsOf(journal).records
  } finally {
    journal.close()
  }
}

// ── records ─────────────────────────────────────────────────────────────────────────────────────────────────────

function encode(kind: number, value: unknown, patches: readonly Patch[]): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(value))
  const patchesAt = headBytes + padded(json.length)
  const patchBytes = patches.reduce((bytes, patch) => bytes + patchHeadBytes + patch.bytes.length, 0)
  const record = new Uint8Array(patchesAt + patchBytes)
  const view = new DataView(record.buffer)
  for (const [n, word] of [magic, kind, json.length, patches.length, patchBytes].entries()) view.setUint32(n * 4, word, true)
  record.set(json, headBytes)
  let at = patchesAt
  for (const { segment, offset, bytes } of patches) {
    assert(bytes.length % 8 === 0, 'a patch is whole parts of the log')
    for (const [n, word] of [segment, offset, bytes.length].entries()) view.setUint32(at + n * 4, word, true)
    record.set(bytes, at + patchHeadBytes)
    at += patchHeadBytes + bytes.length
  }
  view.setUint32(headBytes - 4, crcOf(record), true)
  return record
}

const padded = (bytes: number): number => Math.ceil(bytes / 8) * 8
const crcOf = (record: Uint8Array): number => crc32(record.subarray(headBytes), crc32(record.subarray(0, headBytes - 4)))

/** J1: the whole ones from the beginning on. */
function recordsOf(file: LogFile): { readonly records: readonly JournalRecord[]; readonly end: number } {
  const size = file.size()
  const records: JournalRecord[] = []
  let at = 0
  for (;;) {
    const head = new Uint8Array(headBytes)
    if (file.read(head, at) < headBytes) return { records, end: at }
    const word = (n: number): number => new DataView(head.buffer).getUint32(n * 4, true)
    const bytes = headBytes + padded(word(2)) + word(4)
    if (word(0) !== magic || at + bytes > size) return { records, end: at }
    const record = new Uint8Array(bytes)
    if (file.read(record, at) < bytes || crcOf(record) !== word(5)) return { records, end: at }
    records.push(decoded(record, word(1), word(2), word(3)))
    at += bytes
  }
}

function decoded(record: Uint8Array, kind: number, jsonBytes: number, count: number): JournalRecord {
  const view = new DataView(record.buffer)
  const patches: Patch[] = []
  let at = headBytes + padded(jsonBytes)
  for (let n = 0; n < count; n += 1) {
    const length = view.getUint32(at + 8, true)
    patches.push({ segment: view.getUint32(at, true), offset: view.getUint32(at + 4, true), bytes: record.subarray(at + patchHeadBytes, at + patchHeadBytes + length) })
    at += patchHeadBytes + length
  }
  return { kind, json: JSON.parse(new TextDecoder().decode(record.subarray(headBytes, headBytes + jsonBytes))), patches }
}

function openIfThere(storage: LogStorage, name: string, access: 'read' | 'write'): LogFile | undefined {
  try {
    return storage.open(name, access)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

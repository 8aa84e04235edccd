/**
 * Retention within segments (R60): of some tables the log keeps the newest change of each key, of some tables and events what is young enough,
 * or the newest bytes. The rest of each segment stays as it is (wal/segment-rewrite.ts).
 *
 *   look      the newest segment first, for what is newer decides: each is read once, its keys and bytes are noted, and what leaves of it
 *             is known when its end is reached
 *   rewrite   where that is a useful share of the segment; it is read once more, frame by frame
 *
 *   by key      a change leaves when the log holds a newer one of its key. The newest stays, also when it is a delete: it is the tombstone, and
 *               leaves with its segment
 *   by stream   changes of some tables and events of some types: a frame loses them all when it is older than an age, or when more bytes of
 *               them follow in newer frames. By frames, so that those of one commit leave together
 *
 * Runs on the checkpoint thread behind a checkpoint, and touches what neither opening nor any consumer reads (`compactable`).
 *
 * Invariants:
 *   M1  A change leaves for a newer one that is on disk, and that newer one leaves for nothing but a still newer one. So whatever order segments
 *       are written in, and whatever a crash leaves of that, the newest change of a key is there.
 *   M2  Keys that do not fit into `limits.compactionKeyBytes` are not noted, and what is not noted leaves for nothing: memory is bounded,
 *       and too much is kept, never too little. The keys that changed last are those that are noted.
 *   M3  A segment is as it was, or has lost all that was found to leave it; its head says so.
 */
import { limits } from '../base/limits.js'
import { SluiceError } from '../base/errors.js'
import { type LoggedCatalog, tableProgramOf } from '../schema/catalog.js'
import { KeyBuffer } from '../schema/key-codec.js'
import { layoutOf } from '../schema/row-layout.js'
import { ImageKey } from '../store/image-key.js'
import {
  changeField, changeKind, changeWords, compactable, decodeSchema, eventField, eventWords, FrameBodyReader, type HeldSegment, isErasureUnderWay, type LogFrame, type LogStorage,
  readSegment, type RetentionRules, rewriteSegment,
} from '../../wal/index.js'
import { changeBytesAt, compactBody, eventBytesAt } from './body-compactor.js'

/** What the user wants: full names. */
export interface CompactionRules {
  /** By key. */
  readonly tables: readonly string[]
  readonly streams: readonly StreamRule[]
}
export interface StreamRule {
  readonly tables: readonly string[]
  readonly events: readonly string[]
  readonly ageMs: number | undefined
  readonly bytes: number | undefined
}

/** How far the segments reached that were looked at, and when that was. */
export interface CompactionLook {
  readonly batch: number
  readonly atMs: number
}

export interface CompactionOptions extends Pick<RetentionRules, 'olderCheckpoint' | 'consumers' | 'consumerBytes' | 'nowMs'> {
  readonly rules: CompactionRules
  /** A durable batch with a frame: what is behind it counts as not there. */
  readonly upTo: number
  readonly last: CompactionLook | undefined
  readonly shouldStop?: (() => boolean) | undefined
  /** Whether the disk has room for a segment of this length more. */
  readonly hasRoom?: ((bytes: number) => boolean) | undefined
  readonly share?: number | undefined
  readonly keyBytes?: number | undefined
}

export interface CompactionReport {
  /** Segments that were written anew, and how many bytes fewer they are. */
  readonly segments: number
  readonly bytes: number
  /** Undefined: nothing was looked at, or not all. */
  readonly look: CompactionLook | undefined
  /** What the disk said, where it did not come to its end for that. */
  readonly problem: string | undefined
}

/** Looks at the log where that may be worth it, and takes away what leaves. Never throws for what a disk does: the log is whole either way. */
export function compactLog(log: LogStorage, options: CompactionOptions): CompactionReport {
  const compactor = new LogCompactor(log, options)
  try {
    // The journal of an erasure names places in segments.
    const { within, behind } = isErasureUnderWay(log) ? { within: [], behind: [] } : compactable(log, options)
    if (behind[0] === undefined || !isDue(within, options)) return { ...compactor.done, look: options.last, problem: undefined }
    compactor.run(within, behind)
    return { ...compactor.done, look: { batch: behind[0].head.previous, atMs: options.nowMs }, problem: undefined }
  } catch (error) {
    return { ...compactor.done, look: undefined, problem: SluiceError.is(error, 'CANCELLED') ? undefined : (error as Error).message }
  }
}

/** Looking reads all of the log: after so much growth, or so much of the shortest age, that this share of what it reads may be new. */
function isDue(within: readonly HeldSegment[], { rules, last, nowMs, share = limits.compactionShareMin }: CompactionOptions): boolean {
  if (within.length === 0 || last === undefined) return within.length > 0
  const bytesOf = (segments: readonly HeldSegment[]): number => segments.reduce((sum, { bytes }) => sum + bytes, 0)
  const isGrown = bytesOf(within.filter(({ head }) => head.previous >= last.batch)) >= share * bytesOf(within)
  return isGrown || rules.streams.some(({ ageMs }) => ageMs !== undefined && nowMs - last.atMs >= ageMs * share)
}

interface FollowedTable {
  /** Undefined: not compacted by key. */
  readonly key: ImageKey | undefined
  /** In front of its keys. */
  readonly tag: string
  /** Numbers of the rules that it is in. */
  readonly streams: readonly number[]
}

/** What leaves a segment. */
interface Look {
  /** For a newer change of the same key: by place among the changes of the segment. */
  readonly changes: PlaceSet
  /** By stream: frames that lose what is of it. */
  readonly frames: readonly PlaceSet[]
  readonly bytes: number
}

/** What one note of a key takes beside its bytes. */
const keyOverheadBytes = 100

class LogCompactor {
  readonly #log: LogStorage
  readonly #options: CompactionOptions
  readonly #keys: NewestKeys
  /** By stream: the bytes of it in what was looked at, all of which is newer than what comes. */
  readonly #newer: number[]
  #tables: readonly FollowedTable[] = []
  /** By type: numbers of the rules. */
  #events: readonly (readonly number[])[] = []
  #segments = 0
  #bytes = 0

  constructor(log: LogStorage, options: CompactionOptions) {
    this.#log = log
    this.#options = options
    this.#keys = new NewestKeys(options.keyBytes ?? limits.compactionKeyBytes)
    this.#newer = options.rules.streams.map(() => 0)
  }

  get done(): { readonly segments: number; readonly bytes: number } {
    return { segments: this.#segments, bytes: this.#bytes }
  }

  run(within: readonly HeldSegment[], behind: readonly HeldSegment[]): void {
    const { upTo, share = limits.compactionShareMin, hasRoom } = this.#options
    for (const segment of [...behind].reverse()) this.#look(segment, upTo)
    for (const segment of [...within].reverse()) {
      const look = this.#look(segment, Infinity)
      if (look.bytes === 0 || look.bytes < share * segment.bytes || hasRoom?.(segment.bytes) === false) continue
      this.#rewrite(segment, look)
    }
  }

  #look({ head }: HeldSegment, upTo: number): Look {
    const { segment } = head
    const looking = new Looking(segment, this.#keys, this.#newer.length)
    readSegment(this.#log, head, upTo, (part) => {
      this.#mustGoOn()
      if (part.kind === 'schema') this.#schema(part)
      else looking.frame(part, this.#tables, this.#events)
    })
    return looking.end(this.#options, this.#newer)
  }

  #rewrite({ head }: HeldSegment, look: Look): void {
    let frame = -1
    let firstChange = 0
    const saved = rewriteSegment(this.#log, head.segment, {
      shouldStop: this.#options.shouldStop,
      rewrite: (part) => {
        if (part.kind === 'schema') {
          this.#schema(part)
          return undefined
        }
        frame += 1
        const body = new FrameBodyReader(part.body)
        const leaves = (streams: readonly number[]): boolean => streams.some((stream) => look.frames[stream]!.has(frame))
        const before = firstChange
        firstChange += body.changeCount
        const left = compactBody(body, {
          change: (place, layout) => look.changes.has(before + place) || leaves(this.#tables[layout]!.streams),
          event: (_place, type) => leaves(this.#events[type]!),
        })
        if (left !== undefined) new FrameBodyReader(left).check()
        return left
      },
    })
    if (saved === undefined) return
    this.#segments += 1
    this.#bytes += saved
  }

  #schema({ body }: LogFrame): void {
    const { rules } = this.#options
    const catalog = JSON.parse(decodeSchema(body)) as LoggedCatalog
    const streamsOf = (kind: 'tables' | 'events', name: string): readonly number[] => rules.streams.flatMap((rule, n) => (rule[kind].includes(name) ? [n] : []))
    this.#tables = catalog.tables.map((table) => {
      const place = rules.tables.indexOf(table.name)
      const { descriptor } = tableProgramOf(table)
      const key = place < 0 ? undefined : new ImageKey(descriptor, layoutOf(descriptor))
      // Rows of different generations have nothing to do with each other.
      return { key, tag: `${place} ${table.generation ?? 0} `, streams: streamsOf('tables', table.name) }
    })
    this.#events = catalog.events.map(({ name }) => streamsOf('events', name))
  }

  #mustGoOn(): void {
    if (this.#options.shouldStop?.() === true) throw SluiceError.of('CANCELLED', 'Compacting the log was stopped; it goes on after a later checkpoint.')
  }
}

/** One segment, while it is read. */
class Looking {
  readonly #segment: number
  readonly #keys: NewestKeys
  readonly #changes = new PlaceSet()
  /** By stream, then by frame. */
  readonly #streamBytes: number[][]
  readonly #times: number[] = []
  readonly #key = new KeyBuffer(256)
  readonly #source: { ints: Int32Array; bytes: Uint8Array } = { ints: new Int32Array(0), bytes: new Uint8Array(0) }
  #change = 0
  #bytes = 0

  constructor(segment: number, keys: NewestKeys, streams: number) {
    this.#segment = segment
    this.#keys = keys
    this.#streamBytes = Array.from({ length: streams }, () => [])
  }

  frame(part: LogFrame, tables: readonly FollowedTable[], events: readonly (readonly number[])[]): void {
    const body = new FrameBodyReader(part.body)
    body.check()
    const { words } = body
    this.#source.ints = words
    this.#source.bytes = body.bytes
    this.#times.push(body.now)
    for (const ofStream of this.#streamBytes) ofStream.push(0)
    const frame = this.#times.length - 1
    for (const lane of body.lanes) {
      for (let n = 0; n < lane.changeCount; n += 1, this.#change += 1) {
        const at = body.changesWord + (lane.changeIndex + n) * changeWords
        const table = tables[words[at + changeField.layout]!]!
        for (const stream of table.streams) this.#streamBytes[stream]![frame]! += changeBytesAt(words, at)
        if (table.key === undefined) continue
        const image = words[at + changeField.kind] === changeKind.delete ? changeField.before : changeField.image
        this.#key.reset()
        table.key.append(this.#source, lane.bytesAt + words[at + image]!, this.#key)
        this.#note(table.tag, changeBytesAt(words, at))
      }
      for (let n = 0; n < lane.eventCount; n += 1) {
        const at = body.eventsWord + (lane.eventIndex + n) * eventWords
        for (const stream of events[words[at + eventField.type]!]!) this.#streamBytes[stream]![frame]! += eventBytesAt(words, at)
      }
    }
  }

  /** The change that is looked at is the newest of its key so far in this segment: an older one in it leaves, or it for one in a newer segment. */
  #note(tag: string, bytes: number): void {
    const { bytes: key, length } = this.#key
    const older = this.#keys.note(tag + Buffer.from(key.buffer, key.byteOffset, length).toString('latin1'), this.#segment, this.#change, bytes)
    if (older === undefined) return
    this.#changes.add(older.change)
    this.#bytes += older.bytes
  }

  /** All frames were read: `newer` gets what is in them of each stream. */
  end({ rules, nowMs }: CompactionOptions, newer: number[]): Look {
    let bytes = this.#bytes
    const frames = rules.streams.map(({ ageMs = Infinity, bytes: bytesMax = Infinity }, stream) => {
      const leaving = new PlaceSet()
      const ofStream = this.#streamBytes[stream]!
      for (let frame = ofStream.length - 1; frame >= 0; frame -= 1) {
        const own = ofStream[frame]!
        if (own > 0 && (this.#times[frame]! < nowMs - ageMs || newer[stream]! > bytesMax)) {
          leaving.add(frame)
          bytes += own
        }
        newer[stream]! += own
      }
      return leaving
    })
    return { changes: this.#changes, frames, bytes }
  }
}

/** The newest change of each key that was met. Segments come newest first, the changes of one in their order. */
class NewestKeys {
  readonly #bytesMax: number
  readonly #places = new Map<string, number>()
  readonly #segments: number[] = []
  readonly #changes: number[] = []
  readonly #sizes: number[] = []
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Answers the change of this segment that leaves for another one: this one, or the one before it; undefined where none does. */
  note(key: string, segment: number, change: number, bytes: number): { readonly change: number; readonly bytes: number } | undefined {
    const place = this.#places.get(key)
    if (place === undefined) {
      const cost = key.length + keyOverheadBytes
      if (this.#bytes + cost > this.#bytesMax) return undefined // M2
      this.#bytes += cost
      this.#places.set(key, this.#segments.length)
      this.#segments.push(segment)
      this.#changes.push(change)
      this.#sizes.push(bytes)
      return undefined
    }
    if (this.#segments[place] !== segment) return { change, bytes }
    const older = { change: this.#changes[place]!, bytes: this.#sizes[place]! }
    this.#changes[place] = change
    this.#sizes[place] = bytes
    return older
  }
}

/** Numbers from 0 on, a bit each. */
class PlaceSet {
  #bits = new Uint8Array(1_024)

  add(place: number): void {
    const at = place >>> 3
    if (at >= this.#bits.length) {
      const larger = new Uint8Array(Math.max(at + 1, this.#bits.length * 2))
      larger.set(this.#bits)
      this.#bits = larger
    }
    this.#bits[at]! |= 1 << (place & 7)
  }
  has(place: number): boolean {
    return ((this.#bits[place >>> 3] ?? 0) & (1 << (place & 7))) !== 0
  }
}

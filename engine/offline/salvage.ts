/**
 * `sluice salvage`: the best state that can still be read, and a list of what is lost. Nothing is written into the directory.
 *
 * A state is a beginning (nothing, where the log begins so and has not been compacted; or a whole checkpoint) and every frame behind it up to the first bytes
 * that are no log. Damage that lies before the batch of a checkpoint costs history and no rows: the log is then read on from the
 * last segment that begins at or before that batch; or, where the damage lies in that very segment, the frames behind it are taken
 * as long as each follows the one before, beginning with the checkpoint's batch. The best state is the newest.
 *
 * A new directory begins at the same place and ends at the last good frame. Where the log cannot be read on from the checkpoint, a
 * log is written that goes on from the checkpoint's batch.
 */
import { join } from 'node:path'
import { SluiceError } from '../base/errors.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { didYouMean } from '../schema/closest-name.js'
import type { PlainRow } from '../store/row-codec.js'
import { FrameDecoder } from '../stream/frame-decoder.js'
import {
  copyLog, type DetachedFrames, detachedFrames, encodeSchema, FileLogStorage, FrameBodyReader, listSegments, type LogFrame,
  type LogStorage, type LogTail, LogWriter, readSegmentHeadOf, recoverLog,
} from '../../wal/index.js'
import { checkpointSetOf, type OfflineCheckpoint, OfflineCheckpoints } from './checkpoints.js'
import { copyCheckpoints, type CopiedDatabase, makeDirectory } from './copy-database.js'
import { type Finding, Findings } from './finding.js'
import { type ListedCommit, listedCommit } from './list-commits.js'
import { bytesOf, catalogIn, fileOfSegment, laterSegments, type LogEnd, walkLog } from './log-walk.js'
import { RebuiltStore } from './rebuilt-store.js'
import type { StatePlace } from './restore.js'
import type { Source } from './source.js'
import type { OnProgress } from './verify.js'

/** Batches above `after` and up to `upTo` that cannot be read in their place. */
export interface Loss {
  readonly after: number
  readonly upTo: number
  /** `'gone'`: no frame holds them. `'detached'`: whole frames, but what they build on is gone. */
  readonly kind: 'gone' | 'detached'
  /** A checkpoint holds what they did: only their history is lost. */
  readonly isInState: boolean
  readonly file: string | undefined
  readonly offset: number | undefined
  readonly frames: number
}

export interface SalvageReport {
  readonly isWhole: boolean
  /** Undefined when nothing can be read. `from`: where it begins. */
  readonly state: (StatePlace & { readonly from: string }) | undefined
  readonly findings: readonly Finding[]
  readonly losses: readonly Loss[]
  /** An erasure is not through with the files: the state may hold rows that it has taken out of the log already. */
  readonly isHalfErased: boolean
}

/** A beginning, and how far the log leads from there. */
interface Candidate {
  readonly base: OfflineCheckpoint | undefined
  readonly place: StatePlace
  readonly catalog: LoggedCatalog
  /** The log from where it can be read up to this state; undefined when it does not lead there from the checkpoint. */
  readonly log: LogStorage | undefined
  /** Then: frames behind damage that follow the checkpoint. */
  readonly ranges: readonly DetachedFrames[]
  readonly end: LogEnd
}

export class Salvage {
  readonly report: SalvageReport
  readonly #checkpoints: OfflineCheckpoints
  readonly #source: Source
  readonly #best: Candidate | undefined
  readonly #fromStart: LogEnd
  /** Undefined when neither the log nor a checkpoint says it: then there is no state either. */
  readonly #databaseId: Uint8Array | undefined

  private constructor(source: Source, checkpoints: OfflineCheckpoints, best: Candidate | undefined, fromStart: LogEnd, findings: Findings) {
    this.#source = source
    this.#checkpoints = checkpoints
    this.#best = best
    this.#fromStart = fromStart
    this.#databaseId = fromStart.databaseId ?? checkpoints.databaseId
    const state = best && { ...best.place, from: best.base === undefined ? 'the log' : best.base.file }
    this.report = { isWhole: findings.list.length === 0, state, findings: findings.all, losses: lossesOf(fromStart, best), isHalfErased: source.isHalfErased }
  }

  /** Looks at everything and finds the best state. To be closed. */
  static begin(source: Source, onProgress: OnProgress): Salvage {
    const findings = new Findings()
    const walked = walkTo(source.log, 0, onProgress)
    addDamage(walked.end, findings)
    const checkpoints = OfflineCheckpoints.read(source, walked.end.databaseId)
    try {
      for (const { state, file, batch, why } of checkpoints.states) {
        if (state === 'damaged') findings.add({ part: 'checkpoint', file, batch, message: why })
      }
      const { end, last, catalog } = walked
      const candidates: Candidate[] = []
      const isFromStart = end.after === 0 && end.compactedUpTo === 0
      if (isFromStart && last !== undefined && catalog !== undefined) candidates.push({ base: undefined, place: last, catalog, log: source.log, ranges: [], end })
      for (const base of checkpoints.whole) {
        if (base.batch >= end.compactedUpTo) candidates.push(candidateOf(source.log, base, end.databaseId ?? checkpoints.databaseId, onProgress))
      }
      let best: Candidate | undefined
      for (const one of candidates) if (best === undefined || one.place.batch > best.place.batch) best = one
      if (best !== undefined && best.place.batch > end.batch && end.damage === undefined) {
        const { segment, offset, batch } = end
        findings.add({ part: 'log', file: fileOfSegment(segment), segment, offset, batch, message: `the log ends before batch ${best.place.batch}, which a checkpoint holds` })
      }
      if (best?.end !== end && best !== undefined) addDamage(best.end, findings)
      return new Salvage(source, checkpoints, best, end, findings)
    } catch (error) {
      void checkpoints.close()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#checkpoints.close()
  }

  /** The rows of a table in the best state, in no order. */
  *rows(name: string): Generator<PlainRow, void, void> {
    const best = this.#mustHave()
    if (!best.catalog.tables.some((table) => table.name === name)) {
      throw SluiceError.of('INVALID_USE', `The database has no table "${name}"${didYouMean(name, best.catalog.tables.map((table) => table.name))}`)
    }
    const rebuilt = this.#rebuild(best)
    yield* rebuilt.rows(rebuilt.tables.find((table) => table.name === name)!)
  }

  /** The commits of frames behind the damage, where they can be read. They are not part of the state. */
  *detached(): Generator<ListedCommit, void, void> {
    const databaseId = this.#databaseId
    if (databaseId === undefined) return
    for (const range of this.#ranges()) {
      let decoder = this.#best && new FrameDecoder(this.#best.catalog)
      for (const frame of detachedFrames(this.#source.log, databaseId, range)) {
        if (frame.kind === 'schema') decoder = new FrameDecoder(catalogIn(frame))
        else if (decoder !== undefined) yield* commitsOf(decoder, frame.body)
      }
    }
  }

  /** Writes the best state as a new directory. */
  async copyTo(target: string, onProgress: OnProgress): Promise<CopiedDatabase> {
    const best = this.#mustHave()
    // Where the log is damaged, opening may not come to the end of the erasure either.
    if (this.#fromStart.damage === undefined) this.#source.mustNotBeHalfErased()
    const { batch } = best.place
    const databaseId = this.#databaseId!
    return await makeDirectory(target, async (path) => {
      const set = best.base === undefined ? undefined : checkpointSetOf(this.#source, databaseId)
      const checkpoints = copyCheckpoints({ checkpoints: set, upTo: batch, onProgress }, path)
      const log = FileLogStorage.open(join(path, 'log'))
      if (best.log === undefined) this.#writeLog(log, best, databaseId)
      else copyLog(best.log, log, { databaseId, upTo: batch })
      const bytes = checkpoints.reduce((sum, one) => sum + one.fileBytes, bytesOf(log))
      return { path, batch, bytes, checkpoints: checkpoints.length }
    })
  }

  #mustHave(): Candidate {
    if (this.#best !== undefined) return this.#best
    throw SluiceError.of('LOG_CORRUPT', `Nothing of ${this.#source.path} can be read: neither a checkpoint nor the beginning of the log is whole. Restore it from a backup.`, {
      details: { path: this.#source.path },
    })
  }

  #rebuild(best: Candidate): RebuiltStore {
    const { base, catalog } = best
    const rebuilt = new RebuiltStore(catalog)
    if (base !== undefined) rebuilt.load(base.checkpoint, base.meta)
    for (const frame of this.#framesOf(best)) {
      if (frame.kind === 'schema') rebuilt.schema(catalogIn(frame))
      else rebuilt.frame(frame.body)
    }
    return rebuilt
  }

  /** The schemas and frames that lead from the beginning of a state to its end. */
  *#framesOf({ base, log, ranges, place }: Candidate): Generator<LogFrame, void, void> {
    const above = base?.batch ?? 0
    if (log !== undefined) {
      for (const part of walkLog(log)) {
        if (part.batch > place.batch) return
        if (part.kind === 'schema' || (part.kind === 'frame' && part.batch > above)) yield { ...part, kind: part.kind }
      }
      return
    }
    let reached = above
    for (const range of ranges) {
      for (const frame of detachedFrames(this.#source.log, this.#databaseId!, range)) {
        if (frame.kind === 'frame' && frame.previous !== reached) continue
        if (frame.kind === 'frame') reached = frame.batch
        yield frame
      }
    }
  }

  /** A log that goes on from the batch of a checkpoint. A writer knows one schema: another one begins where it ended. */
  #writeLog(log: LogStorage, best: Candidate, databaseId: Uint8Array): void {
    const batch = best.base?.batch ?? best.place.batch
    let schema = encodeSchema(JSON.stringify(best.base?.catalog ?? best.catalog))
    let tail: LogTail = { ...emptyTail, batch, certified: batch, databaseId }
    let writer = LogWriter.open(log, tail, { databaseId, schema, durability: 'fsync' })
    let previous = batch
    for (const frame of this.#framesOf(best)) {
      if (frame.kind === 'frame') {
        writer.append(frame.body, { batch: frame.batch, previous })
        previous = frame.batch
      } else if (Buffer.compare(frame.body, schema) !== 0) {
        writer.close()
        schema = frame.body.slice()
        tail = tailOf(log, batch)
        writer = LogWriter.open(log, tail, { databaseId, schema, durability: 'fsync' })
      }
    }
    writer.close()
  }

  /** Ranges that the best state does not hold. */
  #ranges(): readonly DetachedFrames[] {
    const end = this.#best?.end ?? this.#fromStart
    const reached = this.#best?.place.batch ?? 0
    const all = end === this.#fromStart ? end.detached : [...this.#fromStart.detached, ...end.detached]
    return all.filter((range, n) => range.toBatch > reached && all.findIndex((one) => one.segment === range.segment && one.offset === range.offset) === n)
  }
}

interface Walked {
  readonly end: LogEnd
  /** The last frame, if it is above the batch that was asked for. */
  readonly last: StatePlace | undefined
  readonly catalog: LoggedCatalog | undefined
}

function walkTo(log: LogStorage, above: number, onProgress: OnProgress): Walked {
  let last: StatePlace | undefined
  let catalog: LoggedCatalog | undefined
  const parts = walkLog(log)
  for (let step = parts.next(); ; step = parts.next()) {
    if (step.done === true) return { end: step.value, last, catalog }
    const part = step.value
    onProgress('reading the log', part.share)
    if (part.kind === 'schema') catalog = catalogIn(part)
    if (part.kind !== 'frame' || part.batch <= above) continue
    last = placeOfFrame(part)
  }
}

/** The log is read from the last segment that begins at or before the checkpoint, and must lead at least up to it. */
function candidateOf(log: LogStorage, base: OfflineCheckpoint, databaseId: Uint8Array | undefined, onProgress: OnProgress): Candidate {
  const place = { batch: base.batch, index: 0, time: base.now }
  const first = listSegments(log).findLast((segment) => beginsAtOrBefore(log, segment, base.batch))
  const from = first === undefined ? log : laterSegments(log, first)
  const { end, last, catalog } = walkTo(from, base.batch, onProgress)
  if (first !== undefined && end.batch >= base.batch) {
    return { base, place: last ?? place, catalog: catalog ?? base.catalog, log: from, ranges: [], end }
  }
  const behind = databaseId === undefined ? undefined : followDetached(from, databaseId, base, end)
  return { base, place: behind?.place ?? place, catalog: behind?.catalog ?? base.catalog, log: undefined, ranges: behind?.ranges ?? [], end }
}

/** The frames behind the damage that follow a checkpoint without a gap. */
function followDetached(log: LogStorage, databaseId: Uint8Array, base: OfflineCheckpoint, end: LogEnd): Pick<Candidate, 'place' | 'catalog' | 'ranges'> | undefined {
  let place: StatePlace = { batch: base.batch, index: 0, time: base.now }
  let { catalog } = base
  const ranges: DetachedFrames[] = []
  for (const range of end.detached) {
    if (range.toBatch <= place.batch) continue
    const before = place.batch
    for (const frame of detachedFrames(log, databaseId, range)) {
      if (frame.kind === 'schema') catalog = catalogIn(frame)
      else if (frame.previous === place.batch) place = placeOfFrame(frame)
    }
    if (place.batch === before) break
    ranges.push(range)
  }
  return ranges.length === 0 ? undefined : { place, catalog, ranges }
}

function placeOfFrame({ batch, body }: { readonly batch: number; readonly body: Uint8Array }): StatePlace {
  const { now, transactionCount } = new FrameBodyReader(body)
  return { batch, index: Math.max(0, transactionCount - 1), time: now }
}

function beginsAtOrBefore(log: LogStorage, segment: number, batch: number): boolean {
  try {
    const head = readSegmentHeadOf(log, segment)
    return head !== undefined && head.previous <= batch
  } catch {
    return false
  }
}

const emptyTail = { segment: 0, offset: 0, chain: 0, incarnation: 0, cutBytes: 0, rewrittenBytes: 0, schema: undefined, damage: undefined }

/** Where a log that was just written, and begins after a batch, ends. */
function tailOf(log: LogStorage, after: number): LogTail {
  const frames = recoverLog(log, { after })
  for (let step = frames.next(); ; step = frames.next()) if (step.done === true) return step.value
}

function addDamage({ segment, offset, batch, damage }: LogEnd, findings: Findings): void {
  if (damage === undefined) return
  findings.add({ part: 'log', file: fileOfSegment(segment), segment, offset, batch, message: damage.why })
}

/** Of a frame that does not hold together, what was read before that shows. */
function commitsOf(decoder: FrameDecoder, bytes: Uint8Array): readonly ListedCommit[] {
  const found: ListedCommit[] = []
  try {
    const body = new FrameBodyReader(bytes)
    body.check()
    decoder.decode(body, { tables: undefined, events: undefined, outcomes: true }, 0, (transaction) => void found.push(listedCommit(transaction)))
  } catch {
    return found
  }
  return found
}

/** What the walk from the beginning could not read, and what the best state could not either. */
function lossesOf(fromStart: LogEnd, best: Candidate | undefined): readonly Loss[] {
  const reached = best?.place.batch ?? 0
  const ends = best === undefined || best.end === fromStart ? [fromStart] : [fromStart, best.end]
  const losses: Loss[] = []
  for (const end of ends) {
    for (const { afterBatch, toBatch } of end.missing) losses.push(lossOf('gone', afterBatch, toBatch, reached, undefined))
    for (const range of end.detached) losses.push(lossOf('detached', range.fromBatch - 1, range.toBatch, reached, range))
  }
  const isFirst = (one: Loss, n: number): boolean => losses.findIndex((other) => other.kind === one.kind && other.after === one.after && other.upTo === one.upTo) === n
  return losses.filter(isFirst).sort((a, b) => a.after - b.after)
}

function lossOf(kind: Loss['kind'], after: number, upTo: number, reached: number, range: DetachedFrames | undefined): Loss {
  const isInState = upTo <= reached
  return {
    kind,
    after: isInState ? after : Math.max(after, reached),
    upTo,
    isInState,
    file: range && fileOfSegment(range.segment),
    offset: range?.offset,
    frames: range?.frames ?? 0,
  }
}

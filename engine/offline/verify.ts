/**
 * `sluice verify`: proves a database from its files alone, and says what is wrong and where.
 *
 *   1  the log: every part in its place, checksums, the chain, and bodies that decode under their schema to the last value
 *   2  the checkpoints: the manifest, the checksum of the whole file, every row readable and under its own key
 *   3  the log and the checkpoints against each other: the rows that the log makes, from its beginning or from the older checkpoint,
 *      are those of every checkpoint, one by one
 *   4  the indexes: everything is loaded as open() does it, and every row stands once in each of its indexes
 *
 * While an erasure is in the middle of the files, 3 and 4 are left out: the log lacks what the checkpoints still have.
 *
 * Beside a running database it proves a moment of it: the log up to the newest whole frame. Segments and checkpoints may leave or
 * change meanwhile; a checkpoint that changed while it was read is no finding.
 */
import { messageOf } from '../base/errors.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { isErasureRecordId } from '../schema/handler-ids.js'
import { logCatalogOf } from '../stream/checkpoint-rows.js'
import { FrameDecoder } from '../stream/frame-decoder.js'
import { FrameBodyReader } from '../../wal/index.js'
import { type CheckpointState, OfflineCheckpoints } from './checkpoints.js'
import { collectOutcomes, compareOutcomes, compareRows, type ComparedCheckpoint, outcomesOf, type Outcomes, rowsOf } from './compare-checkpoint.js'
import { type Finding, Findings } from './finding.js'
import { catalogIn, compactedIn, fileOfSegment, type LogEnd, type LogPart, walkLog } from './log-walk.js'
import { RebuiltStore } from './rebuilt-store.js'
import type { Source } from './source.js'

export interface VerifiedLog {
  readonly segments: number
  readonly bytes: number
  /** The log goes on behind this batch: 0, or older segments have left. */
  readonly after: number
  /** Retention has compacted it up to this batch: what makes rows begins behind it. 0: it has not. */
  readonly compactedUpTo: number
  readonly lastBatch: number
  readonly frames: number
  readonly commits: number
  readonly changes: number
  /** Behind the last frame lies an end that nobody was ever told about: so many bytes. It is no damage. */
  readonly tornBytes: number
  /** Frames whose bodies an erasure has rewritten: how many, and the first of their batches. The chain is proved over the first bodies. */
  readonly erasedFrames: number
  readonly erasedBatches: readonly number[]
  /** Frames from which a compaction has taken changes or events. */
  readonly compactedFrames: number
  /** Records of erasures among the commits. */
  readonly erasures: number
  /** One was stopped, and goes on when the database is opened. */
  readonly isErasureUnderWay: boolean
  /** It is in the middle of the files: no rows were made of them, and nothing was compared. */
  readonly isHalfErased: boolean
}

export interface VerifiedCheckpoint {
  readonly file: string
  readonly state: CheckpointState['state']
  readonly batch: number
  readonly rows: number
  readonly bytes: number
  /** What its rows were compared with; undefined when there was nothing. */
  readonly comparedWith: string | undefined
}

export interface VerifyReport {
  readonly isWhole: boolean
  readonly findings: readonly Finding[]
  readonly log: VerifiedLog
  readonly checkpoints: readonly VerifiedCheckpoint[]
  /** Of the state at the end of the log, as open() would serve it; undefined when it could not be made. */
  readonly rows: number | undefined
}

/** So many are named, the rest is counted. */
const erasedBatchesMax = 1_000

export type OnProgress = (what: string, part?: number) => void

export async function verifyDatabase(source: Source, onProgress: OnProgress): Promise<VerifyReport> {
  const findings = new Findings()
  const pass = readWholeLog(source, findings, onProgress)
  onProgress('proving the checkpoints')
  const checkpoints = OfflineCheckpoints.read(source, pass.end.databaseId)
  try {
    const { states } = checkpoints
    for (const { state, file, batch, why } of states) {
      if (state === 'damaged' && !source.isInUse) findings.add({ part: 'checkpoint', file, batch, message: why })
    }
    const compared = new Map<string, string>()
    const rows = replayAndCompare(source, pass, checkpoints.whole, compared, findings, onProgress)
    return {
      isWhole: findings.list.length === 0,
      findings: findings.all,
      log: pass.log,
      checkpoints: states.map(({ file, state, batch, rows: count, bytes }) => ({ file, state, batch, rows: count, bytes, comparedWith: compared.get(file) })),
      rows,
    }
  } finally {
    await checkpoints.close()
  }
}

interface LogPass {
  readonly log: VerifiedLog
  readonly end: LogEnd
  /** The newest one, which has all tables. */
  readonly catalog: LoggedCatalog | undefined
}

/** 1: every byte of the log that counts. */
function readWholeLog(source: Source, findings: Findings, onProgress: OnProgress): LogPass {
  const parts = walkLog(source.log)
  let catalog: LoggedCatalog | undefined
  let decoder: FrameDecoder | undefined
  let frames = 0
  let commits = 0
  let changes = 0
  let erasures = 0
  let erasedFrames = 0
  let compactedFrames = 0
  const erasedBatches: number[] = []
  for (;;) {
    const step = parts.next()
    if (step.done === true) {
      const end = step.value
      addLogDamage(end, findings)
      const { segments, bytes, after, compactedUpTo, batch: lastBatch, tornBytes } = end
      return { log: { segments, bytes, after, compactedUpTo, lastBatch, frames, commits, changes, tornBytes, erasedFrames, erasedBatches, compactedFrames, erasures, isErasureUnderWay: source.isErasureUnderWay, isHalfErased: source.isHalfErased }, end, catalog }
    }
    const part = step.value
    onProgress('reading the log', part.share)
    try {
      if (part.kind === 'schema') {
        catalog = catalogIn(part)
        decoder = new FrameDecoder(catalog)
      }
      if (part.kind !== 'frame') continue
      frames += 1
      const counts = checkBody(part, decoder)
      commits += counts.commits
      changes += counts.changes
      erasures += counts.erasures
      if (part.isCompacted) compactedFrames += 1
      if (!part.isErased) continue
      erasedFrames += 1
      if (erasedBatches.length < erasedBatchesMax) erasedBatches.push(part.batch)
    } catch (error) {
      findings.add({ part: 'log', ...placeOfPart(part), message: `the body of the ${part.kind} cannot be read: ${messageOf(error)}` })
    }
  }
}

/** A body that holds together, says the batch that its envelope says, and decodes to the last value. */
function checkBody(part: LogPart, decoder: FrameDecoder | undefined): { commits: number; changes: number; erasures: number } {
  const body = new FrameBodyReader(part.body)
  body.check()
  if (body.batch !== part.batch) throw new Error(`it is the body of batch ${body.batch}`)
  if (decoder === undefined) throw new Error('no schema stands before it')
  let commits = 0
  let changes = 0
  let erasures = 0
  decoder.decode(body, { tables: undefined, events: undefined, outcomes: true }, 0, (transaction) => {
    commits += 1
    changes += transaction.changes.length
    if (transaction.id !== undefined && isErasureRecordId(transaction.id)) erasures += 1
  })
  return { commits, changes, erasures }
}

function addLogDamage(end: LogEnd, findings: Findings): void {
  if (end.damage === undefined) return
  const { segment, offset, batch, damage } = end
  const lost = `batches up to ${batch} are whole, durable were those up to ${damage.durableUpTo}`
  findings.add({ part: 'log', file: fileOfSegment(segment), segment, offset, batch, message: `${damage.why}; ${lost}` })
}

const placeOfPart = ({ segment, offset, batch }: LogPart): Pick<Finding, 'file' | 'segment' | 'offset' | 'batch'> => ({
  file: fileOfSegment(segment),
  segment,
  offset,
  batch,
})

/**
 * 3 and 4: one walk over the log, which stops at the batch of each checkpoint to compare. It begins with nothing where the log
 * does, else with the oldest checkpoint that the log still reaches.
 */
function replayAndCompare(source: Source, pass: LogPass, opened: readonly ComparedCheckpoint[], compared: Map<string, string>, findings: Findings, onProgress: OnProgress): number | undefined {
  const oldestFirst = [...opened].sort((a, b) => a.batch - b.batch)
  for (const one of oldestFirst) for (const _ of rowsOf(one, findings)) continue // 2: every row is readable
  if (pass.log.isHalfErased) return undefined
  const after = Math.max(pass.log.after, pass.log.compactedUpTo)
  const base = after === 0 ? undefined : oldestFirst.find((one) => one.batch >= after)
  const catalog = pass.catalog ?? (base && logCatalogOf(base.meta))
  if (catalog === undefined) return pass.log.frames === 0 && pass.end.damage === undefined ? 0 : undefined
  if (after > 0 && base === undefined) {
    const what = after > pass.log.after ? 'has been compacted up to' : 'begins after'
    findings.add({ part: 'checkpoint', message: `the log ${what} batch ${after}, and no whole checkpoint reaches that far` })
    return undefined
  }
  const found = source.isInUse ? new Findings() : findings
  let rows: number | undefined
  try {
    rows = new Comparison(catalog, base, oldestFirst, compared, found).run(source, pass, onProgress)
  } catch (error) {
    found.add({ part: 'rows', message: `the state cannot be made from the files: ${messageOf(error)}` })
  }
  if (found === findings) return rows
  if (compactedIn(source.log) > (base?.batch ?? 0) || (found.list.length > 0 && isBeingErased(source, pass.log))) {
    // Segments were rewritten while they were replayed: what came of that says nothing.
    compared.clear()
    return undefined
  }
  for (const one of found.list) findings.add(one)
  return rows
}

/** Whether an erasure has come to the files since the log was read. */
function isBeingErased(source: Source, { lastBatch, erasedFrames }: VerifiedLog): boolean {
  if (source.isHalfErased) return true
  let erased = 0
  for (const { kind, batch, isErased } of walkLog(source.log)) if (kind === 'frame' && batch <= lastBatch && isErased) erased += 1
  return erased !== erasedFrames
}

class Comparison {
  readonly #rebuilt: RebuiltStore
  readonly #from: string
  readonly #waiting: ComparedCheckpoint[]
  readonly #compared: Map<string, string>
  readonly #findings: Findings
  readonly #baseBatch: number
  /** Of the next checkpoint: what it holds, and what the log makes of the same time. */
  #held: Outcomes = new Map()
  #oldestMs = Infinity
  readonly #outcomes: Outcomes

  constructor(catalog: LoggedCatalog, base: ComparedCheckpoint | undefined, oldestFirst: readonly ComparedCheckpoint[], compared: Map<string, string>, findings: Findings) {
    this.#rebuilt = new RebuiltStore(catalog)
    this.#baseBatch = base?.batch ?? 0
    this.#from = base === undefined ? 'the log from its beginning' : `${base.file} and the log`
    this.#waiting = oldestFirst.filter((one) => one !== base && one.batch >= this.#baseBatch)
    this.#compared = compared
    this.#findings = findings
    this.#outcomes = base === undefined ? new Map() : outcomesOf(base.checkpoint)
    if (base !== undefined) this.#rebuilt.load(base.checkpoint, base.meta)
    this.#expect()
  }

  run(source: Source, pass: LogPass, onProgress: OnProgress): number {
    const parts = walkLog(source.log)
    for (let step = parts.next(); step.done !== true; step = parts.next()) {
      const part = step.value
      // Beside a running database the log has grown since it was checked.
      if (part.batch > pass.log.lastBatch) break
      if (part.kind === 'schema') this.#rebuilt.schema(catalogIn(part))
      if (part.kind !== 'frame' || part.batch <= this.#baseBatch) continue
      onProgress('replaying the log', part.share)
      this.#compareBefore(part.batch)
      this.#rebuilt.frame(part.body)
      collectOutcomes(part.body, this.#oldestMs, this.#outcomes)
    }
    this.#compareBefore(pass.log.lastBatch + 1)
    for (const { file, batch } of this.#waiting) {
      // Beside a running database it may have been made of frames that came after the log was read.
      if (pass.end.damage === undefined && !source.isInUse) {
        this.#findings.add({ part: 'checkpoint', file, batch, message: `it is of batch ${batch}, and the log ends with batch ${pass.log.lastBatch}` })
      }
    }
    onProgress('checking the indexes')
    this.#rebuilt.end()
    this.#rebuilt.check(this.#findings)
    return this.#rebuilt.tables.reduce((sum, table) => sum + this.#rebuilt.count(table), 0)
  }

  /** Compares the checkpoints of batches below `batch`, which is the next one to be applied. */
  #compareBefore(batch: number): void {
    for (let next = this.#waiting[0]; next !== undefined && next.batch < batch; next = this.#waiting[0]) {
      compareRows(next, this.#rebuilt, this.#findings)
      compareOutcomes(next, this.#held, this.#outcomes, this.#findings)
      this.#compared.set(next.file, this.#from)
      this.#waiting.shift()
      this.#expect()
    }
  }

  /** Outcomes that are older than all that the next checkpoint holds need not be kept. */
  #expect(): void {
    const next = this.#waiting[0]
    this.#held = next === undefined ? new Map() : outcomesOf(next.checkpoint)
    this.#oldestMs = Infinity
    for (const { time } of this.#held.values()) this.#oldestMs = Math.min(this.#oldestMs, time)
    for (const [id, { time }] of this.#outcomes) if (time < this.#oldestMs) this.#outcomes.delete(id)
  }
}

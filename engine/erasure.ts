/**
 * Erases a subject from an open database: everywhere, in order, and again from where a crash has stopped it.
 *
 *   1 journal     what is to be erased, beside the log, on disk (wal/erasure-journal.ts). The log can be read to its end, or it is refused
 *   2 rows        deleted or blanked by transactions like any other: whoever follows the log sees them go
 *   3 memory      no moment before is read from memory any more; the frames that memory holds are rewritten. What is erased ends here,
 *                 with the newest batch, and what comes behind it is new data. So no row of the subject's is in it, and no checkpoint
 *                 is newer until 7: from here on it is one turn of the keeper's
 *   4 files       log and checkpoints (stream/file-eraser.ts), on the checkpoint thread
 *   5 answers     of calls with an id, as memory has them
 *   6 record      a commit that says what was done, under an id of the engine's own, kept for good
 *   7 journal     overwritten and removed
 *
 * Up to 4 nothing has happened that a crash or an error would have to go on with, except that rows are gone; from 4 on the next erasure goes
 * on, or the next life of the database (`finishFiles` before it reads anything, then 5 to 7), whatever the reason was.
 *
 * Why rows first, as changes of their own: the constraints of the application hold for them, projections and consumers hear of them, and
 * a refusal leaves everything as it was. Their own images in the log go with all others in 4.
 */
import { join } from 'node:path'
import type { AbortLike } from './admission.js'
import { ByteReader, ByteWriter } from './base/bytes.js'
import { decodeCanonical, encodeCanonical } from './base/canonical.js'
import { digestOf, warn } from './base/environment-node.js'
import { isDiskFull, isTheEnd, SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import { type CheckpointKeeper, type ErasureJobs, type JobOptions, runJob } from './checkpoint-keeper.js'
import type { ConsumerHost } from './consumer-host.js'
import type { Engine } from './database.js'
import { DraftHost } from './draft-host.js'
import { DraftTable } from './draft-table.js'
import type { LoggedCatalog } from './schema/catalog.js'
import { transactName } from './schema/descriptor.js'
import { type ErasedTable, type ErasurePlan, erasurePlan, redacted, type Subject, subjectOf } from './schema/erasure-plan.js'
import { erasureId, isErasureRecordId } from './schema/handler-ids.js'
import { copiedReplicas } from './schema/replica-tables.js'
import { outcomeTableName, type RecordedOutcome } from './sequencer/outcome-table.js'
import { unplaced } from './shared/request-ring.js'
import type { PlainRow } from './store/row-codec.js'
import { answerWithout, BodyEraser, ErasureCounter } from './stream/body-eraser.js'
import { beginFiles, type ErasedFiles, progressOf } from './stream/file-eraser.js'
import { type DatabaseFiles, logOf } from './stream/log-follower.js'
import { replayBatch } from './stream/replay.js'
import { bareKey } from './txn/violation.js'
import { committed } from './txn/outcome.js'
import { ErasureJournal, FileLogStorage } from '../wal/index.js'

/** What an erasure has done; it stands in the log as the value of its last commit. */
export interface ErasureReport extends ErasedFiles {
  /** SHA-256 over the id of the database and the subject: who knows the subject can tell, and nobody else. */
  readonly subject: string
  /** Batch time of the record, milliseconds. */
  readonly time: number
  /** Rows that were deleted or blanked, by table; `tables` counts the changes of them in the log. */
  readonly rows: Readonly<Record<string, number>>
}
export interface RecordedErasure {
  readonly batch: number
  readonly index: number
  readonly report: ErasureReport
}

interface Intent {
  readonly plan: ErasurePlan
  /** Names the commits of the erasure. */
  readonly number: number
}

/** By table, how many rows transactions have taken away. */
interface TakenRows {
  readonly counts: Map<string, number>
  /** In one transaction: fewer where they are long. */
  most: number
}

export interface EraserParts {
  readonly engine: Engine
  readonly catalog: LoggedCatalog
  readonly databaseId: Uint8Array
  readonly disk: DatabaseFiles | undefined
  readonly keeper: CheckpointKeeper | undefined
  readonly consumers: ConsumerHost
}

const nothing = new Uint8Array(0)
const noFiles: ErasedFiles = { tables: {}, events: 0, answers: [], segments: [], checkpoints: [] }

export class Eraser {
  readonly #parts: EraserParts
  readonly #drafts: DraftHost
  readonly #procedure: number
  /** Told when memory and files are without a subject: who keeps what was read before reads it again. */
  readonly onErased: (() => void)[] = []
  /** One after the other. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: EraserParts) {
    this.#parts = parts
    this.#drafts = new DraftHost(parts.engine)
    this.#procedure = parts.engine.parts.program.procedures.findIndex(({ descriptor }) => descriptor.name === transactName)
  }

  /** `signal` gives up while rows are being taken away. What `onProgress` throws stops nothing; it is what the promise ends with. */
  async erase(subject: Subject, { signal, onProgress }: JobOptions): Promise<RecordedErasure> {
    const told = new Told(onProgress)
    const turn = this.#last.then(async () => {
      this.#parts.engine.mustBeOpen()
      const plan = this.#planOf(subject)
      await this.#endStopped(told.tell)
      const recorded = await this.#parts.consumers.whileErasing(plan, () => this.#erase(plan, signal, told.tell))
      told.mustBeWell()
      return recorded
    })
    this.#last = turn.catch(() => undefined)
    return await turn
  }

  digestOf(subject: Subject): string {
    return digestOf(this.#parts.databaseId, Buffer.from(`${typeof subject} ${String(subject)}`))
  }

  /**
   * What an earlier life has begun. `files`: what `finishFiles` has answered. A signal that is aborted stops it where it is: the next life goes
   * on with it.
   */
  async resume(files: ErasedFiles | undefined, options: JobOptions): Promise<void> {
    const { disk } = this.#parts
    const journal = disk === undefined ? undefined : ErasureJournal.find(logOf(disk))
    if (journal === undefined) return
    const intent = journal.intent as Intent
    if (files !== undefined) {
      try {
        await this.#end(journal, intent, files)
      } catch (error) {
        journal.close()
        throw error
      }
      return
    }
    const told = new Told(options.onProgress)
    try {
      await this.#run(journal, intent, { signal: options.signal, onProgress: told.tell, isResumed: true })
    } catch (error) {
      if (options.signal?.aborted === true || progressOf(journal) !== undefined || !isRefusal(error)) throw error
      warn('ERASURE', `An erasure that was under way when the database stopped was refused, and nothing of it has happened: ${(error as Error).message}`)
    }
    told.mustBeWell()
  }

  #planOf(subject: Subject): ErasurePlan {
    const { program } = this.#parts.engine
    const plan = erasurePlan(program, subject)
    if (plan === undefined) {
      throw SluiceError.of('INVALID_USE', 'Nothing in this application says whose it is: give columns .subject(), then db.erase() knows what to take away.')
    }
    for (const { descriptor, source } of copiedReplicas(program)) {
      const { name } = program.tables[source]!.descriptor
      if (plan.tables.some((table) => table.name === name)) {
        throw SluiceError.of('INVALID_USE', `db.erase() of rows that an eventual replica has copied ("${descriptor.name}" of "${name}") is not in this version of SluiceDB.`)
      }
    }
    return plan
  }

  async #erase(plan: ErasurePlan, signal: AbortLike | undefined, onProgress: JobOptions['onProgress']): Promise<RecordedErasure> {
    const { engine, disk } = this.#parts
    const intent: Intent = { plan, number: engine.durable }
    if (disk !== undefined) return await this.#run(ErasureJournal.begin(logOf(disk), intent), intent, { signal, onProgress, isResumed: false })
    const rows: TakenRows = { counts: new Map(), most: limits.erasureRowsMax }
    const counter = new ErasureCounter()
    let upTo: number | undefined
    while (upTo === undefined) upTo = await this.#eraseMemory(plan, await this.#eraseRows(plan, rows, signal), counter)
    this.#tell()
    return await this.#record(intent, upTo, Object.fromEntries(rows.counts), { ...noFiles, ...counter.counts })
  }

  /** `isResumed`: nobody is there who could ask once more, so a signal stops it anywhere and ends it nowhere. */
  async #run(journal: ErasureJournal, intent: Intent, { signal, onProgress, isResumed }: JobOptions & { readonly isResumed: boolean }): Promise<RecordedErasure> {
    const keeper = this.#parts.keeper!
    const rows: TakenRows = { counts: new Map(), most: limits.erasureRowsMax }
    const inFiles = { signal: isResumed ? signal : undefined, onProgress }
    try {
      await keeper.proveLog({ signal })
      onProgress?.({ step: 'taking rows away', done: 0, inAll: 0 })
      for (;;) {
        const looked = await this.#eraseRows(intent.plan, rows, signal)
        const recorded = await keeper.whileErasing(async (jobs) => {
          const upTo = await this.#upTo(intent.plan, looked, rows, signal)
          if (upTo === undefined) return undefined
          keeper.isHalfErased = true
          beginFiles(journal, upTo, Object.fromEntries(rows.counts))
          return await this.#eraseFiles(journal, intent, jobs, inFiles)
        }, inFiles)
        if (recorded !== undefined) return recorded
      }
    } catch (error) {
      if (progressOf(journal) === undefined) keeper.isHalfErased = false
      // A database that stops keeps the journal, and so does an opening that is given up: the next life tries again.
      const isStopped = isResumed ? signal?.aborted === true : SluiceError.is(error, 'CANCELLED') && signal?.aborted !== true
      if (progressOf(journal) === undefined && isRefusal(error) && !isStopped) journal.end()
      else journal.close()
      throw error
    }
  }

  /** Where what is erased ends, when memory is without it. Undefined: rows have come once more, and others have waited long enough. */
  async #upTo(plan: ErasurePlan, looked: number, rows: TakenRows, signal: AbortLike | undefined): Promise<number | undefined> {
    const upTo = await this.#eraseMemory(plan, looked, new ErasureCounter())
    if (upTo !== undefined) return upTo
    const again = await this.#look(plan, rows, signal)
    return again === undefined ? undefined : await this.#eraseMemory(plan, again, new ErasureCounter())
  }

  async #eraseFiles(journal: ErasureJournal, intent: Intent, jobs: ErasureJobs, options: JobOptions): Promise<RecordedErasure> {
    const disk = this.#parts.disk!
    const files = await jobs.erase(options)
    disk.rewritten = (disk.rewritten ?? 0) + 1
    this.#tell()
    return await this.#end(journal, intent, files)
  }

  async #end(journal: ErasureJournal, intent: Intent, files: ErasedFiles): Promise<RecordedErasure> {
    const { upTo, rows } = progressOf(journal)!
    const recorded = await this.#record(intent, upTo, rows, files)
    journal.end()
    this.#parts.keeper!.isHalfErased = false
    return recorded
  }

  /** One that has failed in the middle of its files, for want of room on the disk. */
  async #endStopped(onProgress: JobOptions['onProgress']): Promise<void> {
    const { keeper, disk, consumers } = this.#parts
    if (keeper?.isHalfErased !== true) return
    const journal = ErasureJournal.find(logOf(disk!))
    if (journal === undefined) {
      keeper.isHalfErased = false // it had ended, but for the rest of its journal
      return
    }
    const intent = journal.intent as Intent
    try {
      await consumers.whileErasing(intent.plan, () => keeper.whileErasing((jobs) => this.#eraseFiles(journal, intent, jobs, { onProgress })))
    } catch (error) {
      journal.close()
      throw error
    }
  }

  // ── rows ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Until a look at all rows finds none of the subject's; answers of which batch that was. */
  async #eraseRows(plan: ErasurePlan, rows: TakenRows, signal: AbortLike | undefined): Promise<number> {
    for (;;) {
      const looked = await this.#look(plan, rows, signal)
      if (looked !== undefined) return looked
    }
  }

  /** The batch of a look that has found none; undefined where there were some, which are gone now or were changed meanwhile. */
  async #look(plan: ErasurePlan, rows: TakenRows, signal: AbortLike | undefined): Promise<number | undefined> {
    if (signal?.aborted === true) throw SluiceError.of('CANCELLED', 'The erasure was given up by its signal.', { cause: signal.reason })
    const draft = this.#drafts.begin()
    const { batch } = draft.view
    const found = new Map<string, number>()
    try {
      let left = rows.most
      for (const table of plan.tables) {
        const count = this.#takeRows(draft, table, plan, left)
        if (count > 0) found.set(table.name, count)
        left -= count
      }
    } finally {
      draft.end()
      draft.view.close()
    }
    if (found.size === 0) return batch
    try {
      await this.#drafts.commit(draft, undefined, { signal, whenFull: 'wait' })
    } catch (error) {
      if (SluiceError.is(error, 'CONFLICT') || SluiceError.is(error, 'SNAPSHOT_TOO_OLD')) return undefined
      // Long rows: as many of them are too many bytes for one transaction.
      const count = [...found.values()].reduce((sum, one) => sum + one, 0)
      if (!SluiceError.is(error, 'OUT_OF_SPACE') || isDiskFull(error) || count === 1) throw error
      rows.most = Math.ceil(count / 2)
      return undefined
    }
    for (const [name, count] of found) rows.counts.set(name, (rows.counts.get(name) ?? 0) + count)
    return undefined
  }

  #takeRows(draft: ReturnType<DraftHost['begin']>, { name, subject, blank, redact = [] }: ErasedTable, plan: ErasurePlan, most: number): number {
    const table = draft.kit.store.tables.find((one) => one.name === name)
    if (table === undefined) return 0
    const value = subjectOf(plan.subject)
    const { columns, key } = table.descriptor
    const emptyOf = (name: string): unknown => {
      const { nullable, type } = columns.find((column) => column.name === name)!
      return nullable ? null : type === 'text' ? '' : new Uint8Array(0)
    }
    const names = subject.filter((one) => columns.some((column) => column.name === one))
    const handle = new DraftTable(draft, table)
    const patch: PlainRow = Object.fromEntries((blank ?? []).map((column) => [column, null]))
    let count = 0
    for (const row of draft.view.all(table)) {
      if (count >= most || draft.reads.length + draft.writes.length > limits.draftBytesMax / 2) break
      const emptied = redact.length === 0 ? [] : redacted(plan, redact, (column) => row[column])
      if (!names.some((one) => row[one] === value) && emptied.length === 0) continue
      const at = bareKey(key.map((ordinal) => row[columns[ordinal]!.name]))
      handle.get(at)
      if (emptied.length > 0) handle.update(at, Object.fromEntries(emptied.map((column) => [column, emptyOf(column)])))
      else if (blank === undefined) handle.delete(at)
      else handle.update(at, patch)
      count += 1
    }
    return count
  }

  #tell(): void {
    for (const look of this.onErased) look()
  }

  // ── memory ────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * While nothing runs: moments before are read from files from now on, or not at all, and so are frames as they were. Answers the newest
   * batch. Undefined, and nothing was changed: behind the batch of the last look rows of the subject's have come, or may have.
   */
  async #eraseMemory(plan: ErasurePlan, looked: number, counter: ErasureCounter): Promise<number | undefined> {
    const { engine, catalog } = this.#parts
    const { store, control, frames } = engine.parts
    const eraser = new BodyEraser(catalog, plan, counter)
    return await engine.quietly(() => {
      if (this.#mayHaveCome(plan, looked)) return undefined
      const { durable } = control
      for (const domain of store.domains.keys()) {
        if (durable > store.snapshots.floor(domain)) store.snapshots.raiseFloor(domain, durable)
      }
      const head = frames.publishedHead
      for (let entry = frames.read(frames.tail, head); entry !== undefined; entry = frames.read(entry.next, head)) {
        const erased = eraser.erase(new Uint8Array(entry.body))
        if (erased !== undefined) entry.body.set(erased)
      }
      frames.erasures += 1
      return durable > replayBatch ? durable : 0
    })
  }

  /** Rows of the subject's behind a batch, as the frames in memory tell; those of long ago have left it. */
  #mayHaveCome(plan: ErasurePlan, after: number): boolean {
    const { engine, catalog } = this.#parts
    const { control, frames } = engine.parts
    if (control.durable <= after) return false
    const found = new ErasureCounter()
    const eraser = new BodyEraser(catalog, plan, found)
    const head = frames.publishedHead
    let entry = frames.read(frames.tail, head)
    if (entry === undefined || entry.previous > after) return true
    for (; entry !== undefined; entry = frames.read(entry.next, head)) {
      if (entry.batch > after) eraser.erase(new Uint8Array(entry.body))
    }
    return Object.keys(found.counts.tables).length > 0
  }

  /** The answers up to a batch that memory has of what was touched: their places, and what is left of each; nothing where its id is gone as well. */
  #answersLeft(plan: ErasurePlan, upTo: number, touched: ErasedFiles['answers']): readonly (readonly unknown[])[] {
    const { engine } = this.#parts
    const table = engine.parts.store.tables.find((one) => one.name === outcomeTableName)!
    const places = new Set(touched.map(({ batch, index }) => `${batch} ${index}`))
    const found: (readonly unknown[])[] = []
    for (const row of engine.reading().all(table)) {
      const { id, batch, place, outcome, value } = row as unknown as RecordedOutcome & { readonly id: string }
      if (batch > upTo) continue
      const left = answerWithout(Buffer.from(id), value, outcome, subjectOf(plan.subject), places.has(`${batch} ${place}`))
      if (left !== undefined) found.push(left.keepsId ? [batch, place, left.value] : [batch, place])
    }
    return found
  }

  // ── the record ────────────────────────────────────────────────────────────────────────────────────────

  async #record(intent: Intent, upTo: number, rows: ErasureReport['rows'], files: ErasedFiles): Promise<RecordedErasure> {
    const { engine } = this.#parts
    const left = this.#answersLeft(intent.plan, upTo, files.answers)
    for (let n = 0; n * limits.erasureAnswersMax < left.length; n += 1) {
      await this.#note(erasureId(intent.number, n + 1), [null, left.slice(n * limits.erasureAnswersMax, (n + 1) * limits.erasureAnswersMax)])
    }
    const report: ErasureReport = {
      subject: this.digestOf(subjectOf(intent.plan.subject)),
      time: engine.now(),
      rows,
      tables: files.tables,
      events: files.events,
      answers: files.answers.slice(0, limits.erasureAnswersMax),
      segments: files.segments,
      checkpoints: files.checkpoints,
    }
    const at = await this.#note(erasureId(intent.number, 0), [JSON.stringify(report), []])
    return { ...at, report }
  }

  /** A call that changes nothing, and whose answer is kept for good. One that is known already is answered from what is kept. */
  #note(id: string, value: unknown): Promise<{ readonly batch: number; readonly index: number }> {
    const writer = new ByteWriter(1_024)
    writer.u8(committed)
    encodeCanonical(value, writer)
    const input = { reads: nothing, writes: nothing, answer: writer.copy() }
    return new Promise((resolve, reject: (error: SluiceError) => void) => {
      const caller = {
        done: (_index: number, _value: unknown, batch: number, index: number) => resolve({ batch, index }),
        failed: (_index: number, error: SluiceError) => reject(error),
      }
      this.#parts.engine.submit(this.#procedure, input, caller, 0, { id, isOwn: true, partition: unplaced, whenFull: 'wait' })
    })
  }
}

/** The report in the value of a record. */
export function reportOf(value: Uint8Array): ErasureReport {
  const [text] = decodeCanonical(new ByteReader(value)) as readonly [string]
  return JSON.parse(text) as ErasureReport
}

/** All that stand among the recorded answers, oldest first. */
export function recordedErasures(engine: Engine): readonly RecordedErasure[] {
  const table = engine.parts.store.tables.find((one) => one.name === outcomeTableName)!
  const found: RecordedErasure[] = []
  for (const row of engine.reading().all(table)) {
    const { id, batch, place, value } = row as unknown as RecordedOutcome & { readonly id: string }
    if (isErasureRecordId(id)) found.push({ batch, index: place, report: reportOf(value) })
  }
  return found.sort((a, b) => a.batch - b.batch || a.index - b.index)
}

/** Tells an erasure's listener how far it is, until it throws. */
class Told {
  readonly tell: JobOptions['onProgress']
  #thrown: { readonly error: unknown } | undefined

  constructor(onProgress: JobOptions['onProgress']) {
    this.tell = onProgress && ((progress) => {
      try {
        if (this.#thrown === undefined) onProgress(progress)
      } catch (error) {
        this.#thrown = { error }
      }
    })
  }

  mustBeWell(): void {
    if (this.#thrown !== undefined) throw this.#thrown.error
  }
}

/**
 * Before anything of a database is read: what a crash has left of the patches of an erasure is written, and files that were being erased
 * are, on the checkpoint thread. Answers what was done; undefined where nothing was under way, or no file had been touched.
 */
export async function finishFiles(directory: string, options: JobOptions): Promise<ErasedFiles | undefined> {
  const log = FileLogStorage.open(join(directory, 'log'))
  const journal = ErasureJournal.find(log)
  if (journal === undefined) {
    ErasureJournal.clean(log)
    return undefined
  }
  const hasBegun = journal.report !== undefined
  try {
    journal.apply()
  } finally {
    journal.close()
  }
  if (!hasBegun) return undefined
  const { erased } = await runJob({ kind: 'erasure', directory, databaseId: undefined, mustReach: false }, true, options)
  return erased
}

/** The application or the caller says no, and the database goes on. */
function isRefusal(error: unknown): boolean {
  return !SluiceError.is(error) || !(isTheEnd(error) || error.code === 'WORKER_LOST')
}

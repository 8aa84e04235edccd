/**
 * An interactive transaction while its body runs: reads over a snapshot, written down; writes, kept back.
 *
 * Nothing of it is seen by anybody until its body has ended. Then `reads` and `writes` are one request for the lane of its
 * partition, or for the cross-partition lane, which validates and applies them (txn/draft-commit.ts). A body that wrote nothing
 * needs no request: its snapshot is its place in the serial order.
 *
 * Doomed is doomed, as in procedures (R24): the first error that the draft throws is its outcome, caught or not, and everything after
 * it throws it again.
 */
import { CanonicalError, copyCanonical } from './base/canonical.js'
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { Program } from './schema/descriptor.js'
import { compileRecordCodec, type RecordCodec } from './schema/record-codec.js'
import { unplaced } from './shared/request-ring.js'
import type { SnapshotView } from './store/snapshot-view.js'
import type { Store } from './store/store.js'
import type { TableStore } from './store/table-store.js'
import { ReadSet, WriteSet } from './txn/draft-codec.js'
import { RowInput } from './txn/row-input.js'

/** What the drafts of one database share: compiled once, when it is needed. */
export class DraftKit {
  readonly program: Program
  readonly store: Store
  readonly #inputs: (RowInput | undefined)[] = []
  readonly #events: (RecordCodec | undefined)[] = []

  constructor(program: Program, store: Store) {
    this.program = program
    this.store = store
  }

  inputOf(table: TableStore): RowInput {
    return (this.#inputs[table.ordinal] ??= new RowInput(table))
  }
  eventCodec(event: number): RecordCodec {
    const definition = this.program.events[event]!
    return (this.#events[event] ??= compileRecordCodec(definition.descriptor, definition, `the payload of "${definition.descriptor.name}"`))
  }
}

const nowhere = -2

export class Draft {
  readonly kit: DraftKit
  readonly view: SnapshotView
  /** The time of the snapshot. */
  readonly now: number
  readonly reads = new ReadSet()
  readonly writes = new WriteSet()
  #hasEnded = false
  #doom: SluiceError | undefined
  #partition = nowhere
  #rowsRead = 0

  constructor(kit: DraftKit, view: SnapshotView, now: number) {
    this.kit = kit
    this.view = view
    this.now = now
  }

  /** Its error, when it is doomed. */
  get doom(): SluiceError | undefined {
    return this.#doom
  }
  get isReadOnly(): boolean {
    return this.writes.length === 0
  }
  /** The lane: a partition, or `unplaced`. */
  get partition(): number {
    return this.#partition === nowhere ? unplaced : this.#partition
  }

  /** Ends it from outside, with this error. */
  giveUp(error: SluiceError): void {
    this.#doom ??= error
  }
  /** The body has ended: whatever is left of it can do nothing more. */
  end(): void {
    this.#hasEnded = true
  }

  // ── what users call ───────────────────────────────────────────────────────────────────────────────────

  emit(event: number, payload: unknown): void {
    this.run(() => {
      this.writes.emit(event, this.kit.eventCodec(event).normalize(payload === undefined ? {} : payload))
    })
  }

  abort(reason: unknown, details: unknown): never {
    return this.run((): never => {
      if (typeof reason !== 'string' || reason === '') throw SluiceError.of('INVALID_USE', 'tx.abort(reason, details) takes a word as its reason.')
      const kept = copyCanonical(details ?? {}) as Readonly<Record<string, unknown>>
      throw SluiceError.of('ABORTED', `The transaction aborted: ${reason}.`, { reason, details: kept })
    })
  }

  /** Every operation: refused when the transaction is over, and whatever SluiceError it throws dooms it. */
  run<T>(work: () => T): T {
    this.#mustBeOpen()
    try {
      const result = work()
      this.#mustFit()
      return result
    } catch (error) {
      const failure = error instanceof CanonicalError ? SluiceError.of('INVALID_INPUT', `What was passed to this transaction is no plain data: ${error.message}.`) : error
      if (SluiceError.is(failure)) this.giveUp(failure)
      throw failure
    }
  }

  // ── what its tables report ────────────────────────────────────────────────────────────────────────────

  /** -1: no single partition answers. Global tables are read in every lane. */
  noteRead(table: TableStore, partition: number): void {
    if (!table.isGlobal) this.#join(partition < 0 ? unplaced : partition)
  }
  noteWrite(table: TableStore, partition: number): void {
    this.#join(table.isGlobal ? unplaced : partition)
  }
  /** How many more rows it may read. */
  get rowsLeft(): number {
    return limits.draftRowsReadMax - this.#rowsRead
  }
  countRows(rows: number): void {
    this.#rowsRead += rows
    if (this.rowsLeft < 0) {
      throw SluiceError.of('OUT_OF_SPACE', `An interactive transaction may read ${limits.draftRowsReadMax} rows, for all of them are read again in its lane: read from db.snapshot(), or in a procedure.`, {
        details: { rows: limits.draftRowsReadMax },
      })
    }
  }

  #join(lane: number): void {
    this.#partition = this.#partition === nowhere || this.#partition === lane ? lane : unplaced
  }

  #mustFit(): void {
    if (this.reads.length + this.writes.length <= limits.draftBytesMax) return
    throw SluiceError.of('OUT_OF_SPACE', `What an interactive transaction has read and written takes at most ${limits.draftBytesMax} bytes: split the work into several, or put it into a procedure.`, {
      details: { bytes: limits.draftBytesMax },
    })
  }

  #mustBeOpen(): void {
    if (this.#doom !== undefined) throw this.#doom
    if (this.#hasEnded) throw SluiceError.of('INVALID_USE', 'This transaction has ended: its tx and its tables are of use only until the function that was given to db.transact() has ended.')
  }
}

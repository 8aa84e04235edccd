/**
 * Interactive transactions and the engine: where a draft gets its snapshot, and how it is handed in as one request.
 *
 * The answer travels along as a part of the input, for calls with an id: the lane answers it and so records it (R47). Without an id nobody
 * needs it there, and what the body returned may be anything.
 */
import { ByteReader, ByteWriter } from './base/bytes.js'
import { CanonicalError, decodeCanonical, encodeCanonical } from './base/canonical.js'
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { Caller } from './call-table.js'
import { idBytes, type SubmitOptions } from './admission.js'
import type { Engine } from './database.js'
import { Draft, DraftKit } from './draft.js'
import { transactName } from './schema/descriptor.js'
import { unplaced } from './shared/request-ring.js'
import { outcomeTableName, type RecordedOutcome } from './sequencer/outcome-table.js'
import type { DraftInput } from './txn/draft-commit.js'
import { committed, decodeError, encodeError, outcomeKindMask, outcomeOfCode } from './txn/outcome.js'
import { requestHashOfName } from './txn/request-hash.js'

export type HandInOptions = Omit<SubmitOptions, 'partition'> & {
  /** Told of the place in the log, before the answer. */
  readonly placed?: ((place: { readonly batch: number; readonly index: number; readonly repeated: boolean }) => void) | undefined
}

const nothing = new Uint8Array(0)

export class DraftHost {
  readonly #engine: Engine
  readonly #kit: DraftKit
  readonly #procedure: number
  readonly #answer = new ByteWriter(256)

  constructor(engine: Engine) {
    const { program, store } = engine.parts
    this.#engine = engine
    this.#kit = new DraftKit(program, store)
    this.#procedure = program.procedures.findIndex(({ descriptor }) => descriptor.name === transactName)
  }

  /** A draft over a snapshot of its own, which the caller closes. */
  begin(): Draft {
    const now = this.#engine.now()
    return new Draft(this.#kit, this.#engine.openView()!, now)
  }

  /** What a durable outcome of this id says, if there is one. Throws when it is of another request, or an error. */
  known(id: string): { readonly value: unknown; readonly batch: number; readonly index: number } | undefined {
    idBytes(id)
    const { store } = this.#kit
    const table = store.tables.find((one) => one.name === outcomeTableName)!
    const found = this.#engine.reading().get(table, id) as unknown as RecordedOutcome | undefined
    if (found === undefined) return undefined
    if (found.request !== requestHashOfName(transactName)) {
      throw SluiceError.of('ID_REUSED', `The id "${id}" was used for a call of a procedure: give every request an id of its own.`, { details: { id } })
    }
    const reader = new ByteReader(found.value)
    const kind = found.outcome & outcomeKindMask
    if (kind !== committed) throw decodeError(kind, reader)
    return { value: reader.left === 0 ? undefined : decodeCanonical(reader), batch: found.batch, index: found.place }
  }

  /**
   * Validates and applies what the draft has read and written; settles as its request does. With an id the promise is
   * for what was recorded, else for nothing.
   */
  commit(draft: Draft, value: unknown, options: HandInOptions): Promise<unknown> {
    const answer = options.id === undefined ? nothing : this.#answerOf(value)
    // What wrote nothing has its place at its snapshot, also when it is recorded: no read can be stale.
    const input = draft.isReadOnly ? { reads: nothing, writes: nothing, answer } : { reads: draft.reads.bytes(), writes: draft.writes.bytes(), answer }
    return this.#handIn(input, draft.isReadOnly ? unplaced : draft.partition, options)
  }

  /** Records the error that a draft with an id ended with, and rejects with it. */
  refuse(error: SluiceError, options: HandInOptions): Promise<unknown> {
    this.#answer.reset()
    this.#answer.u8(outcomeOfCode(error.code))
    encodeError(error, this.#answer, false)
    return this.#handIn({ reads: nothing, writes: nothing, answer: this.#answer.copy() }, unplaced, options)
  }

  #handIn(input: DraftInput, partition: number, options: HandInOptions): Promise<unknown> {
    return new Promise((resolve, reject: (error: SluiceError) => void) => {
      const done: Caller['done'] = (_index, value, batch, index, repeated) => {
        options.placed?.({ batch, index, repeated })
        resolve(value)
      }
      const caller: Caller = { done, failed: (_index, error) => reject(error) }
      this.#engine.submit(this.#procedure, input, caller, 0, { ...options, partition })
    })
  }

  #answerOf(value: unknown): Uint8Array {
    this.#answer.reset()
    this.#answer.u8(committed)
    try {
      encodeCanonical(value, this.#answer)
    } catch (problem) {
      if (!(problem instanceof CanonicalError)) throw problem
      throw SluiceError.of('PROCEDURE_FAILED', `A transaction with an id returned what is no plain data, so it cannot be recorded: ${problem.message}.`)
    }
    if (this.#answer.length > limits.draftAnswerBytesMax) {
      throw SluiceError.of('PROCEDURE_FAILED', `A transaction with an id returned more than ${limits.draftAnswerBytesMax} bytes, too much to be recorded: return less, and read from a snapshot.`)
    }
    return this.#answer.copy()
  }
}

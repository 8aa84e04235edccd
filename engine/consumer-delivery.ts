/**
 * One commit on its way to one consumer, and the calls that are made for it.
 *
 * A call of a delivery has an id: consumer, place of the commit, which call of the delivery it is. So one that has committed is not made again,
 * whoever asks for it after a crash or in the next attempt: it is answered with what was recorded (R61). A refusal has changed nothing, and is no
 * reason to refuse for ever: when the recorded one comes back, the call is made again under the next id.
 */
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { ConsumerErasure } from './consumer-erasure.js'
import type { Engine } from './database.js'
import { callId, type ConsumerPlace } from './schema/handler-ids.js'
import type { DecodedTransaction } from './stream/frame-decoder.js'

export interface CallAnswer {
  readonly value: unknown
  readonly batch: number
  readonly index: number
  readonly repeated: boolean
}

/** What a handler failed with. */
export interface DeliveryError {
  readonly code: string | null
  readonly message: string
}

type Settled = { readonly answer: CallAnswer } | { readonly error: SluiceError; readonly repeated: boolean }

export class ConsumerDelivery {
  readonly consumer: string
  readonly place: ConsumerPlace
  transaction: DecodedTransaction
  /** Its key as text, and as it was given. */
  readonly key: string
  readonly keyValue: unknown
  /** It lies in the table of what is parked, and was told to go on. */
  readonly isParked: boolean
  /** 1 at first. */
  attempt = 1
  isDone = false
  /** It was read before this erasure has ended, and holds the subject. */
  erasure: ConsumerErasure | undefined
  /** Its key was the subject's: it may not be written any more. */
  isKeyErased = false
  /** Ids of calls are recorded for it, or may be. */
  hasCalls: boolean
  /** Its member has gone before its handler had ended: it makes no call any more, for others may be given it. */
  isLeft = false
  readonly #engine: Engine
  /** By call: the id that is asked for next. */
  readonly #next: number[] = []
  #calls = 0
  #open = 0
  #whenSettled: (() => void) | undefined

  constructor(engine: Engine, consumer: string, place: ConsumerPlace, transaction: DecodedTransaction, key: { readonly text: string; readonly value: unknown }, isParked: boolean, hasCalls: boolean) {
    this.#engine = engine
    this.consumer = consumer
    this.place = place
    this.transaction = transaction
    this.key = key.text
    this.keyValue = key.value
    this.isParked = isParked
    this.hasCalls = hasCalls
  }

  /** An erasure is under way: where it concerns this, what was read is stale. */
  meet(erasure: ConsumerErasure | undefined): void {
    if (erasure !== undefined && !this.isDone && erasure.concerns(this.transaction, this.keyValue)) this.erasure = erasure
  }

  /** An attempt begins: its calls are counted anew. */
  begin(): void {
    this.#calls = 0
    this.isLeft = false
  }

  async call(procedure: number, input: unknown): Promise<CallAnswer> {
    const call = this.#calls
    if (call >= limits.consumerCallsMax) throw SluiceError.of('INVALID_USE', `One delivery may make ${limits.consumerCallsMax} calls: put the work into fewer procedures.`)
    this.#calls += 1
    this.#open += 1
    this.hasCalls = true
    try {
      for (;;) {
        if (this.isLeft) throw SluiceError.of('INVALID_USE', 'The consumer was closed, and its handler has not ended within its time: it makes no call any more.')
        const tried = this.#next[call] ?? 1
        const settled = await this.#submit(procedure, input, callId(this.consumer, this.place, call, tried))
        if ('answer' in settled) return settled.answer
        const { error, repeated } = settled
        // What was refused before has had no effect, so the handler may have something else in mind by now.
        const wasRefused = error.code === 'ID_REUSED' ? error.details['committed'] === false : repeated
        if (!wasRefused || tried >= limits.consumerRefusalsMax) throw error
        this.#next[call] = tried + 1
      }
    } finally {
      this.#open -= 1
      if (this.#open === 0) this.#whenSettled?.()
    }
  }

  /** Resolves when no call of it is in flight. */
  async settled(): Promise<void> {
    while (this.#open > 0) await new Promise<void>((resolve) => (this.#whenSettled = resolve))
  }

  #submit(procedure: number, input: unknown, id: string): Promise<Settled> {
    return new Promise((resolve) => {
      const caller = {
        done: (_index: number, value: unknown, batch: number, index: number, repeated: boolean) => resolve({ answer: { value, batch, index, repeated } }),
        failed: (_index: number, error: SluiceError, repeated = false) => resolve({ error, repeated }),
      }
      try {
        this.#engine.submit(procedure, input, caller, 0, { id, isOwn: true, whenFull: 'wait' })
      } catch (error) {
        resolve({ error: error as SluiceError, repeated: false })
      }
    })
  }
}

/** What it takes of the memory of its consumer. */
export const weightOf = ({ changes, events }: DecodedTransaction): number => changes.length + events.length

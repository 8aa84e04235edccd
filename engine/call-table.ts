/**
 * Calls that wait for an answer, by slot. A slot travels with its request and comes back with the answer.
 */
import type { SluiceError } from './base/errors.js'

/** Who waits. `index` is the place among many calls that share one promise. */
export interface Caller {
  /** Its calls come from one list, and count against the share of such. */
  readonly isMany?: boolean
  done(index: number, value: unknown, batch: number, place: number, repeated: boolean): void
  /** `repeated`: an earlier call with the same id ended so. */
  failed(index: number, error: SluiceError, repeated?: boolean): void
}

export class CallTable {
  readonly #callers: (Caller | undefined)[] = []
  readonly #indexes: number[] = []
  readonly #free: number[] = []
  #waiting = 0
  /** The slot that was taken last. */
  newest = -1

  get waiting(): number {
    return this.#waiting
  }

  add(caller: Caller, index: number): number {
    const slot = this.#free.pop() ?? this.#callers.length
    this.#callers[slot] = caller
    this.#indexes[slot] = index
    this.#waiting += 1
    this.newest = slot
    return slot
  }

  callerOf(slot: number): Caller | undefined {
    return this.#callers[slot]
  }
  indexOf(slot: number): number {
    return this.#indexes[slot]!
  }

  remove(slot: number): void {
    if (this.#callers[slot] === undefined) return
    this.#callers[slot] = undefined
    this.#free.push(slot)
    this.#waiting -= 1
  }

  /** Fails everybody: the database cannot answer any more. */
  failAll(error: SluiceError): void {
    for (let slot = 0; slot < this.#callers.length; slot += 1) {
      const caller = this.#callers[slot]
      if (caller === undefined) continue
      this.remove(slot)
      caller.failed(this.#indexes[slot]!, error)
    }
  }
}

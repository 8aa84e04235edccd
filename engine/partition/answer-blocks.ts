/**
 * Long answers: those that do not fit into the response ring travel through the region, as `[length | bytes]`.
 *
 * A block must be there until main has read it. Main announces a batch as durable only after it has taken the answers of all
 * batches that were published by then, so a block that is retired one batch late is reclaimed only when main is past the batch
 * that wrote it: the answers of batch b are published before batch b + 1 begins.
 *
 * The list lies on the heap of the thread that wrote the blocks. If the thread dies, they are given up until the database is
 * opened again, like all that its run allocated (R36).
 */
import { SluiceError } from '../base/errors.js'
import { wordsFor } from '../shared/region.js'
import type { Domain } from '../store/domain.js'
import type { Store } from '../store/store.js'

const lengthWords = 1

export class AnswerBlocks {
  readonly #store: Store
  readonly #domain: Domain
  /** [address, words] of the blocks that are not retired yet. */
  readonly #written: number[] = []

  /** The domain is one that this thread may work in. */
  constructor(store: Store, domain: Domain) {
    this.#store = store
    this.#domain = domain
  }

  /** Retires what the batches before have written. */
  beginBatch(): void {
    const written = this.#written
    while (written.length > 0) {
      if (!this.#domain.hasRoomToRetire()) return // the rest with a later batch
      const words = written.pop()!
      this.#domain.retireBlock(written.pop()!, words)
    }
  }

  /** Copies an answer; 0 when there is no room for it. */
  put(value: Uint8Array, length: number): number {
    const words = lengthWords + wordsFor(length)
    let address: number
    try {
      address = this.#domain.allocate(words)
    } catch (error) {
      if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
      return 0
    }
    this.#written.push(address, words)
    const { region } = this.#store
    region.i32[address * 2] = length
    region.windowOf(address).set(value.subarray(0, length), region.byteOffsetOf(address) + lengthWords * 8)
    return address
  }
}

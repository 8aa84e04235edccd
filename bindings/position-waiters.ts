/**
 * Who waits until the log has been dealt with up to a position, whoever deals with it: a projection, a durable consumer.
 *
 * Somebody who waits keeps the process alive, as a call does: what is waited for may be in a pause that does not.
 */
import type { Environment } from '../engine/base/environment.js'
import { SluiceError } from '../engine/base/errors.js'
import type { AbortLike } from '../engine/index.js'
import { checkOptions } from './options.js'
import { type PositionParts, positionParts } from './position.js'
import { shown } from './schema/definition.js'

export interface ReachedOptions {
  readonly signal?: AbortLike | undefined
}

interface Waiter {
  readonly place: PositionParts
  readonly done: () => void
  readonly failed: (error: SluiceError) => void
}

const reachedOptions = new Set(['signal'])
const aliveMs = 60_000

export class PositionWaiters {
  /** In words: `projection "shop.totals"`. */
  readonly #whom: string
  readonly #environment: Environment
  readonly #waiters = new Set<Waiter>()
  #letGo: (() => void) | undefined
  #ended: SluiceError | undefined

  constructor(whom: string, environment: Environment) {
    this.#whom = whom
    this.#environment = environment
  }

  get isEmpty(): boolean {
    return this.#waiters.size === 0
  }

  /** Resolves by `settle`; rejects by `fail`, by `end`, or by the signal of who waits. */
  wait(position: unknown, options: ReachedOptions = {}): Promise<void> {
    return new Promise((resolve, reject: (error: SluiceError) => void) => {
      checkOptions('reached()', options, reachedOptions)
      const place = positionParts(position)
      if (place === undefined) throw SluiceError.of('INVALID_USE', `reached() takes a Position, not ${shown(position)}.`)
      if (this.#ended !== undefined) throw this.#ended
      const { signal } = options
      const waiter: Waiter = {
        place,
        done: () => {
          leave()
          resolve()
        },
        failed: (error) => {
          leave()
          reject(error)
        },
      }
      const onAbort = (): void => waiter.failed(SluiceError.of('CANCELLED', `Waiting for ${this.#whom} was ended by its signal.`, { cause: signal!.reason }))
      const leave = (): void => {
        this.#waiters.delete(waiter)
        if (this.isEmpty) this.#letGo?.()
        signal?.removeEventListener('abort', onAbort)
      }
      if (this.isEmpty) this.#hold()
      this.#waiters.add(waiter)
      signal?.addEventListener('abort', onAbort)
      if (signal?.aborted === true) onAbort()
    })
  }

  #hold(): void {
    this.#letGo = this.#environment.later(aliveMs, () => this.#hold(), true)
  }

  /** It has come further: those whose place is reached have waited long enough. */
  settle(hasReached: (place: PositionParts) => boolean): void {
    for (const waiter of [...this.#waiters]) if (hasReached(waiter.place)) waiter.done()
  }

  /** It does not go on by itself. */
  fail(error: SluiceError): void {
    for (const waiter of [...this.#waiters]) waiter.failed(error)
  }

  /** It does not go on at all: who comes later hears the same. */
  end(error: SluiceError): void {
    this.#ended = error
    this.fail(error)
  }
}

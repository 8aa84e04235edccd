/**
 * The world as procedures see it: inside a transaction `Date`, `Math.random`, `crypto` and timers are the transaction's.
 *
 * A worker's realm is ours, so the replacements are put in once and look at `active` each time. On main (`workers: 0`) the
 * globals are swapped for the length of a batch and put back (R38): 2 ns a name, measured.
 *
 * Timers and other ways to continue later do not exist inside a transaction: they throw, and the transaction fails.
 */
import { webcrypto } from 'node:crypto'
import { SluiceError } from '../base/errors.js'

/** What the realm asks the running transaction. */
export interface RealmTransaction {
  readonly now: number
  random(): number
  uuid(): string
  fillRandom(bytes: Uint8Array): void
}

const RealDate = Date
const forbiddenNames = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch'] as const

type Globals = Record<string, unknown>

/** The names that are swapped, one property each: a store to a global that is spelled out costs 2 ns, one by name 100 ns. */
interface SwappedGlobals {
  Date: unknown
  crypto: unknown
  performance: unknown
  setTimeout: unknown
  setInterval: unknown
  setImmediate: unknown
  queueMicrotask: unknown
  fetch: unknown
}
const realm = globalThis as unknown as SwappedGlobals

export class Realm {
  /** The transaction whose procedure runs, if any. */
  active: RealmTransaction | undefined
  readonly #own: SwappedGlobals
  readonly #real: SwappedGlobals
  readonly #ownRandom: () => number
  readonly #realRandom = Math.random

  constructor() {
    const global = globalThis as Globals
    this.#ownRandom = () => (this.active === undefined ? this.#realRandom.call(Math) : this.active.random())
    const own: Globals = { Date: dateOf(this), crypto: cryptoOf(this), performance: performanceOf(this) }
    for (const name of forbiddenNames) {
      const real = global[name] as (...args: unknown[]) => unknown
      own[name] = (...args: unknown[]) => {
        if (this.active !== undefined) {
          throw SluiceError.of('INVALID_USE', `${name}() was called inside a procedure, which is synchronous and sees only tx: do it before the call, or after it, or in a workflow step.`)
        }
        return real.apply(globalThis, args)
      }
    }
    const kept: Globals = {}
    for (const name of Object.keys(own)) {
      const value = global[name]
      kept[name] = value
      // Some are accessors; as plain properties they can be swapped for nanoseconds.
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true, enumerable: name !== 'Date' })
    }
    this.#own = own as unknown as SwappedGlobals
    this.#real = kept as unknown as SwappedGlobals
  }

  enter(): void {
    Math.random = this.#ownRandom
    put(this.#own)
  }

  leave(): void {
    Math.random = this.#realRandom
    put(this.#real)
  }
}

function put(values: SwappedGlobals): void {
  realm.Date = values.Date
  realm.crypto = values.crypto
  realm.performance = values.performance
  realm.setTimeout = values.setTimeout
  realm.setInterval = values.setInterval
  realm.setImmediate = values.setImmediate
  realm.queueMicrotask = values.queueMicrotask
  realm.fetch = values.fetch
}

function dateOf(realm: Realm): DateConstructor {
  const nowMs = (): number => (realm.active === undefined ? RealDate.now() : realm.active.now)
  return new Proxy(RealDate, {
    construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [nowMs()] : args, newTarget) as Date,
    apply: (target) => new target(nowMs()).toString(),
    get: (target, name, receiver) => (name === 'now' ? nowMs : (Reflect.get(target, name, receiver) as unknown)),
  })
}

function cryptoOf(realm: Realm): object {
  const own: Globals = {
    getRandomValues: (array: ArrayBufferView) => {
      if (realm.active === undefined) return webcrypto.getRandomValues(array as Uint8Array<ArrayBuffer>)
      realm.active.fillRandom(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
      return array
    },
    randomUUID: () => (realm.active === undefined ? webcrypto.randomUUID() : realm.active.uuid()),
  }
  return new Proxy(webcrypto, {
    get: (target, name) => {
      if (typeof name === 'string' && name in own) return own[name]
      const value = Reflect.get(target, name, target) as unknown
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

function performanceOf(realm: Realm): object {
  const real = performance
  return new Proxy(real, {
    get: (target, name) => {
      if (name === 'now') return () => (realm.active === undefined ? real.now() : 0)
      if (name === 'timeOrigin' && realm.active !== undefined) return realm.active.now
      const value = Reflect.get(target, name, target) as unknown
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

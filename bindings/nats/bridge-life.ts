/**
 * The life of a bridge: it works in sessions. A session that fails for what may pass (a connection, a server) is followed by another one,
 * after a pause that grows until something was done; one that fails with a `SluiceError` is the last.
 */
import { type AbortLike, type OpenEngine } from '../../engine/index.js'
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import { type BridgeParts, pause } from '../bridge.js'
import { shown } from '../schema/definition.js'
import type { BridgeStatus } from './bridge-types.js'

/** Names that are taken: a cursor has one who moves it. */
const running = new WeakMap<OpenEngine, Set<string>>()

export class BridgeLife {
  readonly #parts: BridgeParts
  readonly #name: string
  readonly #names: Set<string>
  readonly #aborter = new AbortController()
  readonly #outer: AbortLike | undefined
  readonly #onAbort = (): void => this.#aborter.abort()
  readonly #ended: { readonly promise: Promise<void>; readonly resolve: () => void; readonly reject: (error: SluiceError) => void }
  #status: BridgeStatus = 'running'
  #lastError: Error | undefined
  #failures = 0

  /** `name`: of the cursor; `what` begins messages. */
  constructor(parts: BridgeParts, name: string, what: string, signal: AbortLike | undefined) {
    this.#parts = parts
    this.#name = name
    this.#names = running.get(parts.open) ?? new Set()
    running.set(parts.open, this.#names)
    if (this.#names.has(name)) throw SluiceError.of('INVALID_USE', `${what} runs already in this database: a name has one bridge at a time. Close that one first, or take another name.`)
    this.#names.add(name)
    let resolve!: () => void
    let reject!: (error: SluiceError) => void
    const promise = new Promise<void>((yes, no) => {
      resolve = yes
      reject = no
    })
    promise.catch(() => undefined) // who does not look has `inspect()`
    this.#ended = { promise, resolve, reject }
    this.#outer = signal
    signal?.addEventListener('abort', this.#onAbort)
    if (signal?.aborted === true) this.#onAbort()
  }

  get status(): BridgeStatus {
    return this.#status
  }
  get lastError(): Error | undefined {
    return this.#lastError
  }
  get ended(): Promise<void> {
    return this.#ended.promise
  }
  get signal(): AbortSignal {
    return this.#aborter.signal
  }

  /** Something was done: the next failure begins with the shortest pause. */
  progress(): void {
    this.#failures = 0
    this.#lastError = undefined
  }

  /** Runs sessions until one ends by itself, or nothing more can be done. Resolves then. */
  async run(session: () => Promise<void>): Promise<void> {
    for (;;) {
      if (this.signal.aborted) return this.#end('closed')
      try {
        this.#status = 'running'
        await session()
        return this.#end('closed')
      } catch (error) {
        if (this.signal.aborted || SluiceError.is(error, 'DATABASE_CLOSED')) return this.#end('closed')
        this.#lastError = error instanceof Error ? error : new Error(String(error))
        if (SluiceError.is(error)) return this.#end('stopped', error)
        this.#failures += 1
        this.#status = 'waiting'
        const ms = Math.min(limits.natsPauseMsMax, limits.natsPauseMs * 2 ** (this.#failures - 1))
        await pause(this.#parts, ms, this.signal)
      }
    }
  }

  /** It never began. */
  abandon(): void {
    this.#end('closed')
  }

  stop(): void {
    this.#aborter.abort()
  }

  #end(status: 'closed' | 'stopped', error?: SluiceError): void {
    this.#status = status
    this.#outer?.removeEventListener('abort', this.#onAbort)
    this.#names.delete(this.#name)
    if (error === undefined) this.#ended.resolve()
    else this.#ended.reject(error)
  }
}

const namePattern = /^[A-Za-z0-9_-]{1,64}$/
const streamPattern = /^[^\s.*>/\\]{1,128}$/

export function checkNames(what: string, { name, stream }: { readonly name: unknown; readonly stream: unknown }): void {
  if (typeof name !== 'string' || !namePattern.test(name)) throw SluiceError.of('INVALID_USE', `${what}: the option name is up to 64 letters, digits, '-' and '_', not ${shown(name)}.`)
  if (typeof stream !== 'string' || !streamPattern.test(stream)) throw SluiceError.of('INVALID_USE', `${what}: the option stream is the name of a stream of JetStream, not ${shown(stream)}.`)
}

export function checkKnown(what: string, options: object, known: ReadonlySet<string>): void {
  for (const name of Object.keys(options)) if (!known.has(name)) throw SluiceError.of('INVALID_USE', `${what} has no option "${name}"; it has ${[...known].join(', ')}.`)
}

export function checkWord(what: string, option: string, value: unknown, words: readonly string[]): void {
  if (!words.includes(value as string)) throw SluiceError.of('INVALID_USE', `${what}: the option ${option} is ${words.map((word) => `'${word}'`).join(' or ')}, not ${shown(value)}.`)
}

/** Durable consumers as users hold them: options, the handle of one member, and what a handler is given. */
import { warn } from '../engine/base/environment-node.js'
import { codeOf, messageOf, SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import {
  type AbortLike, type ConsumerDelivery, type ConsumerGroup, type ConsumerMember, type ConsumerSettings, type ConsumerState, type DecodedTransaction, endOfBatch, type HandlerCursor, type OpenEngine, type StreamFilter,
  type ParkedRow, parkedTableName, type Program, tableOf, textOfKey, transactionOf, valueOfParked, type Verdict,
} from '../engine/index.js'
import { procedureOrdinal } from './catalog.js'
import type { Consumer, ConsumerKey, ConsumerStats, ConsumerSummary, Consumers, Delivery, ParkedChoice, ParkedDelivery, ParkedOptions } from './consumer-types.js'
import { checkOptions } from './options.js'
import { formatPosition, inPositions, type Position, positionParts, toldInPositions } from './position.js'
import { PositionWaiters, type ReachedOptions } from './position-waiters.js'
import type { Receipt } from './receipt.js'
import { shown } from './schema/definition.js'
import { commitOf } from './stream.js'

/** Where a start lies: behind a place, or at the first commit behind it that is not before a moment. */
export interface StartPlace {
  readonly batch: number
  /** -1: behind all of the batch. */
  readonly index: number
  readonly since?: number
}

export interface ConsumerPortParts {
  readonly open: OpenEngine
  readonly program: Program
  readonly filterOf: (options: Readonly<Record<string, unknown>>) => StreamFilter
  readonly startOf: (from: unknown) => StartPlace
  /** A call without an id: of a procedure that only reads. */
  readonly read: (procedure: unknown, input: unknown, isReceipt: boolean) => Promise<unknown>
}

type Handler = (commit: object, delivery: Delivery) => unknown

const optionNames = new Set(['from', 'tables', 'events', 'services', 'key', 'concurrency', 'redelivery', 'group', 'onStop', 'signal'])
const redeliveryNames = new Set(['limit', 'backoffMs', 'backoffMsMax'])
const parkedNames = new Set(['state', 'key', 'after', 'limit'])
const namePattern = /^[A-Za-z][A-Za-z0-9_.-]{0,62}$/
const parkedPage = 100

export class ConsumerPort {
  readonly #parts: ConsumerPortParts
  readonly #members = new Set<Member>()
  readonly all: Consumers
  #closed: Promise<unknown> | undefined

  constructor(parts: ConsumerPortParts) {
    this.#parts = parts
    const { consumers } = parts.open
    this.all = Object.freeze({
      list: (): readonly ConsumerSummary[] =>
        consumers.names.map((name) => {
          const { batch, index, isPaused } = consumers.markOf(name)!
          return { name, position: formatPosition(batch, index), isPaused, isOpen: consumers.stateOf(name) !== undefined }
        }),
      parked: (name: string, options?: ParkedOptions) => this.#parkedOf(checkedName(name), options),
      delete: async (name: string): Promise<boolean> => {
        parts.open.engine.mustBeOpen()
        return await consumers.delete(checkedName(name))
      },
    })
  }

  async open(name: unknown, options: unknown, handler: unknown): Promise<Consumer> {
    const { open, filterOf, startOf } = this.#parts
    open.engine.mustBeOpen()
    const named = checkedName(name)
    checkOptions('db.consumer()', options, optionNames)
    const given = options as Readonly<Record<string, unknown>>
    if (typeof handler !== 'function') throw wrong(`db.consumer(name, options, handler) takes a function that handles a commit, not ${shown(handler)}.`)
    const start = startOf(given['from'])
    const settings = settingsOf(given, filterOf(given))
    const isShared = flag('group', given['group'])
    const concurrency = whole('concurrency', given['concurrency'] ?? (settings.keyOf === undefined ? 1 : limits.consumerConcurrencyDefault), 1, limits.consumerConcurrencyMax)
    const onStop = given['onStop']
    if (onStop !== undefined && typeof onStop !== 'function') throw wrong(`The option onStop is a function, not ${shown(onStop)}.`)
    const signal = given['signal'] as AbortLike | undefined
    const mustBeWanted = (): void => {
      if (signal?.aborted === true) throw SluiceError.of('CANCELLED', `Consumer "${named}" was not opened: its signal was aborted.`, { cause: signal.reason })
    }
    mustBeWanted()
    const member = new Member(this.#parts, named, handler as Handler, concurrency, onStop as ((error: SluiceError) => void) | undefined)
    await inPositions(open.consumers.join(named, settings, isShared, () => this.#cursorOf(start), member))
    this.#members.add(member)
    const handle = this.#handleOf(member)
    if (signal === undefined) return handle
    if (signal.aborted) await handle.close()
    mustBeWanted()
    const onAbort = (): void => void handle.close().catch(() => undefined) // who calls close() hears of it
    signal.addEventListener('abort', onAbort)
    member.whenEnded = () => signal.removeEventListener('abort', onAbort)
    return handle
  }

  /** The database is being closed: no handler is waited for longer than a bound. */
  close(): Promise<unknown> {
    const closed = SluiceError.of('DATABASE_CLOSED', 'The database is closed.')
    return (this.#closed ??= Promise.all([...this.#members].map((member) => this.#leave(member, closed))))
  }
  get isEmpty(): boolean {
    return this.#members.size === 0
  }

  /** `why`: for those who wait for something of it. */
  #leave(member: Member, why: SluiceError): Promise<void> {
    return (member.left ??= this.#leaveOnce(member, why))
  }

  async #leaveOnce(member: Member, why: SluiceError): Promise<void> {
    member.group!.leave(member) // nothing more is handed to it
    member.waiters.end(why)
    await member.end()
    await this.#parts.open.consumers.leave(member.group!, member)
    this.#members.delete(member)
  }

  #handleOf(member: Member): Consumer {
    const { startOf } = this.#parts
    const { name } = member
    const group = (): ConsumerGroup => {
      this.#parts.open.engine.mustBeOpen()
      if (member.isEnded) throw wrong(`This member of consumer "${name}" is closed: open it again.`)
      return member.group!
    }
    const close = (): Promise<void> => this.#leave(member, SluiceError.of('CANCELLED', `Consumer "${name}" was closed before it had come so far.`))
    return Object.freeze({
      name,
      get position(): Position {
        const { reached } = member.group!.state
        return formatPosition(reached.batch, reached.index)
      },
      pause: async () => await group().setPaused(true),
      resume: async () => await group().setPaused(false),
      reset: async (from: unknown) => {
        const one = group()
        if (from === undefined) throw wrong('reset(from) takes where to begin: \'now\', \'beginning\', a Position or a Date.')
        await one.reset(await inPositions(this.#cursorOf(startOf(from))))
      },
      reached: async (position: Position, reachedOptions?: ReachedOptions) => {
        group()
        const reached = member.waiters.wait(position, reachedOptions)
        member.moved()
        await reached
      },
      inspect: () => statsOfConsumer(group().state),
      parked: (options?: ParkedOptions) => this.#parkedOf(name, options),
      unpark: async (choice?: ParkedChoice) => await group().unpark(choiceOf(choice)),
      discard: async (choice?: ParkedChoice) => await group().discard(choiceOf(choice)),
      close,
      [Symbol.asyncDispose]: close,
    } as Consumer)
  }

  /** The last commit before a start. */
  async #cursorOf({ batch, index, since }: StartPlace): Promise<HandlerCursor> {
    let last: HandlerCursor = { batch, index: index < 0 ? endOfBatch : index }
    if (since === undefined) return last
    const follower = this.#parts.open.consumers.follow({ tables: undefined, events: undefined, outcomes: true }, last)
    try {
      while (follower.isBehind()) {
        const read: DecodedTransaction[] = []
        if (!follower.readRing(limits.streamBufferCommitsMax, read)) await follower.readFiles(limits.streamBufferCommitsMax, read)
        for (const one of read) {
          if (one.time >= since) return last
          last = { batch: one.batch, index: one.index }
        }
        if (read.length === 0) break
      }
      return last
    } finally {
      follower.close()
    }
  }

  #parkedOf(name: string, options: ParkedOptions = {}): readonly ParkedDelivery[] {
    const { engine } = this.#parts.open
    engine.mustBeOpen()
    checkOptions('parked()', options, parkedNames)
    const { state, key, after, limit = parkedPage } = options
    if (state !== undefined && !['parked', 'released', 'dead'].includes(state)) throw wrong(`The option state is 'parked', 'released' or 'dead', not ${shown(state)}.`)
    whole('limit', limit, 1, limits.consumerParkedMax)
    const from = after === undefined ? undefined : positionParts(after)
    if (after !== undefined && from === undefined) throw wrong(`The option after is a Position, not ${shown(after)}.`)
    const table = tableOf(engine, parkedTableName)
    const found: ParkedDelivery[] = []
    const wanted = key === undefined ? undefined : textOfKey(key)
    for (const row of engine.reading().scan(table, table.trees[0]!, { prefix: [name], ...(from && { after: [name, from.batch, from.index] }) })) {
      const parked = row as unknown as ParkedRow
      if (parked.state === 'done' || (state !== undefined && parked.state !== state) || (wanted !== undefined && parked.key !== wanted)) continue
      found.push(deliveryOf(parked, parked.state))
      if (found.length === limit) break
    }
    return found
  }
}

/** One handler of a consumer: the consumer itself, or one of a group. */
class Member implements ConsumerMember {
  readonly name: string
  readonly concurrency: number
  group: ConsumerGroup | undefined
  /** Whoever closes it, and however often. */
  left: Promise<void> | undefined
  readonly waiters: PositionWaiters
  whenEnded: (() => void) | undefined
  readonly #parts: ConsumerPortParts
  readonly #handler: Handler
  readonly #onStop: ((error: SluiceError) => void) | undefined
  readonly #running = new Set<RunningDelivery>()
  #isEnded = false
  #whenIdle: (() => void) | undefined

  constructor(parts: ConsumerPortParts, name: string, handler: Handler, concurrency: number, onStop: ((error: SluiceError) => void) | undefined) {
    this.#parts = parts
    this.name = name
    this.waiters = new PositionWaiters(`consumer "${name}"`, parts.open.engine.environment)
    this.#handler = handler
    this.concurrency = concurrency
    this.#onStop = onStop
  }

  get isEnded(): boolean {
    return this.#isEnded
  }
  joined(group: ConsumerGroup): void {
    this.group = group
  }

  async handle(work: ConsumerDelivery): Promise<Verdict> {
    if (this.#isEnded) return { kind: 'left' }
    const running = new RunningDelivery(this.#parts, () => this.group!, work)
    this.#running.add(running)
    let verdict: Verdict
    try {
      await this.#handler(commitOf(work.transaction), running.handle)
      verdict = running.verdict ?? { kind: 'done' }
    } catch (error) {
      const isLeft = this.#isEnded && running.verdict === undefined
      verdict = running.verdict ?? (isLeft ? { kind: 'left' } : { kind: 'failed', code: codeOf(error), message: messageOf(error) })
    }
    running.end()
    this.#running.delete(running)
    if (this.#running.size === 0) this.#whenIdle?.()
    return verdict
  }

  stopped(error: SluiceError): void {
    void inPositions(Promise.reject(error)).catch((told: unknown) => {
      if (this.#onStop === undefined) warn('CONSUMER', `Consumer "${this.name}" does not go on by itself: ${(told as SluiceError).code}, ${(told as SluiceError).message} The option onStop of db.consumer() hears of it.`)
      else {
        try {
          this.#onStop(told as SluiceError)
        } catch (thrown) {
          warn('CONSUMER', `onStop of consumer "${this.name}" threw: ${messageOf(thrown)}`)
        }
      }
    })
  }

  moved(): void {
    if (this.waiters.isEmpty) return
    const group = this.group!
    this.waiters.settle((place) => group.hasPassed(place))
    if (group.stopped !== undefined) this.waiters.fail(toldInPositions(group.stopped))
  }

  /** Takes nothing more; resolves when its handlers have ended, or do not. */
  async end(): Promise<void> {
    this.#isEnded = true
    this.whenEnded?.()
    for (const running of [...this.#running]) running.abort()
    if (this.#running.size === 0) return
    const { environment } = this.#parts.open.engine
    await new Promise<void>((resolve) => {
      const cancel = environment.later(
        limits.consumerCloseMsMax,
        () => {
          for (const running of this.#running) running.leave()
          resolve()
        },
        true,
      )
      this.#whenIdle = () => {
        cancel()
        resolve()
      }
    })
  }
}

/** What a handler is given, while it runs. */
class RunningDelivery {
  readonly handle: Delivery
  verdict: Verdict | undefined
  readonly #parts: ConsumerPortParts
  readonly #groupOf: () => ConsumerGroup
  readonly #work: ConsumerDelivery
  #controller: AbortController | undefined
  #isAborted = false
  #hasEnded = false

  constructor(parts: ConsumerPortParts, groupOf: () => ConsumerGroup, work: ConsumerDelivery) {
    this.#parts = parts
    this.#groupOf = groupOf
    this.#work = work
    const { place, consumer, attempt } = work
    const signalNow = (): AbortSignal => this.#signal
    this.handle = Object.freeze({
      attempt,
      key: `${consumer}:${formatPosition(place.batch, place.index)}`,
      get signal(): AbortSignal {
        return signalNow()
      },
      call: async (procedure: unknown, ...[input]: readonly unknown[]) => (await this.#call(procedure, input, false)) as never,
      submit: async (procedure: unknown, ...[input]: readonly unknown[]) => (await this.#call(procedure, input, true)) as never,
      nak: ({ delayMs, reason = 'Its handler said: not now.' }: { delayMs?: number; reason?: string } = {}) => {
        if (delayMs !== undefined && !(typeof delayMs === 'number' && delayMs >= 0 && delayMs <= limits.consumerPauseMsMax)) throw wrong(`nak({ delayMs }) takes milliseconds, not ${shown(delayMs)}.`)
        this.#say({ kind: 'failed', code: null, message: String(reason), delayMs })
      },
      terminate: (reason: unknown) => {
        if (typeof reason !== 'string' || reason === '') throw wrong('terminate(reason) takes words that say why.')
        this.#say({ kind: 'dead', message: reason })
      },
    })
  }

  get #signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#isAborted) this.#controller.abort()
    return this.#controller.signal
  }
  abort(): void {
    this.#isAborted = true
    this.#controller?.abort()
  }
  end(): void {
    this.#hasEnded = true
  }
  /** Its handler runs on, for nobody. */
  leave(): void {
    this.#hasEnded = true
    this.#work.isLeft = true
  }

  #mustRun(): void {
    if (this.#hasEnded) throw wrong('This delivery has ended: what it gives is of use only while its handler runs, so await what you begin.')
  }
  #say(verdict: Verdict): void {
    this.#mustRun()
    this.verdict = verdict
  }

  async #call(procedure: unknown, input: unknown, isReceipt: boolean): Promise<unknown> {
    this.#mustRun()
    const { program, open, read } = this.#parts
    const ordinal = procedureOrdinal(program, procedure)
    if (program.procedures[ordinal]!.descriptor.readonly === true) return await read(procedure, input, isReceipt)
    const { value, batch, index, repeated } = await this.#groupOf().call(this.#work, ordinal, input)
    return isReceipt ? ({ value, position: formatPosition(batch, index), durability: open.durability, repeated } satisfies Receipt<unknown>) : value
  }
}

export function statsOfConsumer({ reached, lastFailure, stopped, ...state }: ConsumerState): ConsumerStats {
  return {
    ...state,
    position: formatPosition(reached.batch, reached.index),
    lastFailure: lastFailure && { position: formatPosition(lastFailure.batch, lastFailure.index), attempt: lastFailure.attempt, code: lastFailure.code ?? undefined, message: lastFailure.message },
    stoppedBy: stopped?.code,
  }
}

function deliveryOf(row: ParkedRow, state: ParkedDelivery['state']): ParkedDelivery {
  const { consumer, batch, index, time, since, attempts, code, message } = row
  const transaction = transactionOf(row)
  return {
    consumer,
    position: formatPosition(batch, index),
    time,
    since,
    key: valueOfParked(row) as ConsumerKey | undefined,
    state,
    attempts,
    code: code ?? undefined,
    message,
    commit: transaction && (commitOf(transaction) as NonNullable<ParkedDelivery['commit']>),
  }
}

function choiceOf(choice: ParkedChoice | undefined): { readonly key: unknown } | { readonly place: HandlerCursor } {
  if (typeof choice !== 'object' || choice === null || Array.isArray(choice) || choice instanceof Uint8Array) return { key: choice as ConsumerKey | undefined }
  const place = positionParts((choice as { position?: unknown }).position)
  if (place === undefined) throw wrong(`What is set aside is named by its key, or by { position }, not by ${shown(choice)}.`)
  return { place }
}

function settingsOf(given: Readonly<Record<string, unknown>>, filter: StreamFilter): ConsumerSettings {
  const { key, redelivery = {} } = given
  if (key !== undefined && typeof key !== 'function') throw wrong(`The option key is a function of the commit, not ${shown(key)}.`)
  checkOptions('The option redelivery', redelivery, redeliveryNames)
  const { limit = limits.consumerAttemptsDefault, backoffMs = limits.consumerBackoffMsDefault, backoffMsMax = limits.consumerBackoffMsMaxDefault } = redelivery as Readonly<Record<string, unknown>>
  return {
    filter,
    keyOf: key === undefined ? undefined : (transaction) => (key as (commit: object) => unknown)(commitOf(transaction)),
    attempts: whole('redelivery.limit', limit, 1, limits.consumerAttemptsMax),
    backoffMs: whole('redelivery.backoffMs', backoffMs, 0, limits.consumerPauseMsMax),
    backoffMsMax: whole('redelivery.backoffMsMax', backoffMsMax, 0, limits.consumerPauseMsMax),
  }
}

function checkedName(name: unknown): string {
  if (typeof name === 'string' && namePattern.test(name)) return name
  throw wrong(`The name of a consumer is a letter, then letters, digits, '_', '.' or '-', at most 63 in all, not ${shown(name)}.`)
}

function whole(name: string, value: unknown, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw wrong(`The option ${name} is a whole number from ${least} to ${most}, not ${shown(value)}.`)
}

function flag(name: string, value: unknown): boolean {
  if (value === undefined || typeof value === 'boolean') return value === true
  throw wrong(`The option ${name} is true or false, not ${shown(value)}.`)
}

const wrong = (message: string): SluiceError => SluiceError.of('INVALID_USE', message)

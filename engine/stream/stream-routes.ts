/**
 * From a transaction to those who want it, without a look at those who do not.
 *
 *   table ──► interests without equalities            asked one by one
 *         └─► signature: columns that are asked for   one look-up for each signature
 *                └─► their values ──► interests
 *   event ──► filters
 *
 * A signature is a list of columns, a prefix with its length: `id`, `account,n`, `id:5`. Ten thousand interests in one key each have one
 * signature, so a change costs them all one look-up. Interests with a condition alone, which no equality can find, are asked for each
 * change of their table: once for each distinct filter, whatever the number of its subscribers.
 */
import type { DecodedChange, DecodedEvent, DecodedTransaction, FrameFilter } from './frame-decoder.js'
import { type Equality, imageOf, type Interest, selected, type StreamFilter, takesBesides } from './stream-filter.js'
import type { PlainRow } from '../store/row-codec.js'

/** A distinct filter, those who have it, and what of the transaction under way it lets through. */
export class Route<Subscriber> {
  readonly filter: StreamFilter
  readonly subscribers = new Set<Subscriber>()
  changes: DecodedChange[] = []
  events: DecodedEvent[] = []

  constructor(filter: StreamFilter) {
    this.filter = filter
  }
}

interface Stop<Subscriber> {
  readonly interest: Interest
  readonly route: Route<Subscriber>
}

/** Interests that ask for the same columns, by what they ask for. */
interface Signature<Subscriber> {
  readonly equals: readonly Equality[]
  readonly stops: Map<unknown, Stop<Subscriber>[]>
}

interface TableRoutes<Subscriber> {
  readonly plain: Map<Route<Subscriber>, Stop<Subscriber>[]>
  readonly signatures: Map<string, Signature<Subscriber>>
}

export class StreamRoutes<Subscriber> {
  /** What somebody wants, at any moment: for the follower of the hub. */
  readonly frames: FrameFilter
  readonly #routes = new Map<string, Route<Subscriber>>()
  readonly #open = new Set<Route<Subscriber>>()
  readonly #tables = new Map<string, TableRoutes<Subscriber>>()
  readonly #events = new Map<string, Set<Route<Subscriber>>>()
  /** Routes that let something of the transaction under way through. */
  readonly #met: Route<Subscriber>[] = []

  constructor() {
    const open = this.#open
    this.frames = {
      tables: this.#tables,
      events: this.#events,
      outcomes: false,
      get isOpen() {
        return open.size > 0
      },
    }
  }

  get distinct(): number {
    return this.#routes.size
  }

  add(filter: StreamFilter, subscriber: Subscriber): void {
    let route = this.#routes.get(filter.id)
    if (route === undefined) {
      route = new Route(filter)
      this.#routes.set(filter.id, route)
      this.#lay(route)
    }
    route.subscribers.add(subscriber)
  }

  remove(filter: StreamFilter, subscriber: Subscriber): void {
    const route = this.#routes.get(filter.id)
    if (route === undefined || !route.subscribers.delete(subscriber) || route.subscribers.size > 0) return
    this.#routes.delete(filter.id)
    this.#takeUp(route)
  }

  /** Calls `deliver` for each distinct filter that lets something through, with what that is. */
  route(transaction: DecodedTransaction, deliver: (route: Route<Subscriber>, selection: DecodedTransaction) => void): void {
    if (this.#tables.size > 0) for (const change of transaction.changes) this.#routeChange(change)
    if (this.#events.size > 0) for (const event of transaction.events) this.#routeEvent(event)
    const met = this.#met
    for (let n = 0; n < met.length; n += 1) {
      const route = met[n]!
      const { changes, events } = route
      route.changes = []
      route.events = []
      deliver(route, selected(transaction, changes, events))
    }
    met.length = 0
    for (const route of this.#open) deliver(route, transaction)
  }

  #routeChange(change: DecodedChange): void {
    const routes = this.#tables.get(change.table)
    if (routes === undefined) return
    for (const stops of routes.plain.values()) for (let n = 0; n < stops.length; n += 1) this.#stopAt(stops[n]!, change)
    if (routes.signatures.size === 0) return
    const row = imageOf(change)
    for (const { equals, stops } of routes.signatures.values()) {
      const found = stops.get(valuesOf(equals, row))
      if (found !== undefined) for (let n = 0; n < found.length; n += 1) this.#stopAt(found[n]!, change)
    }
  }

  #stopAt({ interest, route }: Stop<Subscriber>, change: DecodedChange): void {
    if (!takesBesides(interest, change)) return
    const { changes } = route
    // Two interests of a filter may want the same change.
    if (changes.length > 0 && changes[changes.length - 1] === change) return
    this.#meet(route)
    changes.push(change)
  }

  #routeEvent(event: DecodedEvent): void {
    const routes = this.#events.get(event.type)
    if (routes === undefined) return
    for (const route of routes) {
      this.#meet(route)
      route.events.push(event)
    }
  }

  #meet(route: Route<Subscriber>): void {
    if (route.changes.length === 0 && route.events.length === 0) this.#met.push(route)
  }

  #lay(route: Route<Subscriber>): void {
    const { interests, events, isOpen } = route.filter
    if (isOpen) this.#open.add(route)
    for (const interest of interests) {
      const { table, equals } = interest
      let routes = this.#tables.get(table)
      if (routes === undefined) this.#tables.set(table, (routes = { plain: new Map(), signatures: new Map() }))
      if (equals.length === 0) {
        routes.plain.set(route, [...(routes.plain.get(route) ?? []), { interest, route }])
        continue
      }
      const name = signatureOf(equals)
      let signature = routes.signatures.get(name)
      if (signature === undefined) routes.signatures.set(name, (signature = { equals, stops: new Map() }))
      const values = askedOf(equals)
      const stops = signature.stops.get(values)
      if (stops === undefined) signature.stops.set(values, [{ interest, route }])
      else stops.push({ interest, route })
    }
    for (const event of events) {
      const routes = this.#events.get(event)
      if (routes === undefined) this.#events.set(event, new Set([route]))
      else routes.add(route)
    }
  }

  #takeUp(route: Route<Subscriber>): void {
    this.#open.delete(route)
    for (const { table, equals } of route.filter.interests) {
      const routes = this.#tables.get(table)
      if (routes === undefined) continue
      routes.plain.delete(route)
      const name = signatureOf(equals)
      const signature = routes.signatures.get(name)
      if (signature !== undefined && equals.length > 0) {
        const values = askedOf(equals)
        const left = (signature.stops.get(values) ?? []).filter((stop) => stop.route !== route)
        if (left.length > 0) signature.stops.set(values, left)
        else signature.stops.delete(values)
        if (signature.stops.size === 0) routes.signatures.delete(name)
      }
      if (routes.plain.size === 0 && routes.signatures.size === 0) this.#tables.delete(table)
    }
    for (const event of route.filter.events) {
      const routes = this.#events.get(event)
      routes?.delete(route)
      if (routes?.size === 0) this.#events.delete(event)
    }
  }
}

const signatureOf = (equals: readonly Equality[]): string => equals.map(({ column, prefixLength }) => (prefixLength === undefined ? column : `${column}:${prefixLength}`)).join()

/** What interests of a signature are looked up by: the value itself where it is one, so that nothing is made for a change. */
const askedOf = (equals: readonly Equality[]): unknown => (equals.length === 1 ? bare(equals[0]!.value) : equals.map(({ value }) => textOf(value)).join(''))

function valuesOf(equals: readonly Equality[], row: PlainRow): unknown {
  if (equals.length === 1) return bare(valueOf(equals[0]!, row))
  let text = ''
  for (let n = 0; n < equals.length; n += 1) text += textOf(valueOf(equals[n]!, row))
  return text
}

function valueOf({ column, prefixLength }: Equality, row: PlainRow): unknown {
  const value = row[column]
  return prefixLength === undefined ? value : (value as string).slice(0, prefixLength)
}

const bare = (value: unknown): unknown => (value instanceof Uint8Array ? textOf(value) : value)

/** Equal values have equal texts, and no text is the beginning of another one's. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return `t${value.length}:${value}`
  if (value instanceof Uint8Array) return `b${value.length}:${Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')}`
  return `${typeof value === 'number' ? 'n' : typeof value}${String(value)};`
}

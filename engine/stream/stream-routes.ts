/**
 * From a transaction to those who want it, without a look at those who do not: by table and by event, and there by what is asked for
 * (route-index.ts).
 */
import type { DecodedChange, DecodedEvent, DecodedTransaction, FrameFilter } from './frame-decoder.js'
import { RouteIndex, type Stop } from './route-index.js'
import { type EventInterest, holdsOf, imageOf, type Interest, selected, type StreamFilter, takesBesides } from './stream-filter.js'

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

export class StreamRoutes<Subscriber> {
  /** What somebody wants, at any moment: for the follower of the hub. */
  readonly frames: FrameFilter
  readonly #routes = new Map<string, Route<Subscriber>>()
  readonly #open = new Set<Route<Subscriber>>()
  readonly #tables = new Map<string, RouteIndex<Interest, Route<Subscriber>>>()
  readonly #events = new Map<string, RouteIndex<EventInterest, Route<Subscriber>>>()
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
    if (this.#tables.size > 0) for (const change of transaction.changes) this.#tables.get(change.table)?.find(imageOf(change), change, this.#stopAtChange)
    if (this.#events.size > 0) for (const event of transaction.events) this.#events.get(event.type)?.find(event.payload, event, this.#stopAtEvent)
    const met = this.#met
    for (let n = 0; n < met.length; n += 1) {
      const route = met[n]!
      const { changes, events } = route
      route.changes = []
      route.events = []
      deliver(route, selected(transaction, changes, events))
    }
    met.length = 0
    for (const route of this.#open) {
      const selection = route.filter.select(transaction)
      if (selection !== undefined) deliver(route, selection)
    }
  }

  readonly #stopAtChange = ({ asks, route }: Stop<Interest, Route<Subscriber>>, change: DecodedChange): void => {
    if (!takesBesides(asks, change)) return
    const { changes } = route
    // Two interests of a filter may want the same change.
    if (changes.length > 0 && changes[changes.length - 1] === change) return
    this.#meet(route)
    changes.push(change)
  }

  readonly #stopAtEvent = ({ asks, route }: Stop<EventInterest, Route<Subscriber>>, event: DecodedEvent): void => {
    if (!holdsOf(asks, event.payload)) return
    const { events } = route
    if (events.length > 0 && events[events.length - 1] === event) return
    this.#meet(route)
    events.push(event)
  }

  #meet(route: Route<Subscriber>): void {
    if (route.changes.length === 0 && route.events.length === 0) this.#met.push(route)
  }

  #lay(route: Route<Subscriber>): void {
    const { interests, eventInterests, isOpen } = route.filter
    if (isOpen) this.#open.add(route)
    for (const interest of interests) indexOf(this.#tables, interest.table).lay(interest, route)
    for (const interest of eventInterests) indexOf(this.#events, interest.event).lay(interest, route)
  }

  #takeUp(route: Route<Subscriber>): void {
    const { interests, eventInterests } = route.filter
    this.#open.delete(route)
    for (const interest of interests) takeUpIn(this.#tables, interest.table, interest, route)
    for (const interest of eventInterests) takeUpIn(this.#events, interest.event, interest, route)
  }
}

type Indexes<Asks extends Interest | EventInterest, Subscriber> = Map<string, RouteIndex<Asks, Route<Subscriber>>>

function indexOf<Asks extends Interest | EventInterest, Subscriber>(indexes: Indexes<Asks, Subscriber>, name: string): RouteIndex<Asks, Route<Subscriber>> {
  let index = indexes.get(name)
  if (index === undefined) indexes.set(name, (index = new RouteIndex()))
  return index
}

function takeUpIn<Asks extends Interest | EventInterest, Subscriber>(indexes: Indexes<Asks, Subscriber>, name: string, asks: Asks, route: Route<Subscriber>): void {
  const index = indexes.get(name)
  if (index === undefined) return
  index.takeUp(asks, route)
  if (index.isEmpty) indexes.delete(name)
}

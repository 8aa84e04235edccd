/**
 * Who wants records of one table, or of one event type, without a look at those who do not.
 *
 *   questions without equalities            asked one by one
 *   signature: columns that are asked for   one look-up for each signature
 *      └─► their values ──► stops
 *
 * A signature is a list of columns, a prefix with its length: `id`, `account,n`, `id:5`. Ten thousand questions about one key each have one
 * signature, so a record costs them all one look-up. Questions with a condition alone, which no equality can find, are asked for each record:
 * once for each distinct filter, whatever the number of its subscribers.
 */
import type { PlainRow } from '../store/row-codec.js'
import type { Equality, Question } from './stream-filter.js'

/** A question, and the filter that asks it. */
export interface Stop<Asks extends Question, Route> {
  readonly asks: Asks
  readonly route: Route
}

/** Questions about the same columns, by what they ask for. */
interface Signature<Asks extends Question, Route> {
  readonly equals: readonly Equality[]
  readonly stops: Map<unknown, Stop<Asks, Route>[]>
}

export class RouteIndex<Asks extends Question, Route> {
  readonly #plain = new Map<Route, Stop<Asks, Route>[]>()
  readonly #signatures = new Map<string, Signature<Asks, Route>>()

  get isEmpty(): boolean {
    return this.#plain.size === 0 && this.#signatures.size === 0
  }

  lay(asks: Asks, route: Route): void {
    const { equals } = asks
    if (equals.length === 0) {
      this.#plain.set(route, [...(this.#plain.get(route) ?? []), { asks, route }])
      return
    }
    const name = signatureOf(equals)
    let signature = this.#signatures.get(name)
    if (signature === undefined) this.#signatures.set(name, (signature = { equals, stops: new Map() }))
    const values = askedOf(equals)
    const stops = signature.stops.get(values)
    if (stops === undefined) signature.stops.set(values, [{ asks, route }])
    else stops.push({ asks, route })
  }

  /** All that the route asks with these equalities. */
  takeUp({ equals }: Asks, route: Route): void {
    this.#plain.delete(route)
    const name = signatureOf(equals)
    const signature = this.#signatures.get(name)
    if (signature === undefined || equals.length === 0) return
    const values = askedOf(equals)
    const left = (signature.stops.get(values) ?? []).filter((stop) => stop.route !== route)
    if (left.length > 0) signature.stops.set(values, left)
    else signature.stops.delete(values)
    if (signature.stops.size === 0) this.#signatures.delete(name)
  }

  /** Calls `visit` for each stop whose equalities a row, or a payload, has. What else it asks for is left to `visit`. */
  find<Item>(row: PlainRow, item: Item, visit: (stop: Stop<Asks, Route>, item: Item) => void): void {
    for (const stops of this.#plain.values()) for (let n = 0; n < stops.length; n += 1) visit(stops[n]!, item)
    if (this.#signatures.size === 0) return
    for (const { equals, stops } of this.#signatures.values()) {
      const found = stops.get(valuesOf(equals, row))
      if (found !== undefined) for (let n = 0; n < found.length; n += 1) visit(found[n]!, item)
    }
  }
}

const signatureOf = (equals: readonly Equality[]): string => equals.map(({ column, prefixLength }) => (prefixLength === undefined ? column : `${column}:${prefixLength}`)).join()

/** What questions of a signature are looked up by: the value itself where it is one, so that nothing is made for a record. */
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

/**
 * How large a TPC-C database is, and what is drawn for it. Everything else follows from these settings: they are plain
 * data, so that any process, ours or a peer's, draws the same rows and the same inputs without talking.
 */

/** Rows per warehouse, and the items that all of them share. */
export interface TpccScale {
  readonly items: number
  /** In a district; as many orders are loaded, one for each. */
  readonly customers: number
  /** Orders of a district that are loaded undelivered: the youngest ones. */
  readonly newOrders: number
}

/** As the specification has it (clause 4.3.3). */
export const standardScale: TpccScale = { items: 100_000, customers: 3_000, newOrders: 900 }

export interface TpccSettings {
  readonly warehouses: number
  /** How many inputs the plan holds. */
  readonly transactions: number
  /** `'standard'`: 45/43/4/4/4 of NewOrder, Payment, OrderStatus, Delivery, StockLevel. */
  readonly mix: 'standard' | 'newOrder' | 'payment'
  /** Default: the standard one. */
  readonly scale?: TpccScale | undefined
  /** Of all order lines, percent from another warehouse; default 1. Needs two warehouses, as the next one. */
  readonly remoteLines?: number | undefined
  /** Of all payments, percent by a customer of another warehouse; default 15. */
  readonly remotePayments?: number | undefined
  readonly seed?: number | undefined
}

export const defaultSeed = 20_261_127
export const districtsPerWarehouse = 10
export const loadedAt = 1_700_000_000_000

/** In cents. */
export const paidAtLoad = 10_00

/** Orders up to this one are loaded as delivered. */
export function deliveredAtLoad(scale: TpccScale): number {
  return scale.customers - scale.newOrders
}

/** What the fields of a key of a district are worth as one number, from 0. */
export function districtIndex(w: number, d: number): number {
  return (w - 1) * districtsPerWarehouse + d - 1
}

export function checkScale({ items, customers, newOrders }: TpccScale): void {
  if (items < 20 || customers < 10) throw new RangeError('TPC-C needs 20 items and 10 customers in a district at least')
  if (newOrders < 1 || newOrders >= customers) throw new RangeError('some orders are loaded delivered, and some are not')
}

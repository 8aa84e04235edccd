/** Drives TPC-C through the public API: how its rows get there, how a transaction of the plan is called. */
import { SluiceError, type CallOptions, type Database, type InputOf } from 'sluicedb'
import { load, type TableName } from './load.js'
import { newOrderInput, tpccInput, type TpccInput, type TpccPlan } from './plan.js'
import { Population } from './population.js'
import { districtsPerWarehouse } from './scale.js'
import { delivery, newOrder, orderStatus, payment, stockLevel } from './transactions.js'

const rowsPerCall = 64
const callsTogether = 16

/** What a transaction of the plan comes to: anything else that a call can say is an error of ours. */
export type TpccOutcome = 'committed' | 'rolledBack'

export async function populate(db: Database, settings: ConstructorParameters<typeof Population>[0]): Promise<void> {
  let calls: InputOf<typeof load>[] = []
  const send = async (): Promise<void> => {
    for (const outcome of await db.submitMany(load, calls)) if (!outcome.ok) throw outcome.error
    calls = []
  }
  for (const call of loads(new Population(settings))) {
    if (calls.push(call) === callsTogether) await send()
  }
  await send()
}

function* loads(population: Population): Generator<InputOf<typeof load>> {
  yield* loadsOf('item', 1, population.items())
  for (let w = 1; w <= population.warehouses; w += 1) {
    yield* loadsOf('warehouse', w, [population.warehouse(w)])
    yield* loadsOf('district', w, population.districts(w))
    yield* loadsOf('stock', w, population.stock(w))
    for (let d = 1; d <= districtsPerWarehouse; d += 1) {
      yield* loadsOf('customer', w, population.customers(w, d))
      yield* loadsOf('history', w, population.history(w, d))
      yield* loadsOf('order', w, ordersOf(population, w, d))
      yield* loadsOf('orderLine', w, linesOf(population, w, d))
      yield* loadsOf('newOrder', w, population.newOrders(w, d))
    }
  }
}

function* ordersOf(population: Population, w: number, d: number): Generator<object> {
  for (const { order } of population.orders(w, d)) yield order
}

function* linesOf(population: Population, w: number, d: number): Generator<object> {
  for (const { lines } of population.orders(w, d)) yield* lines
}

function* loadsOf(table: TableName, w: number, rows: Iterable<object>): Generator<InputOf<typeof load>> {
  let gathered: object[] = []
  for (const row of rows) {
    if (gathered.push(row) < rowsPerCall) continue
    yield { table, w, rows: gathered }
    gathered = []
  }
  if (gathered.length > 0) yield { table, w, rows: gathered }
}

/** Transaction `n` of the plan. */
export async function runTransaction(db: Database, plan: TpccPlan, n: number, options?: CallOptions): Promise<TpccOutcome> {
  try {
    await send(db, tpccInput(plan, n), options)
    return 'committed'
  } catch (error) {
    return rolledBack(error)
  }
}

function send(db: Database, { kind, input }: TpccInput, options: CallOptions = {}): Promise<unknown> {
  switch (kind) {
    case 'newOrder':
      return db.call(newOrder, input, options)
    case 'payment':
      return db.call(payment, input, options)
    case 'orderStatus':
      return db.call(orderStatus, input, options)
    case 'delivery':
      return db.call(delivery, input, options)
    case 'stockLevel':
      return db.call(stockLevel, input, options)
  }
}

function rolledBack(error: unknown): 'rolledBack' {
  if (SluiceError.is(error, 'ABORTED') && error.reason === 'UNUSED_ITEM') return 'rolledBack'
  throw error
}

/** NewOrders of the plan, `chunk` for a promise. */
export async function submitNewOrders(db: Database, plan: TpccPlan, first: number, count: number, chunk: number): Promise<void> {
  for (let from = first; from < first + count; from += chunk) {
    const length = Math.min(chunk, first + count - from)
    const inputs = Array.from({ length }, (_, place) => newOrderInput(plan, (from + place) % plan.transactions))
    for (const outcome of await db.submitMany(newOrder, inputs)) if (!outcome.ok) rolledBack(outcome.error)
  }
}

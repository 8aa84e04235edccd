/** Whole transactions inside a lane, in batches of 256: a transfer, two in the manner of TPC-C, and one that aborts. */
import { randomSource } from '../statistics.js'
import bank from '../workloads/transfer.js'
import shop from '../workloads/orders.js'
import { BareLane } from './bare-lane.js'
import { laidDown, operationsPerRun, type MicroCase } from './micro-case.js'

const batchRequests = 250
const accounts = laidDown(100_000)
const warehouses = 2
const customers = laidDown(300)
const items = laidDown(20_000)
const linesPerOrder = 10

/** The nth input: drawn in advance, for drawing costs as much as a short transaction; `n` makes its keys new. */
type Draw = (n: number) => object
const drawnInputs = laidDown(50_000)

/** Runs `operationsPerRun` drawn transactions, batch by batch. */
function runs(lane: BareLane, procedure: string, draw: Draw, undoneWanted = 0): () => number {
  const ordinal = lane.procedure(procedure)
  let n = 0
  return () => {
    let undone = 0
    for (let done = 0; done < operationsPerRun; done += batchRequests) {
      const inputs: object[] = []
      for (let place = 0; place < batchRequests; place += 1, n += 1) inputs.push(draw(n))
      undone += lane.run(ordinal, inputs)
    }
    if (undone !== undoneWanted) throw new Error(`${undone} of ${operationsPerRun} transactions were undone, not ${undoneWanted}`)
    return undone
  }
}

function filledBank(): BareLane {
  const lane = new BareLane(bank)
  const openAccount = lane.procedure('bank.openAccount')
  for (let first = 0; first < accounts; first += operationsPerRun) {
    lane.run(openAccount, Array.from({ length: operationsPerRun }, (_, n) => ({ id: first + n, owner: `owner ${first + n}`, balance: 1_000_000_000 })))
  }
  return lane
}

function filledShop(): BareLane {
  const lane = new BareLane(shop)
  lane.run(lane.procedure('shop.fillItems'), [{ items }])
  for (let w = 1; w <= warehouses; w += 1) lane.run(lane.procedure('shop.fill'), [{ w, customers, items }])
  return lane
}

function drawTransfers(): Draw {
  const below = randomSource(7)
  const drawn = Array.from({ length: drawnInputs }, () => ({ from: below(accounts), to: below(accounts), amount: 1 + below(100) }))
  return (id) => {
    const { from, to, amount } = drawn[id % drawnInputs]!
    return { id, from, to, amount }
  }
}

/** With `aborts`, the last item of each order does not exist. */
function drawOrders(aborts = false): Draw {
  const below = randomSource(8)
  const drawn = Array.from({ length: drawnInputs }, () => {
    const lines = Array.from({ length: linesPerOrder }, () => ({ i: 1 + below(items), quantity: 1 + below(10) }))
    if (aborts) lines[linesPerOrder - 1]!.i = items + 1
    return { w: 1 + below(warehouses), d: 1 + below(10), customer: 1 + below(customers), lines }
  })
  return (n) => drawn[n % drawnInputs]!
}

function drawPayments(): Draw {
  const below = randomSource(9)
  const drawn = Array.from({ length: drawnInputs }, () => ({ w: 1 + below(warehouses), d: 1 + below(10), customer: 1 + below(customers), amount: 1 + below(500_000) }))
  return (n) => ({ ...drawn[n % drawnInputs]!, n })
}

export const insideCases: readonly MicroCase[] = [
  { name: 'inside: transfer', prepare: () => runs(filledBank(), 'bank.transfer', drawTransfers()) },
  { name: 'inside: new order, 10 lines', prepare: () => runs(filledShop(), 'shop.newOrder', drawOrders()) },
  { name: 'inside: new order that aborts at its last line', prepare: () => runs(filledShop(), 'shop.newOrder', drawOrders(true), operationsPerRun) },
  { name: 'inside: payment', prepare: () => runs(filledShop(), 'shop.payment', drawPayments()) },
]

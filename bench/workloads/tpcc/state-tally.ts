/** What our own tables add up to, to be compared with what the plan reckons (tally.ts). */
import { districtIndex } from './scale.js'
import type { TpccState } from './state.js'
import type { TpccTally } from './tally.js'

export function tallyOf(state: TpccState): TpccTally {
  const warehouseYtd: number[] = []
  const districtYtd: number[] = []
  const nextOrder: number[] = []
  for (const { w, ytd } of state.warehouse) warehouseYtd[w - 1] = ytd
  for (const row of state.district) {
    districtYtd[districtIndex(row.w, row.d)] = row.ytd
    nextOrder[districtIndex(row.w, row.d)] = row.nextOrder
  }
  return {
    warehouseYtd,
    districtYtd,
    nextOrder,
    orders: count(state.order),
    newOrders: count(state.newOrder),
    orderLines: count(state.orderLine),
    history: count(state.history),
    lineAmount: sum(state.orderLine, (row) => row.amount),
    stockQuantity: sum(state.stock, (row) => row.quantity * row.i),
    stockYtd: sum(state.stock, (row) => row.ytd * row.i),
    stockOrders: sum(state.stock, (row) => row.orderCount),
    stockRemotes: sum(state.stock, (row) => row.remoteCount),
    paid: sum(state.customer, (row) => row.ytdPayment),
    payments: sum(state.customer, (row) => row.paymentCount * row.c),
    deliveries: sum(state.customer, (row) => row.deliveryCount),
  }
}

function count(rows: Iterable<unknown>): number {
  let rowsSeen = 0
  for (const _ of rows) rowsSeen += 1
  return rowsSeen
}

function sum<Row>(rows: Iterable<Row>, of: (row: Row) => number): number {
  let all = 0
  for (const row of rows) all += of(row)
  return all
}

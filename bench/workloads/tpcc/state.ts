/**
 * The rows of the nine tables at one moment, for those who judge them: read from a snapshot, or put together again from
 * nothing but the stream of changes.
 */
import type { Commit, Database, RowOf, Snapshot } from 'sluicedb'
import { tpcc } from './tables.js'

type Tables = typeof tpcc.tables
export type TpccRow<T extends keyof Tables> = Readonly<RowOf<Tables[T]>>

/** Each may be gone through more than once. */
export type TpccState = { readonly [T in keyof Tables]: Iterable<TpccRow<T>> }

export function stateOf(reader: Snapshot | Database): TpccState {
  const { item, warehouse, district, stock, customer, history, order, orderLine, newOrder } = tpcc.tables
  return {
    item: reader.table(item),
    warehouse: reader.table(warehouse),
    district: reader.table(district),
    stock: reader.table(stock),
    customer: reader.table(customer),
    history: reader.table(history),
    order: reader.table(order),
    orderLine: reader.table(orderLine),
    newOrder: reader.table(newOrder),
  }
}

/** Folds commits into rows, and refuses a change that does not follow from those before it. */
export class RebuiltState {
  readonly #rows = new Map<string, Map<string, object>>(Object.values(tpcc.tables).map((table) => [table.name, new Map()]))

  take(commit: Commit): void {
    for (const { table, kind, key, after } of commit.changes) {
      const rows = this.#rows.get(table)
      if (rows === undefined) throw new Error(`The stream speaks of "${table}", which is no table of TPC-C.`)
      const name = JSON.stringify(key)
      if (rows.has(name) !== (kind !== 'insert')) throw new Error(`"${table}" ${name}: ${kind} of a row that ${rows.has(name) ? 'is' : 'is not'} there`)
      if (after === undefined) rows.delete(name)
      else rows.set(name, after)
    }
  }

  get state(): TpccState {
    const entries = Object.entries(tpcc.tables).map(([name, table]) => [name, [...(this.#rows.get(table.name)?.values() ?? [])]])
    return Object.fromEntries(entries) as TpccState
  }
}

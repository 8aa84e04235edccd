/** Names for what was inferred, for the signatures of helper functions. */
import type { Read } from './schema/infer.js'
import type { Flat, shape } from './schema/shape.js'
import type { Key, NewRow, Table } from './schema/table.js'
import type { EventType } from './service/event.js'
import type { Service } from './service/service.js'
import type { Tx } from './service/transaction.js'

/** `RowOf<typeof bank.tables.account>`: a row as it is read, of a table or of the answer of a query. */
export type RowOf<T extends { readonly [shape]: { readonly row: unknown } }> = Flat<T[typeof shape]['row']>
/** `ParamsOf<typeof richest>`: what a query is run with. */
export type ParamsOf<Q extends { readonly [shape]: { readonly params: unknown } }> = Q[typeof shape]['params']
/** A row as it is written: what is nullable, defaulted or generated may be left out. */
export type NewRowOf<T extends Table> = NewRow<T[typeof shape]>
/** The key: bare for one column, a tuple for several. */
export type KeyOf<T extends Table> = Key<T[typeof shape]>
/** `InputOf<typeof transfer>`: what a call passes to a procedure or workflow. */
export type InputOf<P extends { readonly [shape]: { readonly input: unknown } }> = P[typeof shape]['input']
export type OutputOf<P extends { readonly [shape]: { readonly output: unknown } }> = P[typeof shape]['output']
/** `PayloadOf<typeof bank.events.transferred>` */
export type PayloadOf<E extends EventType> = Read<E[typeof shape]>
/** `TxOf<typeof bank>`: the transaction of a service's procedures. */
export type TxOf<V extends Service<any>> = Tx<V[typeof shape]>

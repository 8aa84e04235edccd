/** What columns say about rows, inputs and payloads: one rule for all three. */
import type { Column, ColumnKind, ColumnMark } from './column.js'
import type { Flat, Loose, shape } from './shape.js'

export type Columns = Readonly<Record<string, Column>>

/** The names of the columns with one of these marks. */
export type Marked<C extends Columns, M extends ColumnMark> = {
  [P in keyof C]: [C[P][typeof shape]['mark'] & M] extends [never] ? never : P
}[keyof C]
/** The names of the columns of these kinds. */
export type OfKind<C extends Columns, K extends ColumnKind> = {
  [P in keyof C]: C[P][typeof shape]['kind'] extends K ? P : never
}[keyof C]
/** The names of the columns that may be left out when written. */
export type LeftOut<C extends Columns> = Marked<C, 'nullable' | 'default' | 'generated'>

/** What is read: every column, always there. */
export type Read<C extends Columns> = { -readonly [P in keyof C]: C[P][typeof shape]['value'] } & {}
/**
 * What is written: nullable, defaulted and generated columns may be left out, and `undefined` is leaving out.
 */
export type Write<C extends Columns> = [LeftOut<C>] extends [never]
  ? Read<C>
  : Flat<Pick<Read<C>, Exclude<keyof C, LeftOut<C>>> & Loose<Read<C>, LeftOut<C>>>

/** The last argument of a function, which may be left out when nothing in it is required. */
export type Input<T> = {} extends T ? [input?: T] : [input: T]
export type Payload<T> = {} extends T ? [payload?: T] : [payload: T]
export type Details<T> = {} extends T ? [details?: T] : [details: T]
/** Input, then options. */
export type CallWith<Input, Options> = {} extends Input
  ? [input?: Input, options?: Options]
  : [input: Input, options?: Options]

/** A value that can be part of a key. */
export type Scalar = string | number | bigint | boolean | Uint8Array
/**
 * What places a row or call: the value of the partition column, an array of values where there are several.
 */
export type PartitionKey = Scalar | readonly Scalar[]

/** The value of a key or index: bare for one column, a tuple for several. */
export type KeyValue<R, K extends readonly string[]> = K extends readonly [infer P extends keyof R]
  ? R[P]
  : { readonly [I in keyof K]: K[I] extends keyof R ? R[K[I]] : never }
/** Some leading columns of a composite key, not all. */
export type Leading<K extends readonly unknown[]> = K extends readonly [...infer Head, unknown]
  ? Head extends readonly []
    ? never
    : Readonly<Head> | Leading<Head>
  : never
/** A bound of a range: a key, or leading columns of one. */
export type Bound<Key> = Key extends readonly unknown[] ? Key | Leading<Key> : Key

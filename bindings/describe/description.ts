/**
 * An application as data: what `describe(app)` and `db.describe()` answer.
 *
 * Plain objects, frozen by their types only: they can be cloned, compared and sent anywhere. Names are full (`'bank.account'`), columns
 * are named and not counted. JSON Schema, OpenAPI and the HTTP handler are made of this and of nothing else.
 */
import type { ColumnType, ReplicaStrength } from '../../engine/schema/descriptor.js'
import type { OnDelete, ReferenceStrength } from '../schema/column.js'

export interface ColumnDescription {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
  /** May be left out when written: it is nullable, has a default or is generated. */
  readonly optional: boolean
  /** What is stored when it is left out; absent where there is none. */
  readonly default?: unknown
  /** Drawn by the engine when left out. */
  readonly generated: boolean
  readonly unique: boolean
  /** The words of an enum. */
  readonly values?: readonly string[] | undefined
  /** Bounds of numbers, included; bigints for `bigint` columns. */
  readonly min?: number | bigint | undefined
  readonly max?: number | bigint | undefined
  /** Greater than zero. */
  readonly positive: boolean
  readonly notBlank: boolean
  /** In UTF-16 code units for text, in bytes for `bytes`. */
  readonly maxLength?: number | undefined
  readonly pattern?: { readonly source: string; readonly flags: string } | undefined
  /** Rules that only a function can check, by name. */
  readonly checks: readonly string[]
  /** A `json` column that a schema of the application checks. */
  readonly hasSchema: boolean
}

export interface IndexDescription {
  readonly name: string
  readonly on: readonly string[]
  readonly range: boolean
  readonly unique: boolean
  /**
   * Its values do not say in which partition the rows are: reading by it (and, where it is unique, writing) takes a call to the
   * cross-partition lane.
   */
  readonly crossPartition: boolean
}

export interface ReferenceDescription {
  readonly name: string
  readonly on: readonly string[]
  /** The full name of the table that it leads to. */
  readonly to: string
  readonly onDelete: OnDelete
  /** When it is checked. */
  readonly strength: ReferenceStrength
  /** The row that it leads to may be in another partition: checking it takes a call to the cross-partition lane. */
  readonly crossPartition: boolean
}

export interface TableDescription {
  readonly name: string
  readonly service: string
  readonly columns: readonly ColumnDescription[]
  readonly key: readonly string[]
  /** The columns of the key that place a row, or `'global'`. */
  readonly partition: readonly string[] | 'global'
  /** The primary key can be scanned in order. */
  readonly ordered: boolean
  readonly indexes: readonly IndexDescription[]
  readonly references: readonly ReferenceDescription[]
  /** Rules of a whole row, by name. */
  readonly checks: readonly string[]
  /**
   * Writing may take a call to the cross-partition lane: the table is global, has a unique index of several partitions, or a reference
   * leads from it or to it that does not stay in one partition.
   */
  readonly crossPartitionWrites: boolean
}

export interface ReplicaDescription {
  readonly name: string
  readonly service: string
  /** The full name of the table that it shows. */
  readonly source: string
  /** What it shows of it, the key included. */
  readonly columns: readonly ColumnDescription[]
  readonly key: readonly string[]
  readonly strength: ReplicaStrength
}

export interface EventDescription {
  readonly name: string
  readonly service: string
  readonly columns: readonly ColumnDescription[]
  /** What runs inside the transaction that emits it, in this order. */
  readonly atomicHandlers: readonly string[]
}

export interface ProcedureDescription {
  readonly name: string
  readonly service: string
  /** The aggregate of the service that it is of: a command, or `load`. */
  readonly aggregate?: string
  readonly input: readonly ColumnDescription[]
  /** Where it begins: `'snapshot'` is never sequenced. A call that leaves its partition goes on in the cross-partition lane. */
  readonly lane: 'partition' | 'cross-partition' | 'snapshot'
  readonly readonly: boolean
  /** What it reads: what stands in its place of the order, or a snapshot. */
  readonly isolation: 'serializable' | 'snapshot'
}

export interface AbortDescription {
  readonly service: string
  /** The aggregate of the service that declares it. */
  readonly aggregate?: string
  /** The word of `tx.abort`. */
  readonly reason: string
  readonly columns: readonly ColumnDescription[]
}

/** Tables, events, procedures and declared reasons of an application; each list in the order of its services. */
export interface Description {
  readonly services: readonly string[]
  readonly tables: readonly TableDescription[]
  readonly replicas: readonly ReplicaDescription[]
  readonly events: readonly EventDescription[]
  readonly procedures: readonly ProcedureDescription[]
  readonly aborts: readonly AbortDescription[]
}

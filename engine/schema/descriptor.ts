/**
 * The data model and the program as the engine sees them.
 *
 * Descriptors are plain data: they are written into the log, compared between threads, and explain old bytes without any
 * source code. A program adds the functions, which every thread gets by loading the same module. Columns, tables,
 * procedures and events are known by their place (an ordinal) inside the engine and by name outside of it.
 */

export const columnTypes = [
  'bool', 'i32', 'u32', 'int', 'f64', 'bigint', 'text', 'bytes', 'json', 'timestamp', 'uuid', 'enum',
] as const
export type ColumnType = (typeof columnTypes)[number]

export interface ColumnDescriptor {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
  /** The words of an enum; the stored number is the place in this list. */
  readonly values?: readonly string[]
  /** What is stored when the column is left out (already in its stored form: a number, text, bigint, bytes, boolean, JSON value). */
  readonly default?: unknown
  readonly generated?: boolean
  readonly unique?: boolean
  /** Bounds of numbers, included; for `bigint` columns they are bigints. `.positive()` is `min: 1` for whole numbers. */
  readonly min?: number | bigint
  readonly max?: number | bigint
  /** `.positive()` of an f64: greater than zero. */
  readonly positive?: boolean
  readonly notBlank?: boolean
  /** In UTF-16 code units, as `String.prototype.length` counts. */
  readonly maxLength?: number
  readonly pattern?: { readonly source: string; readonly flags: string }
}

/** The fields of a procedure's input or an event's payload. */
export interface RecordDescriptor {
  readonly columns: readonly ColumnDescriptor[]
}

/** A column, and the value that it must have (in its stored form, or null). */
export interface IndexCondition {
  readonly column: number
  readonly value: unknown
}

export interface IndexDescriptor {
  readonly name: string
  /** Ordinals of columns. */
  readonly on: readonly number[]
  readonly range: boolean
  readonly unique: boolean
  /** The index holds the rows of which all of these are true; undefined: every row. */
  readonly where?: readonly IndexCondition[]
}

export interface TableDescriptor {
  /** Full name: `'bank.account'`. */
  readonly name: string
  readonly columns: readonly ColumnDescriptor[]
  /** Ordinals of columns, in key order. */
  readonly key: readonly number[]
  /** Ordinals of the key columns that place the row, or `'global'`. */
  readonly partition: readonly number[] | 'global'
  readonly ordered: boolean
  readonly indexes: readonly IndexDescriptor[]
}

export interface EventDescriptor extends RecordDescriptor {
  /** Full name: `'bank.transferred'`. */
  readonly name: string
  /** Of its columns, as the application counts them; undefined: 1. */
  readonly shape?: number
}

/** The engine's own procedure, which ends interactive transactions; no user's can have this name (R64). */
export const transactName = '$transact'

/** The engine's own procedure that notes how far handlers and replicas have come. */
export const cursorName = '$cursor'

/** The engine's own procedure that copies rows into replicas. */
export const replicateName = '$replicate'
/** The engine's own procedures that note how far a durable consumer has come, and what it has parked. */
export const markName = '$mark'
export const parkName = '$park'

export interface ProcedureDescriptor extends RecordDescriptor {
  /** Full name: `'bank.transfer'`. */
  readonly name: string
  readonly placed: boolean
  /** Runs on a snapshot and is never sequenced. */
  readonly readonly?: true
  /** What it reads; left out: `serializable`, what stands in its place. */
  readonly isolation?: 'snapshot'
}

/** What a database is, as data. Its hash is compared between main and workers, its tables with the log. */
export interface CatalogDescriptor {
  readonly tables: readonly TableDescriptor[]
  readonly events: readonly EventDescriptor[]
  readonly procedures: readonly ProcedureDescriptor[]
}

/** A named rule of one column that only a function can check. */
export interface ColumnCheck {
  /** Ordinal of the column. */
  readonly column: number
  readonly name: string
  readonly holds: (value: never) => boolean
}

/** Checks the value of a `json` column, as a Standard Schema does: an answer with `issues`, or with the `value` to store. */
export interface JsonCheck {
  readonly column: number
  readonly validate: (value: unknown) => unknown
}

/** What descriptors cannot carry: the functions of the columns of a table, an input or a payload. */
export interface ColumnRules {
  readonly checks: readonly ColumnCheck[]
  readonly json: readonly JsonCheck[]
}

/** A named rule of a whole row, which holds when a transaction ends (R26). */
export interface RowCheck {
  readonly name: string
  readonly holds: (row: never) => boolean
}

export type OnDelete = 'restrict' | 'cascade' | 'setNull'
/** When a reference is checked: when its transaction ends, when its batch is sealed, or behind its commit. */
export type ReferenceStrength = 'strong' | 'batch' | 'eventual'

/** Columns of a row that hold the key of another row, or a null among them. */
export interface ReferenceProgram {
  readonly name: string
  /** Ordinals of columns, in the order of the key that they give. */
  readonly on: readonly number[]
  /** Ordinal of the table that it leads to. */
  readonly to: number
  readonly onDelete: OnDelete
  readonly strength: ReferenceStrength
}

/** Whose data a row is, and what an erasure leaves of it. */
export interface SubjectRule {
  /** Ordinals of columns: a row is of every subject that stands in one of them. */
  readonly columns: readonly number[]
  /** Ordinals of columns that become null, those of the subject among them; undefined: the row goes. */
  readonly blank?: readonly number[]
}

export interface TableProgram extends ColumnRules {
  readonly descriptor: TableDescriptor
  readonly subject?: SubjectRule
  /** In order of declaration. */
  readonly rowChecks?: readonly RowCheck[]
  readonly references?: readonly ReferenceProgram[]
}

/** Makes an event of an older shape into one of today's. */
export type EventUpcast = (payload: Readonly<Record<string, unknown>>, shape: number) => Readonly<Record<string, unknown>>

export interface EventProgram extends ColumnRules {
  readonly descriptor: EventDescriptor
  /** Ordinals of columns: an event is of every subject that stands in one of them. */
  readonly subject?: readonly number[]
  /** Undefined where there has been one shape only. */
  readonly upcast?: EventUpcast
}

export type PartitionValue = string | number | bigint | boolean | Uint8Array

export interface ProcedureProgram extends ColumnRules {
  readonly descriptor: ProcedureDescriptor
  /** What users hold and pass to `tx.call`. */
  readonly handle: object
  /** Ordinal of the service, in `Program.services`. */
  readonly service: number
  readonly partition: ((input: never) => PartitionValue | readonly PartitionValue[]) | undefined
  /** Several places: where they are one partition, in its lane, else in the cross-partition lane. */
  readonly partitions?: ((input: never) => readonly (PartitionValue | readonly PartitionValue[])[]) | undefined
  /** Calls with an id are one request whatever their input is: it is what one run of a body came to, and differs from run to run. */
  readonly isKnownByName?: true
  readonly run: (tx: never, input: never) => unknown
}

/** A handler that runs inside the emitting transaction (`atomic: true`). */
export interface AtomicHandlerProgram {
  /** Full name: `'bank.book'`. */
  readonly name: string
  /** Ordinal of the service whose tables `tx.db` shows. */
  readonly service: number
  /** Ordinals of the events it waits for: one, or all of several that it `joins`. */
  readonly events: readonly number[]
  /** It gets a list, once, when each of its events has been emitted. */
  readonly joins: boolean
  /** Ordinals of the events that it may emit, itself or by what it calls; undefined: it has not said. */
  readonly emits: readonly number[] | undefined
  readonly run: (tx: never, event: never) => unknown
}

/** An event as a handler gets it that runs after the commit, with its place in the log. */
export interface LoggedEvent {
  readonly batch: number
  readonly index: number
  readonly time: number
  readonly payload: Readonly<Record<string, unknown>>
}

/** A handler that runs after the commit, in a transaction of its own. */
export interface HandlerProgram {
  /** Full name: `'bank.note'`. */
  readonly name: string
  /** Ordinal of the service whose tables `tx.db` shows. */
  readonly service: number
  /** Ordinal of the event. */
  readonly event: number
  /** Of the payload: where it runs, and its key. Undefined: in the cross-partition lane, all events one after the other. */
  readonly partition: ProcedureProgram['partition']
  /** It waits for changes that may break this reference and announces the event, where others wait for the event. The engine's own. */
  readonly watches?: { readonly table: number; readonly reference: string }
  readonly run: (tx: never, event: LoggedEvent) => unknown
}

/**
 * What a part of a service (an aggregate, a projection) is to the service that has it, over the `tx` of the part. Made once for each
 * transaction; `fail` makes an error the outcome of the transaction. The engine knows only that there is such a thing.
 */
export type OpenPart = (inside: { readonly tx: object; readonly isReadOnly: boolean; fail(error: Error): never }) => unknown
/** Under which word of `tx` the parts of a service are found: `tx.aggregate.cart`. */
export type PartKind = 'aggregate' | 'projection'

export interface ServiceProgram {
  readonly name: string
  /** Its parts, each a service of its own, by kind and name, with ordinals into `Program.services`. */
  readonly parts?: ReadonlyMap<PartKind, ReadonlyMap<string, number>>
  /** It is such a part: what its owner has of it. */
  readonly opens?: OpenPart
  /** Names as the service says them, with ordinals into `Program.tables` and `Program.events`. */
  readonly tables: ReadonlyMap<string, number>
  readonly events: ReadonlyMap<string, number>
  /** Tables of other services that it may read, by the names that it gives them. */
  readonly reads?: ReadonlyMap<string, number>
  /** Its replicas, by the names that it gives them, with ordinals into `Program.replicas`. */
  readonly replicas?: ReadonlyMap<string, number>
  /** Declared reasons of `tx.abort`; undefined when the service declares none, and any word will do. */
  readonly aborts: ReadonlyMap<string, RecordDescriptor & ColumnRules> | undefined
}

/**
 * What a replica shows: the source as it stands in this transaction, as the last batch left it, or as rows of its own that follow.
 */
export type ReplicaStrength = 'strong' | 'batch' | 'eventual'

/** Some columns of a table of another service, as a service reads them. */
export interface ReplicaProgram {
  /** The table that it is to its readers: full name (`'cart.product'`), the key and the chosen columns, in the order of the source. */
  readonly descriptor: TableDescriptor
  /** Ordinal of the table that it shows. */
  readonly source: number
  readonly strength: ReplicaStrength
  /** Ordinal of the table that holds its rows: `eventual` only. */
  readonly table?: number
}

/** A table as a query inside of a procedure reads it: through the handle that the procedure itself has. */
export interface QueriedTable {
  readonly descriptor: TableDescriptor
  readonly handle: object
}
/** Answers `tx.query`. The engine knows tables, the floor above it knows queries; `tableOf` refuses tables of other services. */
export type RunQuery = (query: unknown, tableOf: (name: string) => QueriedTable, parameters: unknown, options: unknown) => readonly unknown[]

/** A projection that somebody on main follows the log for. The engine carries it, and knows nothing of it. */
export interface ProjectionProgram {
  /** Full name: `'report.totals'`. */
  readonly name: string
  readonly version: number
  /** It is written in the transactions of its events, and follows the log only while it is built. */
  readonly isInline: boolean
  readonly keepsOld: boolean
  /** What it follows, by full name, in the order in which its functions are numbered. */
  readonly events: readonly string[]
  readonly changes: readonly string[]
  /** Of its tables, as it says them. */
  readonly tables: readonly string[]
}

/** An application as every thread holds it after loading the module that defines it. */
export interface Program {
  readonly url: string
  readonly services: readonly ServiceProgram[]
  readonly tables: readonly TableProgram[]
  readonly events: readonly EventProgram[]
  readonly procedures: readonly ProcedureProgram[]
  readonly atomicHandlers: readonly AtomicHandlerProgram[]
  readonly runQuery?: RunQuery
  readonly replicas?: readonly ReplicaProgram[]
  readonly projections?: readonly ProjectionProgram[]
  readonly handlers: readonly HandlerProgram[]
  /** Of the data model, as the application counts it; undefined: 1. */
  readonly version?: number
  /** By the version that they lead to, ascending. */
  readonly migrations?: readonly Migration[]
}

/** The rows of a table before, one at a time or by key; for migrations. */
export interface OldTable extends Iterable<Readonly<Record<string, unknown>>> {
  /** By key: a value, or a list of values in the order of the key's columns. */
  get(key: unknown): Readonly<Record<string, unknown>> | undefined
}
export type OldDatabase = Readonly<Record<string, OldTable>>
export type OldRow = Readonly<Record<string, unknown>>
/** What becomes of a row: another one, several, or none. */
export type RowMigration = (row: OldRow, old: OldDatabase) => OldRow | readonly OldRow[] | null | undefined

export interface TableMigration {
  /** Full name of the table whose rows are read. */
  readonly from: string
  readonly rows: RowMigration
}
export interface Migration {
  readonly version: number
  /** By full name of the table that is made; `'drop'`: it goes, with its rows. */
  readonly tables: ReadonlyMap<string, TableMigration | 'drop'>
}

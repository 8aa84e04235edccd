/** What binds an application to the engine: definitions, the program they become, the types of a database. */
export { referenceViolated } from './service/reference-violated.js'
export { column } from './schema/column.js'
export type {
  BigintColumn, Column, ColumnKind, ColumnMark, ColumnTypes, IntColumn, Later, NumberColumn, OnDelete, ReferenceOptions, ReferenceStrength,
  StandardSchema, TextColumn,
} from './schema/column.js'
export type { Columns, PartitionKey, Read, Scalar, Write } from './schema/infer.js'
export { replica } from './schema/replica.js'
export type { Replica, ReplicaStrength } from './schema/replica.js'
export { table } from './schema/table.js'
export type { IndexShape, Key, NewRow, Row, Table, TableShape } from './schema/table.js'
export type { InputOf, KeyOf, NewRowOf, OutputOf, ParamsOf, PayloadOf, RowOf, TxOf } from './inferred-names.js'

export { select } from './query/select.js'
export type {
  Answered, ParameterTerms, Query, Queryable, QueryOptions, QueryWith, RowTerms, Select,
} from './query/select.js'
export {
  and, asc, avg, count, desc, eq, gt, gte, isNotNull, isNull, lt, lte, max, min, ne, not, oneOf, or, sum,
} from './query/term.js'
export type { Comparable, Condition, Expression, Ordering, Term } from './query/term.js'
export type { QueryPlan } from '../query/logical-plan.js'

export { aggregate } from './sourcing/aggregate.js'
export type {
  Aggregate, AggregateShape, AggregateStream, AppendOptions, Command, CommandInput, AppendCondition, Decision, EventMoment, EventRow,
  ExpectedVersion, NewEvent, RecordedEvent, ServedAggregate,
} from './sourcing/aggregate.js'
export { event } from './sourcing/event-history.js'
export type { ColumnsOf, EventHistory, EventSource } from './sourcing/event-history.js'

export { projection } from './sourcing/projection.js'
export type {
  Projected, Projection, ProjectionHandle, ProjectionShape, ProjectionState, ProjectionStatus, ProjectionTx,
} from './sourcing/projection.js'

export { service } from './service/service.js'
export type { Service } from './service/service.js'
export type { ServiceShape } from './service/service-shape.js'
export type { AbortError, AbortType, AnyEvent, Delivered, Emitted, EventType } from './service/event.js'
export type { Procedure } from './service/procedure.js'
export type { Clock } from './service/clock.js'
export type { Draft, ReadTx, Tx } from './service/transaction.js'
export type {
  Accessor, Deltas, DraftTable, Frozen, Get, IndexGet, IndexRange, IndexRow, IndexRows, IndexScan, Live,
  OrderedDraftTable, OrderedReader, OrderedReadTable, OrderedTxTable, Patch, Put, Range, Reader, ReaderOf,
  ReadTable, Scan, TxTable, UniqueGet,
} from './service/table-handles.js'
export type {
  Messages, Retries, Run, RunStatus, Workflow, WorkflowContext, WorkflowStep,
} from './service/workflow.js'

export type { AnyChange, Change } from './change.js'
export { formatPosition, Position, positionParts } from './position.js'
export type { PositionParts, Start } from './position.js'
export { only } from './only.js'
export type { KeyPrefix, Only, OnlyThese, OnlyWhere } from './only.js'
export type { ColumnOutline, EventOutline, SchemaChange, SchemaDifference, SchemaOutline, TableOutline } from './schema-change-types.js'
export type {
  ChangeOf, ChangesOptions, Commit, CommitOf, EventOf, ReadableOf, ServicesOptions, SlowSubscriber, Stream, StreamFilter, StreamOptions,
} from './stream-types.js'
export type {
  Consumer, ConsumerHandler, ConsumerKey, ConsumerOptions, Consumers, ConsumerStats, ConsumerSummary, Delivery, ParkedChoice, ParkedDelivery,
  ParkedOptions, RedeliveryOptions,
} from './consumer-types.js'
export type { AsOfOptions, CompensateOptions, ForkOptions, History, HistoryOptions, RowVersion } from './time-types.js'
export type { Duration, Signal, SignalLike } from './signal.js'
export type {
  BackupOptions, BackupProgress, BackupResult, CallManyOptions, CallOptions, CheckpointOptions, CheckpointProgress, CheckpointResult, Database,
  Durability, Fork, OpenOptions, OpenProgress, Outcome, QueueOptions, Receipt, RetentionOptions, Snapshot, StreamRetention, WhenFull,
} from './database-types.js'

export type { EraseOptions, EraseProgress, ErasureRecord, ErasureSubject } from './erasure-types.js'
export type { EraseRule } from './schema/subject.js'
export type { HandlerFailure } from './handler-failure.js'
export type { DatabaseStats, HandlerStats, ReplicaStats, StageStats } from './statistics-types.js'

export { app, isApp, programOf } from './app.js'
export type { App } from './app.js'
export type { AppOptions, MigratedRow, MigrateRow, TableMigrations } from './migrations.js'
export type { OldDatabase, OldTable } from '../engine/schema/descriptor.js'
export {
  describeProgram, eventOrdinal, ordinalsOf, procedureOrdinal,
  tableOrdinal,
} from './catalog.js'
export { describe } from './describe/describe.js'
export type {
  AbortDescription, ColumnDescription, Description, EventDescription, IndexDescription, ProcedureDescription, ReferenceDescription,
  ReplicaDescription, TableDescription,
} from './describe/description.js'
export { open } from './open.js'

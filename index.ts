/// <reference lib="esnext.disposable" preserve="true" />
// The line above brings Symbol.asyncDispose to users of any `lib`; without `preserve` tsc would drop it.

/** SluiceDB: an in-memory, multi-version database whose write-ahead log is the event bus. */
export { SluiceError } from './engine/base/errors.js'
export type { ErrorCode } from './engine/base/errors.js'
export {
  aggregate, and, app, asc, avg, column, count, desc, describe, eq, event, gt, gte, isNotNull, isNull, lt, lte, max,
  min, ne, not, oneOf, only, open, or, Position, projection, referenceViolated, replica, select, service, sum, table,
} from './bindings/index.js'
export type {
  Aggregate, AggregateShape, AggregateStream, AppendCondition, AppendOptions, ColumnsOf, Command, CommandInput, Decision, EventHistory,
  EventMoment, EventRow, EventSource, ExpectedVersion, NewEvent, Projected, Projection, ProjectionHandle, ProjectionShape,
  ProjectionState, ProjectionStatus, ProjectionTx, RecordedEvent, ServedAggregate,
  AbortDescription, AbortError, AbortType, Accessor, Answered, AnyChange, AnyEvent, App, AppOptions, AsOfOptions, BackupOptions,
  BackupProgress, BackupResult, BigintColumn, CallManyOptions, CallOptions, Change, ChangeOf, ChangesOptions, CheckpointOptions, CheckpointProgress,
  CheckpointResult, Clock, Column, ColumnDescription, ColumnKind, ColumnMark, ColumnOutline, Columns, ColumnTypes, Commit, CommitOf,
  Comparable, CompensateOptions, Condition, Consumer, ConsumerHandler, ConsumerKey, ConsumerOptions, Consumers,
  ConsumerStats, ConsumerSummary, Database, DatabaseStats, Delivered, Delivery, Deltas, Description, Draft,
  DraftTable, Durability, Duration, Emitted, EraseOptions, EraseProgress, EraseRule, ErasureRecord, ErasureSubject, EventDescription,
  EventOf, EventOutline, EventType, Expression, Fork, ForkOptions, Frozen, Get, HandlerFailure, HandlerStats, History,
  HistoryOptions, IndexDescription, IndexGet, IndexRange, IndexRow, IndexRows, IndexScan, IndexShape, InputOf,
  IntColumn, Key, KeyOf, KeyPrefix, Later, Live, Messages, MigratedRow, MigrateRow, NewRow, NewRowOf, NumberColumn,
  OldDatabase, OldTable, OnDelete, Only, OnlyThese, OnlyWhere, OpenOptions, OpenProgress, OrderedDraftTable, OrderedReader,
  OrderedReadTable, OrderedTxTable, Ordering, Outcome, OutputOf, ParameterTerms, ParamsOf, ParkedChoice,
  ParkedDelivery, ParkedOptions, PartitionKey, Patch, PayloadOf, Procedure, ProcedureDescription, Put, Query,
  Queryable, QueryOptions, QueryPlan, QueryWith, QueueOptions, Range, Read, ReadableOf, Reader, ReaderOf, ReadTable,
  ReadTx, Receipt, RedeliveryOptions, ReferenceDescription, ReferenceOptions, ReferenceStrength, Replica,
  ReplicaDescription, ReplicaStats, ReplicaStrength, RetentionOptions, Retries, Row, RowOf, RowTerms, RowVersion, Run,
  RunStatus, Scalar, Scan, SchemaChange, SchemaDifference, SchemaOutline, Select, Service, ServiceShape, ServicesOptions, Signal, SignalLike, SlowSubscriber,
  Snapshot, StageStats,
  StandardSchema, Start, Stream, StreamFilter, StreamOptions, Table, TableDescription, TableMigrations, TableOutline, TableShape, Term,
  TextColumn, Tx, TxOf, TxTable, UniqueGet, WhenFull, Workflow, WorkflowContext, WorkflowStep, Write,
} from './bindings/index.js'

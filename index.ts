/// <reference lib="esnext.disposable" preserve="true" />
// The line above brings Symbol.asyncDispose to users of any `lib`; without `preserve` tsc would drop it.

/** SluiceDB: an in-memory, multi-version database whose write-ahead log is the event bus. */
export { SluiceError } from './engine/base/errors.js'
export type { ErrorCode } from './engine/base/errors.js'
export { app, column, describe, open, Position, service, table } from './bindings/index.js'
export type {
  AbortDescription, AbortError, AbortType, Accessor, AnyChange, AnyEvent, App, AppOptions, BackupOptions, BackupProgress, BackupResult, BigintColumn,
  CallManyOptions, CallOptions, Change, ChangeOf, CheckpointOptions, CheckpointResult, Clock, Column, ColumnDescription, ColumnKind, ColumnMark, Columns, ColumnTypes, Commit, CommitOf, Consumer,
  Database, DatabaseStats, Delivered, Deltas, Description, Draft, DraftTable, Durability, Duration, Emitted, EventDescription, EventOf, EventType, Frozen,
  Get, IndexDescription, IndexGet, IndexRange, IndexRow, IndexRows, IndexScan, IndexShape, InputOf, IntColumn, Key, KeyOf,
  Later, Live, Messages, MigratedRow, MigrateRow, NewRow, NewRowOf, NumberColumn, OldDatabase, OldTable, OnDelete, OpenOptions, OpenProgress, OrderedDraftTable,
  OrderedReader, OrderedReadTable, OrderedTxTable, Outcome, OutputOf, PartitionKey, Patch, PayloadOf,
  Procedure, ProcedureDescription, Put, QueueOptions, Range, Read, Reader, ReaderOf, ReadTable, ReadTx, Receipt, ReferenceDescription, RetentionOptions, Retries, Row, RowOf, Run,
  RunStatus, Scalar, Scan, Service, ServiceShape, Signal, SignalLike, Snapshot, StageStats, StandardSchema, Start,
  Stream, StreamFilter, StreamOptions, Table, TableDescription, TableMigrations, TableShape, TextColumn, Tx, TxOf, TxTable, UniqueGet,
  WhenFull, Workflow, WorkflowContext, WorkflowStep, Write,
} from './bindings/index.js'

/** The engine: rows and batches. Users are known above. */
export { Engine, type AbortLike, type SubmitOptions } from './database.js'
export type { Caller } from './call-table.js'
export { openEngine, type EngineOptions, type OpenEngine } from './open.js'
export type { SnapshotView } from './snapshot-view.js'
export { LogFollower, type FollowerOptions } from './stream/log-follower.js'
export { openPast, type PastStore } from './stream/past.js'
export type { DecodedChange, DecodedEvent, DecodedTransaction, FrameFilter } from './stream/frame-decoder.js'
export type { PlainRow } from './store/row-codec.js'
export type { TableStore, TreePlan } from './store/table-store.js'
export { checkStore } from './store/check.js'
export { mustBeLoadable } from './worker/app-guard.js'
export { programText } from './schema/program-text.js'
export { workerMark } from './worker/worker-mark.js'
export type {
  AtomicHandlerProgram, CatalogDescriptor, ColumnCheck, ColumnDescriptor, ColumnRules, ColumnType, EventDescriptor,
  EventProgram, IndexDescriptor, JsonCheck, PartitionValue, ProcedureDescriptor, ProcedureProgram, Program, RecordDescriptor,
  ServiceProgram, TableDescriptor, TableProgram,
} from './schema/descriptor.js'

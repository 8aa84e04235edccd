/** The log: bytes and positions. What a frame means is known above. */
export {
  changeField,
  changeKind,
  changeWords,
  crossPartitionLane,
  decodeSchema,
  encodeSchema,
  eventField,
  eventWords,
  laneField,
  laneWords,
  layoutBody,
  transactionField,
  transactionWords,
  writeBodyHead,
  type BodyCounts,
  type BodyHead,
  type BodyLayout,
} from './body.js'
export { FrameBodyReader, type LaneSpan } from './body-reader.js'
export { deletedMark, RowBlock, rowWords } from './checkpoint-blocks.js'
export { ChangeBuffer, type SortedChanges } from './checkpoint-changes.js'
export { type ChunkHooks, goOn } from './checkpoint-file.js'
export { LmdbCheckpointStore } from './checkpoint-lmdb.js'
export { PlainCheckpointStore } from './checkpoint-plain.js'
export {
  CheckpointRun,
  CheckpointSet,
  environmentNames,
  type CheckpointCandidate,
  type CheckpointFinished,
  type CheckpointSetOptions,
  type EnvironmentName,
} from './checkpoint-set.js'
export type { Checkpoint, CheckpointAt, CheckpointKind, CheckpointStore } from './checkpoint.js'
export { diskIsFull, isNoSpace, newerFormat, type LogDamage } from './damage.js'
export { databaseIdBytes } from './envelope.js'
export { ErasureJournal, isErasureUnderWay, isHalfErased, withPatches } from './erasure-journal.js'
export type { LogFrame, LogPlace } from './frame-scanner.js'
export { frameSchema } from './frame-schema.js'
export { LogExtent } from './log-extent.js'
export { copyLog, type CopiedLog, type CopyLogOptions } from './log-copy.js'
export {
  inspectLog,
  type DetachedFrames,
  type LogEnd,
  type LogFinding,
  type LogPart,
  type LogVerdict,
  type MissingBatches,
} from './log-inspect.js'
export { detachedFrames } from './log-detached.js'
export { LogReader, type LogReaderOptions } from './log-reader.js'
export { proveLog, rewriteLog, type RewrittenSegment } from './log-rewrite.js'
export { lastFrameBefore, type LogSearch, startsOf } from './log-times.js'
export { LogWriter, type Durability, type FrameAt, type LogWriterOptions, type Preparation } from './log-writer.js'
export { applyRetention, compactable, type HeldSegment, type LogHold, removable, type Removable, type RetentionRules, type Retired } from './retention.js'
export { newestSchema } from './newest-schema.js'
export { recoverLog, type KnownPlace, type LogTail, type RecoveryOptions } from './recovery.js'
export { readSegment, rewriteSegment, type SegmentRewrite } from './segment-rewrite.js'
export { compactedUpTo, listSegments, readSegmentHeadOf, removeSegments, segmentName, syncSegments } from './segment.js'
export {
  FileLogStorage,
  freeBytes,
  realPath,
  systemCalls,
  TemporaryFolder,
  type FileCalls,
  type FileStorageOptions,
} from './storage-file.js'
export {
  MemoryLogStorage,
  type MemoryStorageOptions,
  type StorageFault,
  type StorageOperation,
} from './storage-memory.js'
export type { LogFile, LogStorage } from './storage.js'
export { DirectoryLock } from './directory-lock.js'
export { clearUnfinished, markUnfinished, mustBeFinished } from './unfinished.js'

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
export type { LogDamage } from './damage.js'
export { databaseIdBytes } from './envelope.js'
export type { LogFrame, LogPlace } from './frame-scanner.js'
export { LogReader, type LogReaderOptions } from './log-reader.js'
export { LogWriter, type Durability, type FrameAt, type LogWriterOptions, type Preparation } from './log-writer.js'
export { recoverLog, type LogTail, type RecoveryOptions } from './recovery.js'
export { listSegments, removeSegments } from './segment.js'
export { FileLogStorage, realPath } from './storage-file.js'
export {
  MemoryLogStorage,
  type MemoryStorageOptions,
  type StorageFault,
  type StorageOperation,
} from './storage-memory.js'
export type { LogFile, LogStorage } from './storage.js'
export { DirectoryLock } from './directory-lock.js'

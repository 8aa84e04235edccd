/**
 * Every bound of the system, in one place, and the relations that must hold between them.
 * Units stand at the end of the name. What a user can change is an option; its default is here.
 */
import { assert } from './assert.js'

const KiB = 1_024
const MiB = 1_024 * KiB
const GiB = 1_024 * MiB

export const limits = {
  // requests and batches
  batchRequestsMax: 4_096,
  batchBytesMax: 4 * MiB,
  inputBytesMax: 4 * MiB,
  requestRingBytes: 8 * MiB,
  responseRingBytes: 8 * MiB,
  /** A result longer than this travels through the region and not through the response ring. */
  responseInlineBytesMax: 128,
  callsInFlightMax: 65_536,
  callsInFlightOptionMax: 1_048_576,
  /** Calls that wait for a place in the queue, and the bytes of their inputs. */
  callsInLineMax: 262_144,
  lineBytesMax: 64 * MiB,
  /** Those who wait for room take turns of so many calls. */
  servedAtOnce: 256,
  /**
   * Calls of lists (`submitMany`) in flight: two batches, one that runs and one that is next; fewer while others call beside them, and
   * until so many were handed in without such a call.
   */
  fedMax: 8_192,
  fedBesideOthersMax: 1_024,
  fedAloneMin: 32_768,
  /** A batch runs again without a culprit, or shorter; this often at most. */
  batchRunsMax: 64,
  /** Marks of the oldest history that a domain frees before the lanes of a batch. */
  reclaimMarksPerBatchMax: 4_096,
  requestIdBytesMax: 256,

  // transactions
  transactionBytesMax: 16 * MiB,
  transactionRowsReadMax: 10_000_000,
  laneLogBytesMax: 64 * MiB,
  callDepthMax: 64,

  // interactive transactions
  /** All of them are read again in a lane, where everybody behind waits for it. */
  draftRowsReadMax: 100_000,
  /** Read set and write set together, and what a call with an id answers: they are one input. */
  draftBytesMax: 3 * MiB,
  draftAnswerBytesMax: 512 * KiB,
  draftRetriesMax: 1_000,
  /** Before retry n a draft waits for a random part of this times 2^n, up to the second bound. */
  draftPauseMs: 1,
  draftPauseMsMax: 100,

  eventsPerTransactionMax: 65_536,

  // queries
  queryTablesMax: 8,
  /** Conditions and elements of written lists; a list that is a parameter may be longer. */
  queryConditionsMax: 1_024,
  queryListMax: 65_536,
  /** Plans of one join for different sizes of its tables. */
  queryPlansMax: 64,

  // handlers that run after the commit
  /** Events of one handler that are taken from the log and not done: the ids that are kept beside its cursor. */
  handlerEventsAheadMax: 1_024,
  /** A cursor that is further behind moves though nothing else does. */
  handlerCursorBatchesMax: 65_536,
  /** What failed for want of memory is tried so often. */
  handlerAttemptsMax: 10,
  /** Before retry n a handler waits for this times 2^n, up to the second bound. */
  handlerPauseMs: 5,
  handlerPauseMsMax: 5_000,

  // durable consumers
  /** Of all members of one. */
  consumersMax: 4_096,
  consumerMembersMax: 256,
  /** Deliveries beside each other, for each member; without the option one, and with a key so many. */
  consumerConcurrencyMax: 1_024,
  consumerConcurrencyDefault: 16,
  /** Commits that are taken from the log and not done, and their changes and events; one commit more than these may be there. */
  consumerCommitsAheadMax: 1_024,
  consumerChangesAheadMax: 65_536,
  consumerCommitsReadMax: 64,
  /** How often one commit is tried before it is parked, and the pauses between: the first, doubled each time, up to the second. */
  consumerAttemptsDefault: 5,
  consumerAttemptsMax: 1_000_000,
  consumerBackoffMsDefault: 100,
  consumerBackoffMsMaxDefault: 30_000,
  /** The longest pause that can be asked for: a timer of the platform has no more. */
  consumerPauseMsMax: 2 ** 31 - 1,
  /** Calls of one delivery that carry its id, and refusals of one of them that are recorded. */
  consumerCallsMax: 65_536,
  consumerRefusalsMax: 1_024,
  /** Parked deliveries of one consumer; and those among them that have made calls, whose ids are kept. A full consumer waits. */
  consumerParkedMax: 65_536,
  consumerKeptMax: 1_024,
  /** A longer commit is not copied where it is parked, but read from the log again. */
  consumerParkedCommitBytesMax: 1 * MiB,
  /** What one call parks, in deliveries and bytes. */
  consumerWorksMax: 256,
  consumerWorkBytesMax: 2 * MiB,
  /** Why something was parked, in characters. */
  consumerReasonLengthMax: 1_000,
  consumerKeyBytesMax: 1_024,
  /** How far a consumer has come is noted when so many commits are done, after so long, or when the log is so far ahead. */
  consumerMarkCommits: 256,
  consumerMarkMs: 50,
  consumerMarkBatches: 1_024,
  /** Closing waits so long for a handler that does not end. */
  consumerCloseMsMax: 5_000,
  /** How much of the log one that is behind holds back (`retention.consumerBytes`). */
  consumerLogBytesDefault: 1_024 * MiB,

  // replicas that follow
  /** Transactions that one takes from the log at a time, about; their keys are copied before it takes more. */
  replicaTransactionsAheadMax: 1_024,
  /** Keys that one call copies, and bytes of keys. */
  replicaKeysMax: 256,
  replicaKeysBytesMax: 256 * KiB,

  // projections
  /** What has happened, of one step: about so many are taken from the log at a time. */
  projectionItemsMax: 512,
  /** Rows that one step removes from tables that nobody reads. */
  projectionKeysMax: 1_024,

  // speculation
  /** Runs of one batch on their way to the sequencer, for each worker; what finds no room runs in order. */
  speculationLogBytes: 32 * MiB,
  /** Copies of rows that runs of one batch write, for each worker: a 256th of the memory between these. */
  speculationScratchBytesMin: 64 * KiB,
  speculationScratchBytesMax: 16 * MiB,
  /** Below so many requests of the cross-partition lane a barrier costs more than it can give. */
  speculatedRequestsMin: 8,
  /** Batches in one mode until the other is tried again. */
  speculationProbeBatches: 64,

  // the log
  framesAheadMax: 8,
  /** The ring is twice as long, and stays resident: R43 allows 32 MiB, a quarter of it keeps eight frames of 4,096 transfers. */
  frameBytesAheadMax: 8 * MiB,
  frameBytesMax: 1 * GiB,
  segmentBytes: 64 * MiB,
  memoryLogBytes: 64 * MiB,

  // checkpoints
  /** One is made each time the log has grown by so much: about a second of replay. */
  checkpointLogBytesDefault: 256 * MiB,
  checkpointLogBytesMin: 1 * MiB,
  /** Changes that are collected before they are brought into a checkpoint, and their bytes; the last one may be longer. */
  checkpointChangesMax: 1_048_576,
  checkpointChangeBytesMax: 64 * MiB,
  /** One step of bringing a checkpoint forward: this many changes rewrite this many blocks at most, 16 MiB. */
  checkpointStepChangesMax: 2_048,
  checkpointStepBytesMax: 4 * MiB,
  /** Files are copied and their checksums taken in chunks. */
  checkpointChunkBytes: 4 * MiB,
  /** So much of a checkpoint is mapped at a time while it is read into a database that opens. */
  checkpointMappedBytesMax: 64 * MiB,
  /** Address space, not memory: LMDB does not have to move its map up to here. */
  checkpointMapBytes: 64 * GiB,

  // memory
  memoryBytesDefaultMax: 4 * GiB,
  memoryBytesMax: 16 * GiB,
  memoryBytesMin: 16 * MiB,
  extentBytesMin: 4 * KiB,
  extentBytesMax: 256 * KiB,
  historyHoldBytes: 64 * MiB,
  expireSnapshotsAbove: 0.8,
  pushBackAbove: 0.9,

  /** A guard ends the mapping of each region up to this size (shared/region.ts). */
  guardBytes: 64 * KiB,
  guardedBytesMax: 4 * GiB,

  /** Blocks of memory in between may come from the heap of the C library (shared/buffers.ts). */
  heapBlockBytesMin: 128 * KiB,
  heapBlockBytesMax: 33 * MiB,

  // partitions and threads
  partitionsDefault: 16,
  partitionsMax: 1_024,
  workersMax: 64,
  /** `workers: 'auto'`: beyond this the one sequencer is the next bound. */
  workersAutoMax: 8,
  /** What procedures may have on the heap of their worker: far more than a transaction can read or write. */
  workerHeapBytes: 512 * MiB,
  snapshotSlots: 1_024,

  // rows and keys
  rowBytesMax: 16 * KiB,
  longValueBytesMax: 16 * MiB,
  keyBytesMax: 1 * KiB,
  columnsMax: 256,
  namesLengthMax: 63,
  hashPieceEntriesMax: 65_536,

  // outcomes of calls with an id
  outcomeWindowMsDefault: 10 * 60 * 1_000,
  outcomesMax: 1_000_000,
  outcomesExpiredPerBatchMax: 1_024,

  // opening with a changed application
  /** Rows that a refusal names. */
  schemaRowsNamedMax: 5,
  /** Rows of one transaction of a migration. */
  migrationRowsMax: 1_024,

  // erasure
  /** Of rewritten frames that are recorded together before they are written. */
  erasurePatchBytes: 8 * MiB,
  /** Rows that one transaction of an erasure deletes or blanks: a subject with no more is gone in one commit. */
  erasureRowsMax: 4_096,
  /** Recorded answers that one commit of an erasure blanks. */
  erasureAnswersMax: 1_024,
  /** Bytes of a subject. */
  erasureSubjectBytesMax: 1 * KiB,

  // retention within segments
  /** `retention.streams`. */
  retentionStreamsMax: 64,
  /** A segment is written anew when so much of it leaves; the log is looked through when so much of it may be new. */
  compactionShareMin: 0.25,
  /** Of keys that are noted while the log is looked through: of what does not fit, older changes stay. */
  compactionKeyBytes: 64 * MiB,

  // time travel
  /** Of memory for what the transactions of one fork touch. */
  forkBytes: 512 * MiB,
  /** Versions of a row that are kept while its history is read in reverse. */
  historyVersionsMax: 1_024,
  /** How often a compensation that met another transaction looks again. */
  compensationRetries: 10,

  // streams
  /** Commits that wait in memory for one subscriber; by default, and as an option. */
  streamBufferCommitsMax: 1_024,
  streamBufferCommitsOptionMax: 65_536,
  /** The same in bytes of rows and payloads; the last commit may be longer. */
  streamBufferBytesMax: 4 * MiB,
  streamReadBytes: 1 * MiB,
  /** What the hub hands out before the event loop turns. Half of a buffer, so that who keeps up is never behind. */
  streamTurnCommitsMax: 512,
  /** Keys that a stream with `slow: 'conflate'` merges into one commit. */
  streamMergedKeysMax: 16_384,
  /** Rows of one commit of a snapshot. */
  streamSnapshotRowsMax: 512,
  /** How much log is kept for a stream with `slow: 'wait'`. */
  streamHeldBytesMax: 1 * GiB,
  /** A stream reports its progress at most that often. */
  streamProgressMs: 100,

  // http (bindings/adapters); those that are options say so
  httpBodyBytesMax: 8 * MiB,
  /** Bodies that are being read and have not become inputs, of all requests of a handler together. */
  httpBodiesBytesMax: 256 * MiB,
  httpBodyMsMax: 30_000,
  httpCallMsMax: 30_000,
  httpAddressLengthMax: 16 * KiB,
  httpPageRowsDefault: 100,
  httpPageRowsMax: 1_000,
  /** A page ends with the row that reaches so many characters of JSON. */
  httpPageBytesMax: 4 * MiB,
  /** Reads of an older position may lay a checkpoint into memory: so many at once. */
  httpPastReadsMax: 4,
  /** Digits of a bigint inside of JSON: reading them takes the square of their number. */
  jsonBigintDigitsMax: 1_000,
  httpStreamsMax: 1_024,
  /** What waits for one slow reader of a stream, beyond one commit. */
  httpStreamBytesMax: 256 * KiB,
  httpHeartbeatMs: 15_000,
  /** A stream that is refused within this time is refused with its status; later it ends with an event. */
  httpFirstLookMs: 50,

  // bridges to NATS (bindings/nats)
  /** Messages that are published and not acknowledged, and messages that are taken and not done; both are options up to the second bound. */
  natsAheadDefault: 256,
  natsAheadMax: 4_096,
  /** A cursor moves after so many messages, or so long after the first that it has not passed. */
  natsCursorMessages: 256,
  natsCursorMs: 1_000,
  /** Before try n of a session, or of a call, a bridge waits for this times 2^n, up to the second bound. */
  natsPauseMs: 10,
  natsPauseMsMax: 5_000,
  /** How long an acknowledgement of the server is waited for. */
  natsAckMs: 2_000,
  /** How long one request for messages stands; so long after a server came back too early the client asks again. */
  natsPullMs: 2_000,
  /** How often a message is tried whose call is refused. */
  natsAttemptsDefault: 5,
  natsAttemptsMax: 1_000,
  /** Refusals of the call of one message that are recorded, over all sessions; then the recorded one is final. */
  natsRefusalsMax: 65_536,

  // watching
  procedureMsMax: 5_000,
  lookEveryMs: 200,
  /** Turns of the event loop without news after which main sleeps. */
  idleTurnsMax: 200,
  /**
   * Answers that main hands out in one turn where another thread has its part in a call, and requests it publishes together: what
   * follows from the first ones is under way while main is at the next ones, and no thread waits for another to end.
   */
  answersPerTurnMax: 256,
  longTurnMs: 2,
  requestsPublishedMax: 256,
  /** How long batches may run on main before the event loop turns (`workers: 0`). */
  inlineMsMax: 4,
  /** After so long without a frame, a certificate says that the last one is on disk. */
  certifyAfterMs: 50,
  /** Reads and writes that say EINTR or EAGAIN so often in a row have failed. */
  interruptedCallsMax: 100,
  /** How often a full disk is tried again, while writing calls are refused. */
  diskRetryMs: 1_000,
  spinMs: 0.1,
  turnEveryMs: 50,
} as const

assert(limits.inputBytesMax < limits.requestRingBytes, 'the longest input fits into the request ring')
assert(limits.draftBytesMax + limits.draftAnswerBytesMax + KiB <= limits.inputBytesMax, 'the longest draft is an input')
assert(limits.fedMax >= 2 * limits.batchRequestsMax, 'lists alone fill a batch while another runs')
assert(limits.batchRequestsMax <= limits.callsInFlightMax, 'a full batch can be in flight')
assert(
  (limits.framesAheadMax + 1) * limits.batchRequestsMax * (limits.responseInlineBytesMax + 64) <= limits.responseRingBytes,
  'the answers of all batches ahead of durable fit into one response ring, so that a lane never waits for main',
)
assert(limits.inputBytesMax <= limits.httpBodyBytesMax && limits.httpBodyBytesMax <= limits.httpBodiesBytesMax, 'the longest input has a body')
assert(2 * limits.streamTurnCommitsMax <= limits.streamBufferCommitsMax, 'a subscriber that reads in every turn of the event loop is never behind')
assert(limits.frameBytesAheadMax <= limits.frameBytesMax, 'one frame may be all that is ahead')

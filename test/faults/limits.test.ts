/**
 * Row 31: every bound of engine/base/limits.ts at 0, 1, max - 1, max and max + 1, and counters near the numbers at which
 * they wrap. What is not reached here says where it is, or why nobody can reach it (`elsewhere`).
 *
 * A bound counts as kept when everything up to it works and everything beyond it is refused with a code that its page in
 * docs/errors.md explains, at once, with nothing left behind.
 */
import { app, column as c, open, service, SluiceError, table, type Database } from 'sluicedb'
import { describe } from 'vitest'
import { Engine } from '../../dist/engine/database.js'
import { nodeEnvironment } from '../../dist/engine/base/environment-node.js'
import { limits as builtLimits } from '../../dist/engine/base/limits.js'
import { checkStore, type OpenEngine } from '../../dist/engine/index.js'
import { loggedCatalog } from '../../dist/engine/schema/catalog.js'
import { Control } from '../../dist/engine/shared/control.js'
import { Store } from '../../dist/engine/store/store.js'
import { createPlan, EngineParts, withSystemTables } from '../../dist/engine/worker/engine-plan.js'
import { ThreadHost } from '../../dist/engine/worker/thread-host.js'
import { SluiceDatabase } from '../../dist/bindings/database.js'
import { limits } from '../../engine/base/limits.js'
import { openInside, programOf } from '../support/inside.js'
import fragileApp, { fragile } from './apps/fragile-app.js'
import limitsApp, { answer, edge, look, nest, put, putKey, say, take, touch } from './apps/limits-app.js'
import { Told, type Order } from './apps/told.js'
import { faultRow, type FaultRun } from './row.js'

type Limit = keyof typeof limits
const MiB = 2 ** 20

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'ok',
    (error: unknown) => (SluiceError.is(error) ? `${error.code}: ${error.message}` : String(error)),
  )
const nameOf = (number: number): string => 'n'.repeat(number)

/** One bound: what happens at each number. `isRefused` lists the codes that say no. */
interface Reached {
  readonly max: number
  /** The numbers to try; default: 0, 1, max - 1, max, max + 1. */
  readonly at?: readonly number[]
  /** The least number that is taken; default 0. */
  readonly min?: number
  readonly says: readonly string[]
  readonly attempt: (db: Database, number: number) => Promise<string>
}

const optionsOf = (options: object): Promise<string> => codeOf(open(limitsApp, { memory: { bytes: 16 * MiB }, ...options } as never).then((db) => db.close()))
const defined = (define: () => unknown): Promise<string> => codeOf(Promise.resolve().then(define))
const put2 = (db: Database, characters: number): Promise<string> => codeOf(db.call(put, { id: 1, rows: 1, characters }))
/** All at once, in one tick; answers the worst. */
async function atOnce(db: Database, count: number): Promise<string> {
  const codes = new Set(await Promise.all(Array.from({ length: count }, (_, n) => codeOf(db.call(touch, { id: n & 1 })))))
  return codes.size === 1 ? [...codes][0]! : [...codes].filter((code) => code !== 'ok').join()
}
/** The input of `take` is a bit for null, a length and the text: what is left for the text. */
const inputHeader = 5

const reached: Partial<Record<Limit, Reached>> = {
  inputBytesMax: { max: limits.inputBytesMax - inputHeader, says: ['INVALID_INPUT'], attempt: (db, n) => codeOf(db.call(take, { text: 'x'.repeat(n) })) },
  requestIdBytesMax: { max: limits.requestIdBytesMax, min: 1, says: ['INVALID_INPUT'], attempt: (db, n) => codeOf(db.call(touch, { id: 1 }, { id: 'i'.repeat(n) })) },
  batchRequestsMax: { max: Infinity, at: [1, limits.batchRequestsMax - 1, limits.batchRequestsMax, limits.batchRequestsMax + 1], says: [], attempt: atOnce },
  callsInFlightMax: { max: limits.callsInFlightMax, at: [1, limits.callsInFlightMax - 1, limits.callsInFlightMax, limits.callsInFlightMax + 1], says: ['OVERLOADED'], attempt: atOnce },
  requestRingBytes: {
    // Requests of 1 MiB: seven fit beside their headers, and the eighth does not.
    max: 7,
    at: [1, 6, 7, 8],
    says: ['OVERLOADED'],
    attempt: async (db, n) => {
      const codes = new Set(await Promise.all(Array.from({ length: n }, () => codeOf(db.call(take, { text: 'x'.repeat(MiB) })))))
      return [...codes].filter((code) => codes.size === 1 || code !== 'ok').join()
    },
  },
  responseInlineBytesMax: { max: Infinity, at: [0, 1, 120, ...Array.from({ length: 12 }, (_, n) => limits.responseInlineBytesMax - 8 + n)], says: [], attempt: answered },
  responseRingBytes: { max: Infinity, at: [4_096, 65_536], says: [], attempt: (db, n) => atOnce(db, n) },
  transactionBytesMax: { max: Infinity, at: [0, 1, 15 * MiB], says: [], attempt: put2 },
  longValueBytesMax: { max: limits.longValueBytesMax, at: [limits.longValueBytesMax - 64, limits.longValueBytesMax + 1], says: ['OUT_OF_SPACE', 'INVALID_INPUT', 'CONSTRAINT', 'PROCEDURE_FAILED'], attempt: answered },
  transactionRowsReadMax: { max: limits.transactionRowsReadMax, at: [1, limits.transactionRowsReadMax - 1, limits.transactionRowsReadMax, limits.transactionRowsReadMax + 1], says: ['OUT_OF_SPACE'], attempt: (db, n) => codeOf(db.call(look, { times: n })) },
  callDepthMax: { max: limits.callDepthMax, min: 1, at: [1, limits.callDepthMax - 1, limits.callDepthMax, limits.callDepthMax + 1], says: ['INVALID_USE'], attempt: (db, n) => codeOf(db.call(nest, { depth: n })) },
  eventsPerTransactionMax: { max: limits.eventsPerTransactionMax, says: ['OUT_OF_SPACE'], attempt: (db, n) => codeOf(db.call(say, { times: n })) },
  keyBytesMax: {
    // Text in a key ends with a byte, and its index has the number before it.
    max: limits.keyBytesMax,
    at: [0, 1, limits.keyBytesMax - 16, limits.keyBytesMax + 1, 2 * limits.keyBytesMax],
    says: ['INVALID_INPUT', 'CONSTRAINT'],
    attempt: (db, n) => codeOf(db.call(putKey, { characters: n, n: 1 })),
  },
  partitionsMax: { max: limits.partitionsMax, min: 1, says: ['INVALID_USE'], attempt: (_, n) => optionsOf({ partitions: n, memory: { bytes: 128 * MiB } }) },
  workersMax: { max: limits.workersMax, at: [0, 1, 5, limits.workersMax + 1], says: ['INVALID_USE'], attempt: (_, n) => optionsOf({ workers: n }) },
  memoryBytesMin: { max: Infinity, min: limits.memoryBytesMin, at: [0, 1, limits.memoryBytesMin - 8, limits.memoryBytesMin, limits.memoryBytesMin + 8], says: ['INVALID_USE'], attempt: (_, n) => optionsOf({ memory: { bytes: n } }) },
  memoryBytesMax: { max: limits.memoryBytesMax, at: [limits.memoryBytesMax - 8, limits.memoryBytesMax, limits.memoryBytesMax + 8], says: ['INVALID_USE'], attempt: (_, n) => optionsOf({ memory: { bytes: n } }) },
  columnsMax: {
    max: limits.columnsMax,
    min: 1,
    says: ['INVALID_DEFINITION'],
    attempt: (_, n) => defined(() => service('wide', { tables: { t: table({ columns: Object.fromEntries(Array.from({ length: n }, (__, k) => [`c${k}`, c.int()])) as never, key: ['c0'] as never }) } })),
  },
  namesLengthMax: { max: limits.namesLengthMax, min: 1, says: ['INVALID_DEFINITION'], attempt: (_, n) => defined(() => service(nameOf(n), {})) },
  rowBytesMax: {
    // Each text takes some words of the row; the sum of 256 of them stays below, of numbers as well.
    max: Infinity,
    at: [1, limits.columnsMax],
    says: [],
    attempt: (_, n) => defined(() => app(import.meta.url, [service('wide', { tables: { t: table({ columns: Object.fromEntries(Array.from({ length: n }, (__, k) => [`c${k}`, c.text()])) as never, key: ['c0'] as never }) } })])),
  },
  snapshotSlots: { max: limits.snapshotSlots - 1, at: [1, limits.snapshotSlots - 2, limits.snapshotSlots - 1, limits.snapshotSlots + 1], says: ['OVERLOADED'], attempt: held },
  outcomeWindowMsDefault: { max: Infinity, at: [0, 1, limits.outcomeWindowMsDefault, Number.MAX_SAFE_INTEGER], says: [], attempt: (_, n) => optionsOf({ outcomes: { window: n } }) },
  historyHoldBytes: { max: limits.memoryBytesMax, at: [0, 1, limits.historyHoldBytes, limits.memoryBytesMax, limits.memoryBytesMax + 8], says: ['INVALID_USE'], attempt: (_, n) => optionsOf({ history: { bytes: n } }) },
}

/** The rest: where a test meets it, or why it is met by nobody. */
const elsewhere: Partial<Record<Limit, string>> = {
  batchBytesMax: 'test/engine/sequencer/put-off.test.ts',
  batchRunsMax: 'test/engine/txn/broken-batch.test.ts: a batch runs again once for each culprit',
  reclaimMarksPerBatchMax: 'row 19: more marks than one batch frees',
  laneLogBytesMax: 'test/engine/sequencer/put-off.test.ts',
  framesAheadMax: 'row 30: callers are always ahead of the log',
  frameBytesAheadMax: 'row 30',
  frameBytesMax: 'test/engine/sequencer/put-off.test.ts: a frame that would be too long',
  segmentBytes: 'test/wal/log-writer.test.ts',
  memoryLogBytes: 'test/contract/stream.test.ts: HISTORY_GONE',
  forkBytes: 'test/time/fork-edges.test.ts: has memory for so much, and says so; with 16 MiB',
  historyVersionsMax: 'test/time/history.test.ts: of many versions is read in reverse with a bounded memory',
  compensationRetries: 'test/time/compensation.test.ts: meets no transaction half way',
  guardBytes: 'a constant of the layout: test/engine/shared/region.test.ts',
  guardedBytesMax: 'what V8 can guard: test/engine/shared/region.test.ts',
  memoryBytesDefaultMax: 'a default: min(half of the machine, this)',
  extentBytesMin: 'row 18',
  extentBytesMax: 'row 18',
  expireSnapshotsAbove: 'row 18 pinned and row 19',
  pushBackAbove: 'row 18 pinned: the memory is filled to the end',
  partitionsDefault: 'a default',
  workerHeapBytes: 'row 17',
  hashPieceEntriesMax: 'test/engine/store/hash-index.test.ts',
  outcomesMax: 'a million calls with an id: too long for here; test/contract/exactly-once.test.ts has the refusal for lack of memory, which takes the same way',
  outcomesExpiredPerBatchMax: 'test/contract/exactly-once.test.ts',
  streamBufferCommitsMax: 'test/contract/stream.test.ts',
  streamReadBytes: 'test/contract/stream.test.ts',
  erasurePatchBytes: 'test/wal/log-rewrite.test.ts: frames are recorded in one record or in many',
  erasureRowsMax: 'test/streams/erasure-limits.test.ts: at it, and one beyond',
  erasureAnswersMax: 'test/streams/erasure-limits.test.ts: at it, and one beyond',
  erasureSubjectBytesMax: 'test/streams/erasure-limits.test.ts: at it, and one beyond',
  retentionStreamsMax: 'test/streams/compaction.test.ts: options that mean nothing, at it and one beyond',
  compactionShareMin: 'test/engine/stream/log-compactor.test.ts: for a useful share only',
  compactionKeyBytes: 'test/engine/stream/log-compactor.test.ts: keys that find no room',
  streamBufferCommitsOptionMax: 'test/streams/stream-options.test.ts: what is wrong is refused at the call',
  streamBufferBytesMax: 'row 20: a buffer of long commits',
  streamTurnCommitsMax: 'a share of work, not a bound of data',
  streamMergedKeysMax: 'how much a commit of a merged backlog holds: nobody is refused by it',
  streamSnapshotRowsMax: 'test/streams/stream-options.test.ts: snapshot then changes',
  streamHeldBytesMax: 'a gigabyte of log: too long for here; test/streams/stream-options.test.ts has what is held below it',
  streamProgressMs: 'a time, not a bound of data',
  draftRowsReadMax: 'test/contract/transact.test.ts: bounds',
  draftBytesMax: 'test/contract/transact.test.ts: bounds',
  draftAnswerBytesMax: 'test/contract/transact.test.ts: bounds',
  draftRetriesMax: 'test/contract/transact.test.ts: bounds',
  projectionItemsMax: 'how much a projection takes from the log at a time: test/contract/projections.test.ts has a transaction of one more',
  projectionKeysMax: 'how many rows of nobody go in one step: test/contract/projections.test.ts',
  handlerEventsAheadMax: 'how far ahead of its cursor a handler looks: nobody is refused by it',
  handlerCursorBatchesMax: 'how far a cursor may fall behind before it moves by itself: nobody is refused by it',
  handlerAttemptsMax: 'test/contract/handlers.test.ts has a memory that was full, and is not any more',
  handlerPauseMs: 'a time, not a bound of data',
  handlerPauseMsMax: 'a time, not a bound of data',
  consumersMax: 'how many there are: too many opens for here; each is one mark',
  consumerMembersMax: 'how many share one: too many for here',
  consumerConcurrencyMax: 'test/contract/consumers.test.ts: wrong options',
  consumerConcurrencyDefault: 'a default',
  consumerCommitsAheadMax: 'test/contract/consumers.test.ts: memory is bounded',
  consumerChangesAheadMax: 'how much is taken ahead: nobody is refused by it',
  consumerCommitsReadMax: 'how much is read at a time: nobody is refused by it',
  consumerAttemptsDefault: 'a default',
  consumerAttemptsMax: 'test/contract/consumers.test.ts: wrong options',
  consumerBackoffMsDefault: 'a default',
  consumerBackoffMsMaxDefault: 'a default',
  consumerPauseMsMax: 'a time: test/contract/consumers.test.ts: wrong options',
  consumerCallsMax: 'calls of one delivery: too many for here',
  consumerRefusalsMax: 'how often one call is refused and tried again in one life of a record: too often for here',
  consumerParkedMax: 'a full consumer waits: nothing is refused or lost by it',
  consumerKeptMax: 'a full consumer waits: nothing is refused or lost by it',
  consumerParkedCommitBytesMax: 'test/contract/consumers.test.ts: a commit that is too long to be kept',
  consumerWorksMax: 'a share of work, not a bound of data',
  consumerWorkBytesMax: 'a share of work, not a bound of data',
  consumerReasonLengthMax: 'test/contract/consumers.test.ts: a commit that is too long to be kept',
  consumerKeyBytesMax: 'test/contract/consumers.test.ts: a commit that is too long to be kept',
  consumerMarkCommits: 'how far a mark may fall behind: nobody is refused by it',
  consumerMarkMs: 'a time, not a bound of data',
  consumerMarkBatches: 'how far a mark may fall behind: nobody is refused by it',
  consumerCloseMsMax: 'a time: test/contract/consumers.test.ts: a handler that does not end',
  consumerLogBytesDefault: 'a default: test/streams/consumers.test.ts, §8.10',
  replicaTransactionsAheadMax: 'how much a replica takes at a time: nobody is refused by it',
  replicaKeysMax: 'how much one call copies: nobody is refused by it',
  replicaKeysBytesMax: 'how much one call copies: nobody is refused by it',
  draftPauseMs: 'a time, not a bound of data',
  draftPauseMsMax: 'a time, not a bound of data',
  queryTablesMax: 'test/query/wrong-uses.test.ts: too many tables',
  queryConditionsMax: 'test/query/wrong-uses.test.ts: too many conditions',
  queryListMax: 'test/query/wrong-uses.test.ts: parameters and options',
  queryPlansMax: 'plans that are made again: test/query/explain.test.ts, the sizes of joined tables',
  callsInFlightOptionMax: 'test/contract/admission.test.ts: options',
  callsInLineMax: 'test/contract/admission.test.ts: the line is bounded too',
  lineBytesMax: 'test/contract/admission.test.ts: the line is bounded in bytes',
  servedAtOnce: 'a share of work, not a bound of data',
  fedMax: 'test/contract/submit-many.test.ts: more than fit at once',
  fedBesideOthersMax: 'test/contract/admission.test.ts: a list of 200,000',
  fedAloneMin: 'test/contract/admission.test.ts: a list of 200,000',
  workersAutoMax: 'test/contract/admission.test.ts: workers auto',
  answersPerTurnMax: 'a share of work, not a bound of data',
  longTurnMs: 'a time, not a bound of data',
  requestsPublishedMax: 'a share of work, not a bound of data',
  speculationLogBytes: 'test/engine/shared/speculation-log.test.ts',
  speculationScratchBytesMin: 'a share of the memory: what finds no room runs in order',
  speculationScratchBytesMax: 'a share of the memory: what finds no room runs in order',
  speculatedRequestsMin: 'test/engine/partition/speculation-pace.test.ts',
  speculationProbeBatches: 'test/engine/partition/speculation-pace.test.ts',
  schemaRowsNamedMax: 'test/contract/schema-change.test.ts: a refusal names the first rows',
  migrationRowsMax: 'test/contract/migrations.test.ts: a migration of many transactions',
  httpBodyBytesMax: 'test/http/handler.test.ts: a body within its bound; test/http/node.test.ts: a body that is too long',
  httpBodiesBytesMax: 'test/http/bounds.test.ts',
  httpBodyMsMax: 'a time: test/http/node.test.ts: a body that stops coming',
  httpCallMsMax: 'a time: test/http/handler.test.ts: a call is withdrawn',
  httpAddressLengthMax: 'test/http/handler.test.ts: well-formed and short',
  httpPageRowsDefault: 'a default',
  httpPageRowsMax: 'test/http/handler.test.ts: refuse entry?limit=1001',
  httpPageBytesMax: 'test/http/bounds.test.ts: a page of long rows',
  httpPastReadsMax: 'test/http/bounds.test.ts: older states',
  httpStreamsMax: 'test/http/changes.test.ts: so many streams at once',
  httpStreamBytesMax: 'test/http/changes.test.ts: who does not read',
  httpHeartbeatMs: 'a time, not a bound of data',
  httpFirstLookMs: 'a time, not a bound of data',
  jsonBigintDigitsMax: 'test/http/bounds.test.ts',
  natsAheadDefault: 'a default: maxInFlight of publish() and ingest()',
  natsAheadMax: 'test/interop/publish.test.ts and ingest.test.ts: options that mean nothing',
  natsCursorMessages: 'how far a cursor may fall behind before it moves: nobody is refused by it',
  natsCursorMs: 'a time, not a bound of data',
  natsPauseMs: 'a time, not a bound of data',
  natsPauseMsMax: 'a time, not a bound of data',
  natsAckMs: 'a time, not a bound of data',
  natsPullMs: 'a time, not a bound of data',
  natsAttemptsDefault: 'a default: attempts of ingest()',
  natsAttemptsMax: 'test/interop/ingest.test.ts: options that mean nothing',
  natsRefusalsMax: 'how often one call is refused and tried again in one life of a message: too often for here',
  procedureMsMax: 'row 16',
  lookEveryMs: 'row 16',
  idleTurnsMax: 'test/contract/open-close.test.ts: idle, no CPU',
  inlineMsMax: 'test/contract/lost-workers.test.ts: the event loop turns',
  certifyAfterMs: 'test/wal/log-writer.test.ts',
  spinMs: 'a time, not a bound of data',
  turnEveryMs: 'a time, not a bound of data',
}
/** Bounds of checkpoints, retention and the disk have rows of their own. */
const ofOthers = /checkpoint|disk|retention|lmdb|image|loader|backup|block|interrupted/i

async function answered(db: Database, characters: number): Promise<string> {
  try {
    const text = await db.call(answer, { characters })
    return text === 'a'.repeat(characters) ? 'ok' : `an answer of ${text.length} characters`
  } catch (error) {
    return SluiceError.is(error) ? error.code : String(error)
  }
}

async function held(db: Database, count: number): Promise<string> {
  const open: { close(): void }[] = []
  try {
    for (let n = 0; n < count; n += 1) open.push(db.snapshot())
    return 'ok'
  } catch (error) {
    return SluiceError.is(error) ? error.code : String(error)
  } finally {
    for (const one of open) one.close()
    db.snapshot().close()
  }
}

describe('limits', () => {
  faultRow(
    31,
    {
      title: 'every limit, at it and one beyond',
      injected: `${Object.keys(reached).length} bounds of engine/base/limits.ts at 0, 1, max - 1, max and max + 1, as far as each goes; the others are met by the tests that the row names`,
      invariant: 'up to the bound everything works, beyond it the documented error; the database goes on, nothing of what was refused is there',
      pr: 75,
      nightly: 75,
    },
    async (run) => {
      const forgotten = (Object.keys(limits) as Limit[]).filter((name) => reached[name] === undefined && elsewhere[name] === undefined && !ofOthers.test(name))
      if (forgotten.length > 0) throw new Error(`nobody has thought of ${forgotten.join()}`)
      // Workers first: their modules are compiled by another process, and Linux starts none (ENOMEM) from one that has reserved as
      // much address space as all the databases of this test do, until it is collected.
      const workersFirst = Object.entries(reached).sort(([a], [b]) => Number(b === 'workersMax') - Number(a === 'workersMax'))
      for (const [name, { max, min = 0, at, says, attempt }] of workersFirst) {
        const inside = await openInside(limitsApp, { workers: 0, partitions: 2, memoryBytes: 256 * MiB, historyBytes: 0 })
        await inside.db.call(touch, { id: 1 })
        for (const number of at ?? [0, 1, max - 1, max, max + 1]) {
          const code = await attempt(inside.db, number)
          const isWithin = number >= min && number <= max
          if (isWithin ? code !== 'ok' : !says.some((one) => code.startsWith(one))) throw new Error(`${name} (${builtLimits[name as Limit]}) at ${number}: ${code}`)
          if ((await codeOf(inside.db.call(touch, { id: 1 }))) !== 'ok') throw new Error(`${name} at ${number}: the database does not go on`)
          if (inside.db.table(edge.tables.text).get(1)?.text !== '') throw new Error(`${name} at ${number}: a row is not what the last call wrote`)
          run.done()
        }
        inside.check()
        await inside.close()
      }
    },
  )

  faultRow(
    '31 counters',
    {
      title: 'counters near the numbers at which they wrap',
      injected: 'the counters of the request, answer and frame rings preset short of 2^31 and of 2^32; batch numbers short of 2^31, 2^32 and 2^53; then calls of all sizes across the border, a stream and snapshots beside them',
      invariant: 'answers, rows, events and positions are as with small numbers',
      pr: 9,
      nightly: 90,
    },
    async (run) => {
      // Opening goes on at multiples of 2^24: the last one that can is this.
      const lastOpening = 2 ** 53 - 2 ** 24
      const batches = [2 ** 31 - 100, 2 ** 32 - 100, lastOpening]
      const counters = [0, 2 ** 31 - 65_536, 2 ** 32 - 65_536]
      for (const index of run.cases()) await across(run, counters[index % 3]!, batches[Math.floor(index / 3) % 3]!)
    },
  )
})

/** An engine on one thread whose counters do not begin at 0. */
async function across(run: FaultRun, counter: number, firstBatch: number): Promise<void> {
  const program = programOf(fragileApp)
  const partitions = 3
  const withSystem = withSystemTables(program)
  const store = Store.plan(withSystem, { bytes: 64 * MiB, isDefault: false, workers: 0, partitions, historyBytes: 0 })
  const plan = createPlan({
    store,
    workers: 0,
    partitions,
    seed: run.seed,
    firstBatch,
    previous: 0,
    clock: { wallMs: Date.now(), monotonicMs: nodeEnvironment.monotonicMs(), stepMs: undefined },
    outcomeWindowMs: 600_000,
    isMemory: true,
    hasLogThread: false,
    spinLoads: 0,
    idleTurns: 50,
    speculation: 'auto',
  })
  const control = new Control(plan.control)
  for (const word of ['requestHead', 'requestTail', 'frameHead', 'frameWritten', 'frameTail'] as const) control.store(word, counter | 0)
  control.publishResponses(0, counter | 0)
  control.freeResponses(0, counter | 0)
  const parts = new EngineParts(withSystem, plan, plan.store.domains)
  parts.control.executed = 1
  parts.control.durable = 1
  const threads = new ThreadHost(parts.control, { look: () => undefined, logFailed: () => undefined, workerLost: () => undefined })
  const engine = new Engine(program, parts, threads, nodeEnvironment)
  const opened = { engine, options: { memoryBytes: 64 * MiB }, durability: 'memory', catalog: loggedCatalog(program, { seed: run.seed, partitions }), disk: undefined, keeper: undefined, handlers: undefined, consumers: { states: [] }, holders: new Map(), eraser: { onErased: [] }, firstBatch: 1, close: () => engine.drain() }
  const db = new SluiceDatabase(opened as unknown as OpenEngine, program) as unknown as Database
  const told = new Told()
  const seen: number[] = []
  const following = (async () => {
    for await (const event of db.events(fragile.events.wrote)) seen.push(event.payload.n)
  })().catch((error: unknown) => {
    if (!SluiceError.is(error, 'DATABASE_CLOSED')) throw error
  })
  const wanted: number[] = []
  let lastPosition = ''
  for (let round = 0; round < 120; round += 1) {
    const orders: Order[] = Array.from({ length: 1 + run.chance.below(6) }, () => {
      const n = told.nextNumber()
      return { n, kind: run.chance.chance(0.3) ? 'writeBoth' : 'write', at: run.chance.below(5), other: 5, filler: 'f'.repeat(run.chance.below(run.chance.chance(0.1) ? 8_000 : 500)), ...(run.chance.chance(0.3) ? { id: `call ${n}` } : {}) }
    })
    const codes = await Promise.all(orders.map((order) => told.call(db, order)))
    if (codes.some((code) => code !== 'ok')) throw new Error(`counters at ${counter}, batch ${firstBatch}: ${codes.join()}`)
    for (const { n, kind } of orders) wanted.push(...(kind === 'write' ? [n] : [n, n]))
    const snapshot = db.snapshot()
    if (!(snapshot.position > lastPosition)) throw new Error(`position ${snapshot.position} comes after ${lastPosition}`)
    lastPosition = snapshot.position
    snapshot.close()
  }
  told.mustHold(db)
  for (let turn = 0; turn < 1_000 && seen.length < wanted.length; turn += 1) await new Promise((resolve) => setTimeout(resolve, 2))
  if (seen.length !== wanted.length || seen.toSorted((a, b) => a - b).join() !== wanted.toSorted((a, b) => a - b).join()) throw new Error(`counters at ${counter}, batch ${firstBatch}: ${seen.length} events of ${wanted.length}`)
  const moved = (control.load('requestHead') - (counter | 0)) | 0
  if (counter !== 0 && moved < 65_536) throw new Error(`the counters have moved by ${moved} only`)
  checkStore(parts.store, parts.control.executed)
  await db.close()
  await following
}

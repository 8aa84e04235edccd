/**
 * A fork: an engine of its own, on this thread and in memory, over a view of another one (store/fork-store.ts).
 *
 * It has the program, the partitions and the seed of its base, and its batches go on behind the moment that it was forked from. It has no
 * path, no workers, and no handlers that run after the commit: they would follow a log that begins with the fork. Ids are its own: a
 * call is the first one with its id, whatever the base has recorded.
 *
 * The view is the fork's: closing the fork closes it. As long as it is open the base keeps the versions that it shows, as for any snapshot.
 */
import type { EngineOptions, OpenEngine } from './open.js'
import { nodeEnvironment } from './base/environment-node.js'
import { limits } from './base/limits.js'
import { ConsumerHost } from './consumer-host.js'
import { Engine } from './database.js'
import { Eraser } from './erasure.js'
import { outcomeTableName } from './sequencer/outcome-table.js'
import { databaseState } from './shared/control.js'
import { ForkBase, ForkStore } from './store/fork-store.js'
import { ForkView } from './store/fork-view.js'
import type { SnapshotView } from './store/snapshot-view.js'
import { Store } from './store/store.js'
import { createPlan, EngineParts } from './worker/engine-plan.js'
import { ThreadHost } from './worker/thread-host.js'
import { databaseIdBytes } from '../wal/index.js'

/** `view` shows the base as of `moment`. `bytes`: of memory for what its transactions touch. */
export function openFork(base: OpenEngine, view: SnapshotView, moment: NonNullable<OpenEngine['origin']>, bytes: number = limits.forkBytes): OpenEngine {
  const { time } = moment
  const environment = nodeEnvironment
  const { program, parts } = base.engine
  const { partitions, seed, clock, outcomeWindowMs } = parts.plan
  const storePlan = Store.plan(parts.program, { bytes, isDefault: false, workers: 0, partitions, historyBytes: 0 })
  const plan = createPlan({
    store: storePlan,
    workers: 0,
    partitions,
    seed,
    firstBatch: view.batch + 1,
    previous: view.batch,
    clock: clock.stepMs === undefined ? { wallMs: Math.max(environment.wallMs(), time), monotonicMs: environment.monotonicMs(), stepMs: undefined } : { ...clock, wallMs: time },
    outcomeWindowMs,
    isMemory: true,
    hasLogThread: false,
    spinLoads: 0,
    idleTurns: limits.idleTurnsMax,
    speculation: 'never',
  })
  const store = new ForkStore(parts.program, storePlan, storePlan.domains, new ForkBase(view, new Set([outcomeTableName])))
  const viewAt = (slot: number, batch: number): SnapshotView => new ForkView(store, slot, batch)
  const own = new EngineParts(parts.program, plan, storePlan.domains, { store, viewAt })
  const { control } = own
  control.executed = view.batch
  control.durable = view.batch
  control.written = view.batch
  for (let domain = 0; domain < store.domains.length; domain += 1) store.snapshots.raiseFloor(domain, view.batch)
  let engine: Engine | undefined
  const threads = new ThreadHost(control, { look: () => engine?.rung(), logFailed: (message) => engine?.logFailed(message), workerLost: (worker, error) => engine?.workerLost(worker, error) })
  const opened = new Engine(program, own, threads, environment)
  engine = opened
  const consumers = new ConsumerHost({ engine: opened, catalog: base.catalog, disk: undefined })
  const options: EngineOptions = { ...base.options, path: undefined, workers: 0, durability: 'memory', historyBytes: 0, memoryBytes: bytes }
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    try {
      await opened.drain()
      if (control.load('state') === databaseState.open) control.store('state', databaseState.stopping)
      await threads.close()
    } finally {
      view.close()
    }
  }
  return {
    engine: opened,
    options,
    durability: 'memory',
    catalog: base.catalog,
    disk: undefined,
    keeper: undefined,
    handlers: undefined,
    replicas: undefined,
    holders: new Map(),
    databaseId: new Uint8Array(databaseIdBytes),
    consumers,
    eraser: new Eraser({ engine: opened, catalog: base.catalog, databaseId: new Uint8Array(databaseIdBytes), disk: undefined, keeper: undefined, consumers }),
    firstBatch: view.batch,
    origin: moment,
    close: () => (closing ??= close()),
  }
}

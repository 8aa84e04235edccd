/**
 * Entry of a partition worker: a Piscina task that starts a loop in its thread and ends. The loop ends with the database.
 *
 * It loads the application, makes its view of the shared memory, and then runs lanes: worker 0 is the sequencer's, the others
 * wait for it. The loop turns its event loop before each sleep and every 50 ms under load (R39), so that console output and
 * messages get through.
 */
import { type MessagePort, threadId } from 'node:worker_threads'
import { nodeEnvironment } from '../base/environment-node.js'
import { messageOf } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { databaseState } from '../shared/control.js'
import { BrokenBatch } from '../txn/transaction.js'
import { Realm } from '../txn/realm.js'
import { EngineParts, type EnginePlan, withSystemTables } from './engine-plan.js'
import { makeRunner, makeSequencer, OwnSpeculation, runOwnLanes, StoppedAtBarrier, ThreadLaneHost } from './lane-hosts.js'
import { loadProgram } from './load-program.js'

export interface WorkerTask {
  readonly worker: number
  readonly plan: EnginePlan
  readonly module: string
  /** What main loaded, as text: the worker must have loaded the same. */
  readonly description: string
  readonly port: MessagePort
}
export type WorkerMessage =
  | { readonly kind: 'ready'; readonly threadId: number }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'look' }
  | { readonly kind: 'ended' }

export default async function partitionWorker(task: WorkerTask): Promise<void> {
  const { worker, plan, port } = task
  const send = (message: WorkerMessage): void => port.postMessage(message)
  let parts: EngineParts
  try {
    const program = await loadProgram(task.module, task.description)
    parts = new EngineParts(withSystemTables(program), plan, worker)
  } catch (error) {
    send({ kind: 'refused', message: messageOf(error) })
    return
  }
  // From here on the realm is the transactions' (design §3): replaced once, looking at what runs.
  const realm = new Realm()
  realm.enter()
  // What a procedure leaves behind is nobody's business once the procedure has ended; it must not end the worker.
  let bug: unknown
  process.on('unhandledRejection', (reason) => process.emitWarning(`A procedure left a rejected promise behind: ${String(reason)}`, 'SluiceWarning'))
  process.on('uncaughtException', (error) => {
    if (error === bug) throw error
    process.emitWarning(`A procedure left an exception behind: ${String(error)}`, 'SluiceWarning')
  })
  // Before main hears of us: a worker that takes the place of a lost one has no part in the batch that the other left unfinished,
  // which is given up and runs again, and every part in the ones that follow. Only we can tell which those are: batches go on
  // until one of them needs us, also while we start.
  const { control } = parts
  const epoch = control.load('lanes')
  if (control.laneEpoch(worker) !== epoch) control.store('abandon', 1)
  control.setLaneEpoch(worker, epoch)
  control.wakeWorker(0)
  send({ kind: 'ready', threadId })
  const running = worker === 0 ? runSequencer(parts, realm, send) : runLanes(parts, worker, realm, epoch)
  running.then(
    () => {
      send({ kind: 'ended' })
      port.close()
    },
    // What ends the loop ends the thread: an assertion of ours failed.
    (error: unknown) => {
      bug = error
      nodeEnvironment.soon(() => {
        throw error
      })
    },
  )
}

const turn = (): Promise<void> => new Promise((resolve) => nodeEnvironment.soon(resolve))

async function runSequencer(parts: EngineParts, realm: Realm, send: (message: WorkerMessage) => void): Promise<void> {
  const { control, plan } = parts
  const runner = makeRunner(parts, 0, realm)
  const sequencer = makeSequencer(parts, new ThreadLaneHost(parts, runner, realm))
  const isOpen = (): boolean => control.load('state') === databaseState.open
  const mustLook = (): boolean => !isOpen() || (sequencer.hasWork() && sequencer.mayRun())
  let turned = nodeEnvironment.monotonicMs()
  while (isOpen()) {
    if (sequencer.hasWork() && sequencer.mayRun()) {
      try {
        sequencer.runBatch()
      } catch (error) {
        if (error instanceof StoppedAtBarrier) break
        throw error
      }
      // With a log thread it is the frame that main waits for; without one, or without a frame, it is this.
      if (control.mainMustBeRung()) send({ kind: 'look' })
      const now = nodeEnvironment.monotonicMs()
      if (now - turned > limits.turnEveryMs) {
        turned = now
        await turn()
      }
      continue
    }
    if (control.spin(mustLook, plan.spinLoads)) continue
    await turn()
    turned = nodeEnvironment.monotonicMs()
    control.sleepWorker(0, mustLook)
  }
  for (let worker = 1; worker < plan.workers; worker += 1) control.wakeWorker(worker)
}

async function runLanes(parts: EngineParts, worker: number, realm: Realm, startEpoch: number): Promise<void> {
  const { control, plan } = parts
  const runner = makeRunner(parts, worker, realm)
  const speculation = new OwnSpeculation(parts, worker, realm)
  let epoch = startEpoch
  const isOpen = (): boolean => control.load('state') === databaseState.open
  const mustLook = (): boolean => !isOpen() || control.load('lanes') !== epoch
  for (;;) {
    if (control.load('lanes') !== epoch) {
      epoch = control.load('lanes')
      try {
        const ahead = control.load('speculating')
        if (ahead > 0) speculation.run(ahead)
        else runOwnLanes(parts, runner, worker)
      } catch (error) {
        if (!(error instanceof BrokenBatch)) throw error
        control.store('abandon', 1)
      }
      control.setLaneHead(worker, parts.responses[worker]!.head)
      // The one store that says so: whoever dies before it has not finished, whoever dies after it has.
      control.setLaneEpoch(worker, epoch)
      control.wakeWorker(0)
      continue
    }
    if (!isOpen()) return
    if (control.spin(mustLook, plan.spinLoads)) continue
    await turn()
    control.sleepWorker(worker, mustLook)
  }
}

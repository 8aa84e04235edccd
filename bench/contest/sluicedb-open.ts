/** How our contestants open their database (sluicedb.ts lists the options). */
import { performance } from 'node:perf_hooks'
import type { App, Database, OpenOptions } from 'sluicedb'
import { openWith, type Checkpoints } from '../recovery/checkpoint-options.js'
import { counter, keepInFlight } from '../workloads/bank-driver.js'
import type { ContestantOptions, Player, Task } from './contestant.js'

/** Memory for a million rows and the ledger of a long run: address space, not consumption. */
const memoryBytes = 4 * 2 ** 30

export async function openFor(task: Pick<Task, 'options' | 'directory'>, application: App): Promise<Database> {
  const { file = false, workers = 0 } = task.options
  const common: OpenOptions = { workers: Number(workers), memory: { bytes: memoryBytes } }
  if (file !== true) return openWith(application, common, 'by itself')
  return openWith(application, { ...common, path: task.directory, durability: 'fsync' }, checkpointsOf(task.options))
}

function checkpointsOf({ checkpoints }: ContestantOptions): Checkpoints {
  if (checkpoints === undefined) return 'by itself'
  return typeof checkpoints === 'number' ? { logBytes: checkpoints } : 'on demand'
}

/** `inFlight` operations at a time, each answered before its caller goes on. One that was done at once answers nothing. */
export function inFlightPlay(options: ContestantOptions, operate: (index: number) => Promise<unknown> | undefined): Player['play'] {
  const inFlight = Number(options['inFlight'] ?? 1)
  return async (first, count, latency) => {
    const timed = async (index: number): Promise<void> => {
      const start = performance.now()
      await operate(index)
      latency?.record(performance.now() - start)
    }
    await keepInFlight(inFlight, counter(first, count), latency === undefined ? operate : timed)
  }
}

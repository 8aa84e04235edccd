/** How our contestants open their database: in memory or with fsync, as the options of the task say. */
import type { App, Database, OpenOptions } from 'sluicedb'
import { openWith, type Checkpoints } from '../recovery/checkpoint-options.js'
import type { ContestantOptions, Task } from './contestant.js'

/** Memory for a million rows and the ledger of a long run, or four warehouses and their orders: address space, not consumption. */
const memoryBytes = 4 * 2 ** 30
const memoryBytesOfTpcc = 12 * 2 ** 30

export async function openFor(task: Task, application: App): Promise<Database> {
  const { file = false, workers = 0 } = task.options
  const bytes = task.kind === 'tpcc' ? memoryBytesOfTpcc : memoryBytes
  const common: OpenOptions = { workers: Number(workers), memory: { bytes } }
  if (file !== true) return openWith(application, common, 'by itself')
  return openWith(application, { ...common, path: task.directory, durability: 'fsync' }, checkpointsOf(task.options))
}

function checkpointsOf({ checkpoints }: ContestantOptions): Checkpoints {
  if (checkpoints === undefined) return 'by itself'
  return typeof checkpoints === 'number' ? { logBytes: checkpoints } : 'on demand'
}

/**
 * `workers: 'auto'`: how many workers a database gets on this machine, and why. A choice is made once, at open, and can be asked for
 * afterwards: nobody should have to guess what was picked.
 *
 * Main needs a processor for callers and answers. The log thread counts where there are more processors than two: beside one worker
 * on two it would leave none. The rule counts processors; it is not fitted to measurements (docs/decisions/0016-admission.md).
 */
import type { Environment } from '../base/environment.js'
import { limits } from '../base/limits.js'

export interface WorkerChoice {
  readonly workers: number
  /** A sentence for people. */
  readonly why: string
}

export interface ChoiceOptions {
  readonly environment: Pick<Environment, 'processors' | 'architecture'>
  readonly partitions: number
  readonly hasPath: boolean
  /** Workers can load the application. */
  readonly isLoadable: boolean
}

export function chooseWorkers({ environment, partitions, hasPath, isLoadable }: ChoiceOptions): WorkerChoice {
  const { processors, architecture } = environment
  if (architecture !== 'x64') return { workers: 0, why: `rows are read across threads on x64 only, and this is ${architecture}` }
  if (!isLoadable) return { workers: 0, why: 'workers cannot load the application: app() is called in a module that starts the program or opens the database' }
  if (processors < 2) return { workers: 0, why: 'there is one processor, which the caller needs' }
  const spare = processors - 1 - (hasPath && processors > 2 ? 1 : 0)
  const workers = Math.min(spare, partitions, limits.workersAutoMax)
  const taken = hasPath && processors > 2 ? 'the caller and the log' : 'the caller'
  const bound = workers === spare ? '' : `, of which no more than ${workers} are of use`
  return { workers, why: `there are ${processors} processors, less what ${taken} need${bound}` }
}

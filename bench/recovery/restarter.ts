/**
 * A restarter leaves a database behind and opens it again, in another process. Ours and the peers keep the same
 * contract, get the same data and are timed by the same few lines (restart-stage.ts).
 *
 * What opening means is said in the name of an entry: until a first read is answered by a database that is ready for
 * all of them, or until every row has been read into objects of the process. Ours does the former and has by then all
 * rows in memory; a database that reads from its file when asked does the former at once and pays later.
 */
import type { Task } from '../contest/contestant.js'

export interface Restarter {
  /** Leaves the database of the plan in `task.directory`. The process is killed when this has settled. */
  prepare(task: Task): Promise<void> | void
  /** Before the clock: what a cold cache must not hit, such as the program of a server. */
  warmUp?(task: Task): Promise<void> | void
  /** Opens it again and answers a first read: the clock runs for the whole of it. */
  reopen(task: Task): Promise<Reopened> | Reopened
}

export interface Reopened {
  /** The process whose memory is asked for, if it is not this one. */
  readonly pid?: number | undefined
  /** What is there, to be compared with what the plan asks for. */
  digest(): Promise<string> | string
  /** Ends servers. What is left of the database stays as it is; this process is killed afterwards. */
  leave(): Promise<void> | void
}

/** A module of restarters, by name. */
export interface RestarterModule {
  readonly restarters: Readonly<Record<string, Restarter>>
}

/**
 * What more processors give: throughput from the costs of the stages of one transaction.
 *
 * A batch goes through its stages one after the other (design §3): order, lanes in parallel, the cross-partition lane, seal. While it
 * does, main makes and settles other calls, and the log thread writes the frames before it. So three things run side by side,
 * and the slowest of them sets the pace, unless the processors do:
 *
 *   main       call
 *   batches    order + lanes / workers + cross-partition lane + seal
 *   log        its bytes
 *
 *   cross-partition lane, of a share x      in order   x · execute
 *                                           ahead      x · (ahead / workers + commit + stale · execute)
 *
 * Lanes do not share their work evenly: among W workers the longest of a batch of n has about n/W + sqrt(2 n ln W / W) of it.
 */
export interface StageCosts {
  /** Main's, for one call: encoding, promise, answer. Microseconds, as all below. */
  readonly call: number
  readonly order: number
  readonly execute: number
  /** A run ahead instead of one in order, and committing it. */
  readonly ahead: number
  readonly commit: number
  readonly seal: number
  /** Writing the bytes of one transaction. */
  readonly log: number
  /** What one sync takes, however many bytes. */
  readonly sync: number
  /** A barrier: waking the others and waiting for the last. */
  readonly barrier: number
}

export interface Load {
  readonly crossShare: number
  readonly staleShare: number
  /** Requests of a batch. */
  readonly batch: number
}

export type Limit = 'main' | 'batches' | 'log' | 'processors'

export interface Prediction {
  readonly perSecond: number
  readonly limit: Limit
}

/** Workers that pay on so many processors: main and the log thread want one between them. */
export const workersOn = (processors: number): number => Math.max(1, processors - 1)

export function longestShare(batch: number, workers: number): number {
  if (workers === 1) return 1
  const mean = batch / workers
  return Math.min(1, (mean + Math.sqrt(2 * mean * Math.log(workers))) / batch)
}

/** Microseconds of one transaction in the pipeline of batches. */
export function batchCost(costs: StageCosts, load: Load, workers: number): number {
  const { crossShare, staleShare, batch } = load
  const barriers = workers === 1 ? 0 : ((crossShare > 0 ? 2 : 1) * costs.barrier) / batch
  const lanes = (1 - crossShare) * costs.execute * longestShare(batch, workers)
  const inOrder = costs.execute
  const ahead = costs.ahead / workers + costs.commit + staleShare * costs.execute
  return costs.order + costs.seal + lanes + barriers + crossShare * (workers === 1 ? inOrder : Math.min(inOrder, ahead))
}

export function predict(costs: StageCosts, load: Load, processors: number): Prediction {
  const workers = workersOn(processors)
  const isAhead = workers > 1 && costs.ahead / workers + costs.commit + load.staleShare * costs.execute < costs.execute
  const cross = isAhead ? costs.ahead + costs.commit + load.staleShare * costs.execute : costs.execute
  const work = costs.call + costs.order + costs.seal + costs.log + (1 - load.crossShare) * costs.execute + load.crossShare * cross
  const bounds: readonly (readonly [Limit, number])[] = [
    ['main', costs.call],
    ['batches', batchCost(costs, load, workers)],
    ['log', costs.log + costs.sync / (8 * load.batch)],
    ['processors', work / processors],
  ]
  const [limit, cost] = bounds.reduce((worst, one) => (one[1] > worst[1] ? one : worst))
  return { perSecond: 1e6 / cost, limit }
}

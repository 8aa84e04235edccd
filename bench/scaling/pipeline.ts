/**
 * The stages of the engine as a simulation: requests one by one, batches as they really form, workers that wait at barriers, a log
 * thread that groups frames. It knows nothing of model.ts but the costs, and is what the model is held against.
 *
 * Time passes in three clocks (main, batches, log), each of which is busy until some moment; whoever needs what another one makes
 * waits for it. On fewer processors than busy threads everything takes longer in proportion.
 */
import { randomSource } from '../statistics.js'
import { type Load, type StageCosts, workersOn } from './model.js'

const framesAheadMax = 8
const batchMax = 4_096

export interface Simulated {
  readonly perSecond: number
  /** Shares of the time in which they were busy. */
  readonly main: number
  readonly batches: number
  readonly log: number
}

/** `count` transactions with at most `inFlight` of them on their way. */
export function simulate(costs: StageCosts, load: Load, processors: number, inFlight: number, count: number, seed: number): Simulated {
  const below = randomSource(seed)
  const workers = workersOn(processors)
  const partitions = Math.max(16, workers * 4)
  const isCross = (): boolean => below(1_000_000) < load.crossShare * 1_000_000
  const isStale = (): boolean => below(1_000_000) < load.staleShare * 1_000_000
  const ahead = workers > 1 && costs.ahead / workers + costs.commit + load.staleShare * costs.execute < costs.execute

  let mainUs = 0
  let batchesUs = 0
  let logUs = 0
  const busy = { main: 0, batches: 0, log: 0 }
  /** Of every batch: how many requests, and when it was durable. */
  const answers: { count: number; atUs: number }[] = []
  let handedIn = 0
  let done = 0
  let waiting = 0
  const frames: number[] = []
  // Main spends half of a call on handing it in, half on its answer.
  const half = costs.call / 2

  while (done < count) {
    // Answers that are durable by now, or, when there is nothing else to do, the next one.
    const next = answers[0]
    if (next !== undefined && (next.atUs <= mainUs || (waiting === 0 && handedIn - done >= inFlight) || handedIn >= count)) {
      answers.shift()
      mainUs = Math.max(mainUs, next.atUs) + next.count * half
      busy.main += next.count * half
      done += next.count
      continue
    }
    // What fits in a turn of main is handed in; at least one request, so that it goes on.
    const room = Math.min(inFlight - (handedIn - done), count - handedIn)
    const turn = Math.max(room > 0 && waiting === 0 ? 1 : 0, Math.min(room, Math.ceil(Math.max(0, batchesUs - mainUs) / half)))
    handedIn += turn
    waiting += turn
    mainUs += turn * half
    busy.main += turn * half
    if (waiting === 0) continue
    const taken = Math.min(waiting, batchMax)
    waiting -= taken
    const beginUs = Math.max(batchesUs, mainUs, frames.length >= framesAheadMax ? frames[frames.length - framesAheadMax]! : 0)
    const lanes = new Float64Array(workers)
    let cross = 0
    let stale = 0
    for (let n = 0; n < taken; n += 1) {
      if (isCross()) {
        cross += 1
        if (ahead && isStale()) stale += 1
      } else lanes[below(partitions) % workers]! += costs.execute
    }
    const barriers = workers === 1 ? 0 : (cross > 0 ? 2 : 1) * costs.barrier
    const crossUs = ahead ? Math.ceil(cross / workers) * costs.ahead + cross * costs.commit + stale * costs.execute : cross * costs.execute
    const tookUs = taken * (costs.order + costs.seal) + Math.max(...lanes) + barriers + crossUs
    batchesUs = beginUs + tookUs
    busy.batches += tookUs
    const writeUs = taken * costs.log
    const startUs = Math.max(batchesUs, logUs)
    // Frames that wait while the last group syncs share the next sync.
    const groups = logUs > batchesUs ? 0.125 : 1
    logUs = startUs + writeUs + costs.sync * groups
    busy.log += writeUs
    frames.push(logUs)
    answers.push({ count: taken, atUs: logUs })
  }
  const endUs = Math.max(mainUs, batchesUs)
  const work = count * (costs.call + costs.order + costs.seal + costs.log + costs.execute * (1 - load.crossShare) + load.crossShare * (ahead ? costs.ahead + costs.commit + load.staleShare * costs.execute : costs.execute))
  const tookUs = Math.max(endUs, work / processors)
  return { perSecond: (count / tookUs) * 1e6, main: busy.main / tookUs, batches: busy.batches / tookUs, log: busy.log / tookUs }
}

/** How the operations of a round are kept in flight, whichever workload they are of. */
import { performance } from 'node:perf_hooks'
import { counter, keepInFlight } from '../workloads/bank-driver.js'
import type { ContestantOptions, Player } from './contestant.js'

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

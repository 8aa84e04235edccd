/** How the operations of a round are handed to a peer that answers later. */
import { performance } from 'node:perf_hooks'

/** `inFlight` callers: `operate(index)` answers a promise, or nothing where all was done at once. */
export function inFlightPlay(inFlight, operate) {
  return async (first, count, latency) => {
    const end = first + count
    let next = first
    const caller = async () => {
      while (next < end) {
        const index = next
        next += 1
        const start = latency && performance.now()
        const answer = operate(index)
        if (answer !== undefined) await answer
        if (latency) latency.record(performance.now() - start)
      }
    }
    await Promise.all(Array.from({ length: inFlight }, caller))
  }
}

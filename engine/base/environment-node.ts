import { randomFillSync } from 'node:crypto'
import { availableParallelism, totalmem } from 'node:os'
import type { Environment } from './environment.js'

// Captured before any procedure runs: inside one, the globals of these names belong to the transaction.
const wallClock = Date.now
const clock = performance
const immediate = setImmediate
const timeout = setTimeout
const cancel = clearTimeout

/** `performance.now` begins anew on every thread; `process.hrtime` does not, and costs three times as much. */
function monotonicOffsetMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1_000 + nanoseconds / 1_000_000 - clock.now()
}
const offsetMs = monotonicOffsetMs()
const resolved = Promise.resolve()

/** The real world. */
export const nodeEnvironment: Environment = {
  wallMs: () => wallClock(),
  monotonicMs: () => clock.now() + offsetMs,
  randomBytes: (bytes) => randomFillSync(new Uint8Array(bytes)),
  soon: (work) => void immediate(work),
  atEndOfTick: (work) => void resolved.then(work),
  later: (ms, work) => {
    const timer = timeout(work, ms)
    timer.unref()
    return () => cancel(timer)
  },
  memoryBytes: totalmem(),
  processors: availableParallelism(),
  architecture: process.arch,
}

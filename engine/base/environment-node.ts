import { randomFillSync } from 'node:crypto'
import { availableParallelism, totalmem } from 'node:os'
import type { Environment } from './environment.js'

// Captured before any procedure runs: inside one, the globals of these names belong to the transaction.
const wallClock = Date.now
const hrtime = process.hrtime
const immediate = setImmediate
const timeout = setTimeout
const cancel = clearTimeout

/** The real world. `process.hrtime` has one origin for all threads of a process; `performance.now` has one for each. */
export const nodeEnvironment: Environment = {
  wallMs: () => wallClock(),
  monotonicMs: () => {
    const [seconds, nanoseconds] = hrtime()
    return seconds * 1_000 + nanoseconds / 1_000_000
  },
  randomBytes: (bytes) => randomFillSync(new Uint8Array(bytes)),
  soon: (work) => void immediate(work),
  later: (ms, work) => {
    const timer = timeout(work, ms)
    timer.unref()
    return () => cancel(timer)
  },
  memoryBytes: totalmem(),
  processors: availableParallelism(),
  architecture: process.arch,
}

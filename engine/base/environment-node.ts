import { createHash, randomFillSync } from 'node:crypto'
import { availableParallelism, setPriority, tmpdir, totalmem } from 'node:os'
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

/**
 * What nobody else wants, and beside a thread of usual priority next to nothing (weights 15 and 1,024 in Linux). At 10 (weight 110) a
 * checkpoint that never ends cost 17 % of the transfers of a machine with two processors, at 19 it costs 5 % (bench: checkpoint-cost).
 */
const niceOfBackground = 19

/** The real world. */
export const nodeEnvironment: Environment = {
  wallMs: () => wallClock(),
  monotonicMs: () => clock.now() + offsetMs,
  randomBytes: (bytes) => randomFillSync(new Uint8Array(bytes)),
  soon: (work) => void immediate(work),
  atEndOfTick: (work) => void resolved.then(work),
  later: (ms, work, isAwaited = false) => {
    const timer = timeout(work, ms)
    if (!isAwaited) timer.unref()
    return () => cancel(timer)
  },
  memoryBytes: totalmem(),
  processors: availableParallelism(),
  architecture: process.arch,
}

/**
 * The calling thread gives way to all others. `link`: where `/proc/thread-self` leads, `/proc/<process>/task/<thread>`; on systems
 * that have no such file threads have no priority of their own, and this does nothing.
 */
export function giveWay(link: string | undefined): void {
  const thread = /\/task\/(\d+)$/.exec(link ?? '')?.[1]
  if (thread !== undefined) setPriority(Number(thread), niceOfBackground)
}

/** SHA-256 of some bytes, in hexadecimal. */
export function digestOf(...parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

/** A warning of the process, for what nobody waits for. */
export function warn(code: string, message: string): void {
  process.emitWarning(message, { type: 'SluiceDBWarning', code })
}

/** Where files may lie that nobody misses: what TMPDIR says, as everywhere. */
export const temporaryDirectory = tmpdir()

/** Shared buffers by size: the only place beside the layouts of this folder that makes them. */

import { limits } from '../base/limits.js'

/**
 * Zeros, seen by every thread it is handed to. Reserved, not touched: it costs what is used of it. It may be longer than asked for.
 *
 * That is so because the C library maps long blocks and cuts shorter ones out of its heap, where what is "long" grows with what was
 * freed, up to 32 MiB: a process that opened and closed a thousand databases kept 6 GB of zeros that had been written out for rings of
 * 8 MiB. A block above that bound is always mapped, costs nothing until it is touched, and goes back whole.
 */
export function sharedBuffer(bytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(bytes < limits.heapBlockBytesMin ? bytes : Math.max(bytes, limits.heapBlockBytesMax))
}

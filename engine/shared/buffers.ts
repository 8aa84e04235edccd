/** Shared buffers by size: the only place beside the layouts of this folder that makes them. */

/** Zeros, seen by every thread it is handed to. Reserved, not touched: it costs what is used of it. */
export function sharedBuffer(bytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(bytes)
}

/**
 * Whole reads and writes, from calls that may do a part, or nothing and say "again". Shared by the storage of the file system
 * and by the one in memory, so that what a simulated disk does to the second is survived by the same lines in the first.
 *
 *   fewer bytes than asked    goes on behind them; a read that gets none is at the end of the file
 *   EINTR, EAGAIN             nothing was done: asked again at once, `limits.interruptedCallsMax` times in a row
 *   a write of no bytes       would never end: EIO
 *
 * A sync is not asked again, whatever it says: only the first failure of a sync is honest (W2 in log-writer.ts).
 */
import { limits } from '../engine/base/limits.js'

/** Reads into `target` from byte `at` of a file; answers how many bytes. */
export type ReadSome = (target: Uint8Array, at: number) => number
export type ReadSomeAsync = (target: Uint8Array, at: number) => Promise<number>
/** Writes the parts from byte `at` of a file; answers how many bytes. */
export type WriteSome = (parts: readonly Uint8Array[], at: number) => number

export function readWhole(readSome: ReadSome, target: Uint8Array, at: number): number {
  let done = 0
  for (let interruptions = 0; done < target.length; ) {
    try {
      const bytes = readSome(done === 0 ? target : target.subarray(done), at + done)
      if (bytes === 0) break
      done += bytes
      interruptions = 0
    } catch (error) {
      interruptions += 1
      if (!isInterrupted(error, interruptions)) throw error
    }
  }
  return done
}

export async function readWholeAsync(readSome: ReadSomeAsync, target: Uint8Array, at: number): Promise<number> {
  let done = 0
  for (let interruptions = 0; done < target.length; ) {
    try {
      const bytes = await readSome(done === 0 ? target : target.subarray(done), at + done)
      if (bytes === 0) break
      done += bytes
      interruptions = 0
    } catch (error) {
      interruptions += 1
      if (!isInterrupted(error, interruptions)) throw error
    }
  }
  return done
}

export function writeWhole(writeSome: WriteSome, parts: readonly Uint8Array[], at: number): void {
  let rest = parts.filter((part) => part.length > 0)
  let position = at
  for (let interruptions = 0; rest.length > 0; ) {
    try {
      const written = writeSome(rest, position)
      if (written === 0) throw systemError('EIO', 'a write wrote nothing and gave no reason')
      position += written
      rest = without(rest, written)
      interruptions = 0
    } catch (error) {
      interruptions += 1
      if (!isInterrupted(error, interruptions)) throw error
    }
  }
}

export function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code })
}

function isInterrupted(error: unknown, interruptions: number): boolean {
  const code = (error as { readonly code?: unknown } | null)?.code
  return (code === 'EINTR' || code === 'EAGAIN') && interruptions < limits.interruptedCallsMax
}

/** What a short write left over. */
function without(parts: readonly Uint8Array[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = written
  for (const part of parts) {
    if (skip >= part.length) {
      skip -= part.length
    } else {
      rest.push(part.subarray(skip))
      skip = 0
    }
  }
  return rest
}

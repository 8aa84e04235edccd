/** Whole files of checkpoints, a chunk at a time: their checksums, and copies that are proved. */
import { crc32 } from 'node:zlib'
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import type { LogStorage } from './storage.js'

export interface FileSum {
  readonly bytes: number
  readonly crc: number
}

/** Asked and told between two chunks of work that takes long. */
export interface ChunkHooks {
  readonly shouldStop?: (() => boolean) | undefined
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

export function goOn(hooks: ChunkHooks, done: number, total: number): void {
  hooks.onProgress?.(done, total)
  if (hooks.shouldStop?.() === true) {
    throw SluiceError.of('CANCELLED', 'The checkpoint was given up, as it was asked to. The one before it is whole.')
  }
}

/** Behind a chunk of a file. */
export interface ChunkStep {
  readonly bytes: number
  readonly bytesInAll: number
}

/** Reads to the end, not to a length that was said before: bytes behind the end are a difference, too. */
export function sumOfFile(storage: LogStorage, fileName: string, hooks: ChunkHooks = {}): FileSum {
  return atOnce(summing(storage, fileName), hooks)
}

/** The same in steps, for who lets the event loop turn in between. */
export function summing(storage: LogStorage, fileName: string): Generator<ChunkStep, FileSum, void> {
  return eachChunk(storage, fileName, () => {})
}

/** All steps, one after the other. */
export function atOnce<Result>(steps: Generator<ChunkStep, Result, void>, hooks: ChunkHooks): Result {
  let step = steps.next()
  try {
    for (; step.done !== true; step = steps.next()) goOn(hooks, step.value.bytes, step.value.bytesInAll)
    return step.value
  } finally {
    if (step.done !== true) steps.return(undefined as never) // closes its file
  }
}

/**
 * Copies a file whose sum is known into one that does not exist. What was read is what was promised, and is on disk under its new
 * name, or this throws or answers false and there is no new file.
 */
export function copyFile(
  from: { readonly storage: LogStorage; readonly fileName: string; readonly sum: FileSum },
  to: { readonly storage: LogStorage; readonly fileName: string },
  hooks: ChunkHooks = {},
): boolean {
  const target = to.storage.create(to.fileName)
  const isWhole = (): boolean => {
    const copying = eachChunk(from.storage, from.fileName, (chunk, at) => {
      target.write([chunk], at)
      // Chunk by chunk: one long sync at the end would stand before those of the log.
      target.sync()
    })
    const sum = atOnce(copying, hooks)
    if (!isSameSum(sum, from.sum)) return false
    to.storage.syncDirectory()
    return true
  }
  try {
    if (isWhole()) return true
  } catch (error) {
    removeQuietly(to.storage, to.fileName)
    throw error
  } finally {
    target.close()
  }
  to.storage.remove(to.fileName)
  return false
}

/** The error of the work is the one to tell; what stays behind has no manifest. */
function removeQuietly(storage: LogStorage, fileName: string): void {
  try {
    storage.remove(fileName)
  } catch {
    // See above.
  }
}

export function isSameSum(left: FileSum, right: FileSum): boolean {
  return left.bytes === right.bytes && left.crc === right.crc
}

function* eachChunk(storage: LogStorage, fileName: string, visit: (chunk: Uint8Array, at: number) => void): Generator<ChunkStep, FileSum, void> {
  const file = storage.open(fileName, 'read')
  try {
    const total = file.size()
    const chunk = new Uint8Array(Math.max(1, Math.min(limits.checkpointChunkBytes, total)))
    let bytes = 0
    let crc = 0
    for (;;) {
      const read = file.read(chunk, bytes)
      const found = chunk.subarray(0, read)
      crc = crc32(found, crc)
      visit(found, bytes)
      bytes += read
      const isEnd = read < chunk.length || bytes > total
      if (read > 0 && bytes <= total) yield { bytes, bytesInAll: total }
      if (isEnd) return { bytes, crc }
    }
  } finally {
    file.close()
  }
}

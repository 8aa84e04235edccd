/**
 * What one durable commit costs on this disk and nothing else: a write of as many bytes as a commit's frame into a
 * preallocated file of zeros, then fdatasync. Measured beside the benchmark that waits for the disk, in the same
 * minutes.
 */
import { closeSync, fdatasyncSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { LatencyRecorder } from '../statistics.js'

const pieceBytes = 2 ** 20

export class BareSync {
  readonly #file: number
  readonly #frame: Buffer
  readonly #bytes: number
  #offset = 0

  /** `frames` of `frameBytes` fit before it starts over. */
  constructor(directory: string, frameBytes: number, frames: number) {
    this.#frame = Buffer.alloc(frameBytes, 0x5a)
    this.#bytes = Math.ceil((frameBytes * frames) / pieceBytes) * pieceBytes
    this.#file = openSync(join(directory, 'bare-sync.bin'), 'w')
    const zeros = Buffer.alloc(pieceBytes)
    for (let offset = 0; offset < this.#bytes; offset += pieceBytes) writeSync(this.#file, zeros, 0, pieceBytes, offset)
    fdatasyncSync(this.#file)
  }

  run(count: number, latency: LatencyRecorder): void {
    for (let index = 0; index < count; index += 1) {
      if (this.#offset + this.#frame.length > this.#bytes) this.#offset = 0
      const start = performance.now()
      writeSync(this.#file, this.#frame, 0, this.#frame.length, this.#offset)
      fdatasyncSync(this.#file)
      latency.record(performance.now() - start)
      this.#offset += this.#frame.length
    }
  }

  close(): void {
    closeSync(this.#file)
  }
}

/**
 * How many bytes the files of a database hold, preallocated zeros at the end of a file not counted. The difference of
 * two readings is what was written between them, in whatever format.
 */
export function bytesWritten(directory: string): number {
  let bytes = 0
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += lengthWithoutZeros(readFileSync(join(entry.parentPath, entry.name)))
  }
  return bytes
}

function lengthWithoutZeros(content: Buffer): number {
  let length = content.length
  while (length > 0 && content[length - 1] === 0) length -= 1
  return length
}

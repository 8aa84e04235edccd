/**
 * The region: one SharedArrayBuffer that holds every row, version, index and long value (R1).
 *
 * An address counts 8-byte words; 0 is nowhere. The same memory is seen as doubles (`f64[address]`), as pairs of 32-bit
 * words (`i32[address * 2]`, `i32[address * 2 + 1]`) and as bytes through windows of 1 GiB, because a typed array of
 * bytes longer than that has slow indexes. No value crosses a window.
 *
 *   word 0..15           reserved: word 1 holds the top (the first word never handed out), word 2 the words in use
 *   word 16..            extents, handed out once and then reused by their owners (engine/store/domain.ts)
 *
 * The reservation costs nothing until touched, so nothing ever has to grow or be announced to other threads.
 * Why not growable buffers: 15 ns an access against 0.3 (reference: storage-measured, trap 2).
 */
import { assert } from '../base/assert.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'

export const wordBytes = 8
const windowWordsLog2 = 27
export const windowWords = 2 ** windowWordsLog2
const reservedWords = 16
const topIndex = 2

assert(windowWords * wordBytes === 2 ** 30, 'a window is 1 GiB')

/**
 * Zeros, of which the last few are a guard: a part that the buffer could grow by, so that no access reaches it and no memory stands
 * behind it. Without it the kernel joins the regions of a process into one mapping, and a process with a mapping larger than the
 * machine's memory cannot start another: `spawn` answers ENOMEM. A test run that opened seven databases of the default size came to that.
 * V8 makes buffers that can grow up to 4 GiB; longer ones have no guard.
 */
function addressSpace(bytes: number): SharedArrayBuffer {
  return bytes > limits.guardedBytesMax ? new SharedArrayBuffer(bytes) : new SharedArrayBuffer(bytes - limits.guardBytes, { maxByteLength: bytes })
}

/** The smallest number of words for so many bytes. */
export const wordsFor = (bytes: number): number => (bytes + 7) >>> 3

export class Region {
  readonly buffer: SharedArrayBuffer
  readonly f64: Float64Array
  readonly i32: Int32Array
  readonly windows: readonly Uint8Array[]
  /** Words in all. */
  readonly words: number

  constructor(buffer: SharedArrayBuffer) {
    assert(buffer.byteLength % wordBytes === 0, 'a region is a whole number of words')
    this.buffer = buffer
    this.words = buffer.byteLength / wordBytes
    // Of a fixed length: a view that follows its buffer's length is compiled to slower code.
    this.f64 = new Float64Array(buffer, 0, this.words)
    this.i32 = new Int32Array(buffer, 0, this.words * 2)
    const windows: Uint8Array[] = []
    for (let from = 0; from < this.words; from += windowWords) {
      windows.push(new Uint8Array(buffer, from * wordBytes, Math.min(windowWords, this.words - from) * wordBytes))
    }
    this.windows = windows
  }

  /** Reserves address space. A refused size is `OUT_OF_SPACE` when the user named it, halved when it was our default. */
  static reserve(bytes: number, isDefault: boolean): Region {
    for (let size = bytes; ; size = Math.floor(size / 2 / wordBytes) * wordBytes) {
      try {
        const region = new Region(addressSpace(size))
        region.i32[topIndex] = reservedWords
        return region
      } catch (cause) {
        if (isDefault && size / 2 >= limits.memoryBytesMin) continue
        throw SluiceError.of('OUT_OF_SPACE', `The machine refused ${size} bytes of address space: pass a smaller memory.bytes to open().`, { cause, details: { bytes: size } })
      }
    }
  }

  /** A small region of one thread's own, whose words it uses as it likes. */
  static scratch(bytes: number): Region {
    return new Region(new SharedArrayBuffer(Math.ceil(bytes / wordBytes) * wordBytes))
  }

  /** The window that holds an address, and the byte offset inside it. */
  windowOf(address: number): Uint8Array {
    return this.windows[address >>> windowWordsLog2]!
  }
  byteOffsetOf(address: number): number {
    return (address & (windowWords - 1)) << 3
  }

  /**
   * Hands out `words` never used words, or 0 when there are none. The only allocation that threads share.
   * An extent never crosses a window: the few words before the border are given up.
   */
  takeExtent(words: number): number {
    for (;;) {
      const top = Atomics.load(this.i32, topIndex) >>> 0
      let from = top
      if (from >>> windowWordsLog2 !== (from + words - 1) >>> windowWordsLog2) {
        from = ((from >>> windowWordsLog2) + 1) * windowWords
      }
      if (words > windowWords || from + words > this.words) return 0
      if (Atomics.compareExchange(this.i32, topIndex, top | 0, (from + words) | 0) === (top | 0)) return from
    }
  }

  /** Words handed out so far; with reuse inside the owners this is what counts against the limits (R2). */
  usedWords(): number {
    return Atomics.load(this.i32, topIndex) >>> 0
  }

  /** One opaque load before plain reads of memory that another thread writes (R12). */
  fence(): void {
    Atomics.load(this.i32, topIndex)
  }
}

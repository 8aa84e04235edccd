/**
 * What the figures of a benchmark are made of: medians with their range, latencies as percentiles, checksums.
 *
 * A median of few repetitions with its range says more about a noisy machine than a mean with a deviation would: the
 * range shows at once that a neighbour was busy. Latencies are kept as plain numbers while the clock runs and poured
 * into a histogram afterwards, because `histogram.record` is a native call that would cost as much as a short
 * transaction.
 */
import { createHistogram } from 'node:perf_hooks'

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly samples: readonly number[]
}

export function spread(samples: readonly number[]): Spread {
  if (samples.length === 0) throw new RangeError('a spread needs at least one sample')
  const sorted = [...samples].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  const lower = sorted[sorted.length % 2 === 0 ? middle - 1 : middle] as number
  const [min, max] = [sorted[0] as number, sorted[sorted.length - 1] as number]
  return { median: (lower + upper) / 2, min, max, samples: [...samples] }
}

/** Microseconds. */
export interface Latency {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

const nanosecondsPerMillisecond = 1e6
const nanosecondsPerMicrosecond = 1e3
const longestLatencyNs = 600e9

export class LatencyRecorder {
  readonly #ms: Float64Array
  #count = 0

  constructor(capacity: number) {
    this.#ms = new Float64Array(capacity)
  }

  record(ms: number): void {
    if (this.#count === this.#ms.length) throw new RangeError(`a latency recorder for ${this.#count} is full`)
    this.#ms[this.#count] = ms
    this.#count += 1
  }

  summary(): Latency {
    if (this.#count === 0) throw new RangeError('no latency was recorded')
    const histogram = createHistogram({ lowest: 1, highest: longestLatencyNs, figures: 3 })
    for (let index = 0; index < this.#count; index += 1) {
      const ns = Math.round((this.#ms[index] as number) * nanosecondsPerMillisecond)
      histogram.record(Math.min(Math.max(1, ns), longestLatencyNs))
    }
    const at = (percent: number): number => histogram.percentile(percent) / nanosecondsPerMicrosecond
    const max = histogram.max / nanosecondsPerMicrosecond
    return { count: this.#count, p50: at(50), p99: at(99), p999: at(99.9), max }
  }
}

/**
 * Checksum of a benchmark's result (FNV-1a over 32-bit words). It guards against a benchmark that became faster by
 * doing something else, so it must not depend on timing or on the order of concurrent work: feed it a state, not a
 * history.
 */
export class Checksum {
  #hash = 0x811c9dc5

  number(value: number): this {
    const high = Math.trunc(value / 0x1_0000_0000)
    this.#word(value >>> 0)
    this.#word(high >>> 0)
    return this
  }

  toString(): string {
    return this.#hash.toString(16).padStart(8, '0')
  }

  #word(word: number): void {
    this.#hash = Math.imul(this.#hash ^ word, 0x01000193) >>> 0
    // FNV over words alone leaves high bits out of the low ones.
    this.#hash = (this.#hash ^ (this.#hash >>> 15)) >>> 0
  }
}

/** Seeded and small (mulberry32): every contestant draws the same data. */
export function randomSource(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * below)
  }
}

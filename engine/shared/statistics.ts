/**
 * What the stages of the engine have done and how long it took them: written where the work is, read by main whenever somebody asks.
 *
 *   counters    one double for each name
 *   stages      for each: count, sum and maximum (ms) as doubles, then the buckets of a histogram as doubles
 *   moments     two slots [flag | key, ms]: when something was handed on, for the next thread to tell how long it lay there
 *
 * A word has one writer at a time, so that plain stores do; a reader may see a count without its sum, and is told so by nobody: these
 * are statistics. It is cheap enough to stay on because stages are timed by batches, of small batches one in `sampleEvery`, and
 * moments only when the slot is free.
 *
 * The histogram is HDR's (Tene): buckets of equal width up to 32 tenths of a microsecond, then 16 to every doubling, so that a value is
 * told to 6 %.
 */
export const stages = ['queue', 'order', 'execute', 'validate', 'seal', 'sync', 'release'] as const
export type Stage = (typeof stages)[number]

export const counters = [
  'batches', 'requests', 'crossRequests', 'strays', 'frames', 'frameBytes', 'syncs', 'keptAhead', 'staleAhead', 'leftAhead', 'lanesAhead', 'lanesInOrder',
  'referenceReruns',
] as const
export type Counter = (typeof counters)[number]

const unitsPerMs = 10_000
const linear = 32
const perDoubling = 16
const doublings = 26
const buckets = linear + doublings * perDoubling
const headWords = 3
const stageWords = headWords + buckets
const momentWords = 3
const moments = { published: 0, durable: 1 } as const
type Moment = keyof typeof moments

/** Of batches with fewer requests than this, one in `sampleEvery` is timed: a look at the clock costs 50 ns. */
const alwaysTimed = 64
const sampleEvery = 16

export interface StageSummary {
  readonly count: number
  readonly meanMs: number
  readonly p50Ms: number
  readonly p90Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
}

export class Statistics {
  readonly buffer: SharedArrayBuffer
  readonly #f64: Float64Array
  readonly #i32: Int32Array

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#f64 = new Float64Array(buffer)
    this.#i32 = new Int32Array(buffer)
  }
  static create(): Statistics {
    return new Statistics(new SharedArrayBuffer((counters.length + stages.length * stageWords + 2 * momentWords) * 8))
  }

  /** Whether a batch of so many requests is timed. */
  isTimed(batch: number, requests: number): boolean {
    return requests >= alwaysTimed || batch % sampleEvery === 0
  }

  add(counter: Counter, count: number): void {
    const at = counterAt[counter]
    this.#f64[at] = this.#f64[at]! + count
  }
  count(counter: Counter): number {
    return this.#f64[counterAt[counter]]!
  }

  record(stage: Stage, ms: number): void {
    const at = stageAt[stage]
    const f64 = this.#f64
    f64[at] = f64[at]! + 1
    f64[at + 1] = f64[at + 1]! + ms
    if (ms > f64[at + 2]!) f64[at + 2] = ms
    const bucket = at + headWords + bucketOf(ms)
    f64[bucket] = f64[bucket]! + 1
  }

  summary(stage: Stage): StageSummary {
    const at = stageAt[stage]
    const f64 = this.#f64.slice(at, at + stageWords)
    const count = f64[0]!
    const maxMs = f64[2]!
    const percentile = (share: number): number => {
      let left = Math.ceil(count * share)
      for (let bucket = 0; bucket < buckets; bucket += 1) {
        left -= f64[headWords + bucket]!
        if (left <= 0 && count > 0) return Math.min(maxMs, upperMs(bucket))
      }
      return maxMs
    }
    return { count, meanMs: count === 0 ? 0 : f64[1]! / count, p50Ms: percentile(0.5), p90Ms: percentile(0.9), p99Ms: percentile(0.99), p999Ms: percentile(0.999), maxMs }
  }

  // ── moments ───────────────────────────────────────────────────────────────────────────────────────────

  /** The slot is free: a moment may be left in it. */
  mayLeave(moment: Moment): boolean {
    return Atomics.load(this.#i32, momentAt(moment) * 2) === 0
  }
  /** Something with this key was handed on. */
  leave(moment: Moment, key: number, nowMs: number): void {
    const at = momentAt(moment)
    this.#f64[at + 1] = key
    this.#f64[at + 2] = nowMs
    Atomics.store(this.#i32, at * 2, 1)
  }
  /** The key of what was left, or undefined. */
  leftKey(moment: Moment): number | undefined {
    const at = momentAt(moment)
    return Atomics.load(this.#i32, at * 2) === 0 ? undefined : this.#f64[at + 1]!
  }
  /** It has been taken up: how long it lay there counts for a stage. */
  takeUp(moment: Moment, stage: Stage, nowMs: number): void {
    const at = momentAt(moment)
    this.record(stage, Math.max(0, nowMs - this.#f64[at + 2]!))
    Atomics.store(this.#i32, at * 2, 0)
  }
}

const counterAt = Object.fromEntries(counters.map((name, n) => [name, n])) as Readonly<Record<Counter, number>>
const stageAt = Object.fromEntries(stages.map((name, n) => [name, counters.length + n * stageWords])) as Readonly<Record<Stage, number>>
const momentAt = (moment: Moment): number => counters.length + stages.length * stageWords + moments[moment] * momentWords

function bucketOf(ms: number): number {
  const units = Math.min(2 ** 31 - 1, Math.round(ms * unitsPerMs))
  if (units < linear) return units
  const exponent = 31 - Math.clz32(units)
  return linear + (exponent - 5) * perDoubling + ((units >>> (exponent - 4)) & (perDoubling - 1))
}
/** The least time that is above a bucket. */
function upperMs(bucket: number): number {
  if (bucket < linear) return (bucket + 1) / unitsPerMs
  const exponent = 5 + Math.floor((bucket - linear) / perDoubling)
  const part = (bucket - linear) % perDoubling
  return (2 ** exponent * (1 + (part + 1) / perDoubling)) / unitsPerMs
}

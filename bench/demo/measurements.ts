/** What the parent sees of the run: latencies per type of transaction, and throughput over time. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import {
  transactionTypes,
  type Acknowledgement,
  type Outcome,
  type TransactionType,
} from '../workloads/marketplace/driver.js'

export const titles: Readonly<Record<TransactionType, string>> = {
  addItem: 'cart add',
  checkout: 'checkout',
  updatePrice: 'price update',
  updateProduct: 'product update',
  deleteProduct: 'product delete',
  delivery: 'delivery',
  dashboard: 'dashboard',
}

export const binMs = 200
const percentiles = { p50: 50, p99: 99, p999: 99.9 } as const

export interface Latencies {
  readonly type: TransactionType
  readonly count: number
  readonly perSecond: number
  readonly refused: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** A stretch of the timeline, in milliseconds since the load began. */
export interface Phase {
  readonly name: string
  /** A word that fits into a narrow band of the plot. */
  readonly short: string
  readonly kind: 'load' | 'down' | 'audit'
  readonly from: number
  readonly to: number
}

export class Measurements {
  readonly bins: number[] = []
  readonly phases: Phase[] = []
  readonly byOutcome: Record<Outcome, number> = { committed: 0, repeated: 0, refused: 0, read: 0, torn: 0 }
  invoicesSeen = 0
  #started = 0
  #total = 0
  readonly #refused = new Map<TransactionType, number>()
  readonly #histograms = new Map<TransactionType, RecordableHistogram>()

  constructor() {
    for (const type of transactionTypes) this.#histograms.set(type, createHistogram())
  }

  start(): void {
    this.#started = performance.now()
  }

  /** Milliseconds since the load began; 0 before. */
  get elapsed(): number {
    return this.#started === 0 ? 0 : performance.now() - this.#started
  }

  get total(): number {
    return this.#total
  }

  /** Transactions per second over the phases of load, downtime left out. */
  get perSecond(): number {
    return this.#total / this.loadSeconds
  }

  /** Milliseconds of the phases of load that have ended. */
  get loadMs(): number {
    return this.phases.reduce((sum, phase) => (phase.kind === 'load' ? sum + phase.to - phase.from : sum), 0)
  }

  get loadSeconds(): number {
    return Math.max(1, this.loadMs) / 1_000
  }

  countOf(type: TransactionType): number {
    return this.#histograms.get(type)!.count
  }

  /** The throughput of the last whole bins, per second. */
  recentPerSecond(bins = 5): number {
    const upTo = Math.floor(this.elapsed / binMs)
    let sum = 0
    for (let bin = Math.max(0, upTo - bins); bin < upTo; bin += 1) sum += this.bins[bin] ?? 0
    return (sum * 1_000) / (bins * binMs)
  }

  record({ type, outcome, microseconds }: Acknowledgement): void {
    const bin = Math.floor(this.elapsed / binMs)
    while (this.bins.length <= bin) this.bins.push(0)
    this.bins[bin]! += 1
    this.#total += 1
    this.byOutcome[outcome] += 1
    if (outcome === 'refused') this.#refused.set(type, (this.#refused.get(type) ?? 0) + 1)
    this.#histograms.get(type)!.record(Math.max(1, microseconds))
  }

  latencies(): Latencies[] {
    return transactionTypes.map((type) => {
      const histogram = this.#histograms.get(type)!
      const at = (percent: number): number =>
        histogram.count === 0 ? 0 : histogram.percentile(percent) / 1_000
      return {
        type,
        count: histogram.count,
        perSecond: histogram.count / this.loadSeconds,
        refused: this.#refused.get(type) ?? 0,
        p50: at(percentiles.p50),
        p99: at(percentiles.p99),
        p999: at(percentiles.p999),
        max: histogram.count === 0 ? 0 : histogram.max / 1_000,
      }
    })
  }
}

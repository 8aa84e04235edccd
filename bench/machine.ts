/** Where a figure was measured, and how quiet it was there. No figure is worth anything without this. */
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { performance } from 'node:perf_hooks'

export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memoryGiB: number
  readonly system: string
  readonly node: string
  readonly flags: string
}

/** Taken before a benchmark and after it. */
export interface Quiet {
  /** Of the last minute. Above 0.5 before a benchmark began: somebody else is at work. */
  readonly loadAverage: number
  /** A fixed arithmetic loop, best of ten: a busy neighbour or a slower clock shows here first. */
  readonly arithmeticMs: number
}

export function machine(): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? process.arch,
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${release()}`,
    node: process.version,
    flags: [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ').trim(),
  }
}

export function quiet(): Quiet {
  const arithmeticMs = Math.min(...Array.from({ length: 10 }, arithmetic))
  return { loadAverage: rounded(loadavg()[0] ?? 0), arithmeticMs: rounded(arithmeticMs) }
}

function arithmetic(): number {
  const start = performance.now()
  let state = 1
  for (let step = 1; step < 1_000_000; step += 1) state = Math.imul(state ^ step, 0x01000193)
  const ms = performance.now() - start
  // The result is used, so that the loop is not optimised away.
  return state === 0 ? ms + 1 : ms
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100
}

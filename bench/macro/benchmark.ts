/** What bench/main.ts runs: a name, a sentence, and a body for the harness. */
import type { Bench, PeerInput } from '../harness.js'
import type { Standing } from '../contest/contest.js'
import { spread, type Latency } from '../statistics.js'

export interface Benchmark {
  readonly name: string
  readonly about: string
  run(b: Bench): Promise<void>
}

/** The standing of a contestant that must have played: one of ours. */
export function ours(standings: readonly Standing[], name: string): Standing {
  const standing = standings.find((candidate) => candidate.name === name)
  if (standing === undefined) throw new Error(`no contestant "${name}" in this run`)
  if (standing.skipped !== undefined) throw new Error(`${name} could not play: ${standing.skipped}`)
  return standing
}

/** A peer's figures to stand beside ours, or nothing where it is not installed. */
export function peerOf(
  standings: readonly Standing[], name: string, samples: (standing: Standing) => readonly number[], goal?: number,
): PeerInput | undefined {
  const standing = standings.find((candidate) => candidate.name === name)
  if (standing === undefined || standing.skipped !== undefined) return undefined
  return { name, samples: samples(standing), goal }
}

/** Of several rounds: the median of each percentile, and the worst of all. */
export function latencyOfRounds(rounds: readonly Latency[]): Latency {
  const median = (of: (latency: Latency) => number): number => spread(rounds.map(of)).median
  return {
    count: rounds.reduce((sum, latency) => sum + latency.count, 0),
    p50: median((latency) => latency.p50),
    p99: median((latency) => latency.p99),
    p999: median((latency) => latency.p999),
    max: Math.max(...rounds.map((latency) => latency.max)),
  }
}

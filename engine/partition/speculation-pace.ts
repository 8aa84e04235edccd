/**
 * Whether the cross-partition lane of a batch is run ahead or in order: whatever was quicker of late.
 *
 * What a run ahead costs beside one in order depends on the procedures, on how many workers there are and on how often runs are
 * stale, and all of that changes. So both ways are timed, per request, and the other one is tried again now and then. The choice
 * changes no result, only when it is there (design §3.3).
 */
import { limits } from '../base/limits.js'

export type SpeculationMode = 'auto' | 'always' | 'never'

/** Share of a new measurement in the average. */
const weight = 0.2

export class SpeculationPace {
  readonly #mode: SpeculationMode
  #aheadMs = 0
  #orderMs = 0
  #sinceProbe = 0

  constructor(mode: SpeculationMode) {
    this.#mode = mode
  }

  /** For a lane of so many requests. */
  runsAhead(requests: number): boolean {
    if (this.#mode !== 'auto') return this.#mode === 'always' && requests > 0
    if (requests < limits.speculatedRequestsMin) return false
    const isQuicker = this.#aheadMs <= this.#orderMs
    this.#sinceProbe += 1
    if (this.#sinceProbe < limits.speculationProbeBatches) return isQuicker
    this.#sinceProbe = 0
    return !isQuicker
  }

  /** A lane has taken so long. */
  took(ranAhead: boolean, requests: number, ms: number): void {
    if (requests < limits.speculatedRequestsMin) return
    const each = ms / requests
    if (ranAhead) this.#aheadMs = this.#aheadMs === 0 ? each : this.#aheadMs + weight * (each - this.#aheadMs)
    else this.#orderMs = this.#orderMs === 0 ? each : this.#orderMs + weight * (each - this.#orderMs)
  }
}

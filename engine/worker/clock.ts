/** Batch time (R56): the wall clock at open plus the monotonic clock, in whole milliseconds, never going back. */
import type { Environment } from '../base/environment.js'
import type { BatchClock } from '../sequencer/sequencer.js'
import type { ClockPlan } from './engine-plan.js'

/** The time of a batch that would begin now. */
export function timeNow(plan: ClockPlan, environment: Environment): number {
  return plan.wallMs + Math.floor(environment.monotonicMs() - plan.monotonicMs)
}

export function makeClock(plan: ClockPlan, environment: Environment): BatchClock {
  let last = plan.wallMs
  if (plan.stepMs !== undefined) {
    const step = plan.stepMs
    return { now: () => (last += step), monotonicMs: () => environment.monotonicMs() }
  }
  return {
    now: () => {
      last = Math.max(last, timeNow(plan, environment))
      return last
    },
    monotonicMs: () => environment.monotonicMs(),
  }
}

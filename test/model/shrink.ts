/**
 * Makes a failing plan smaller: drops steps, then calls, then operations, as long as it still fails and the
 * time lasts.
 */
import type { Plan, Step } from '../support/plans.js'

export async function shrink(
  plan: Plan,
  fails: (plan: Plan) => Promise<boolean>,
  ms = 15_000,
): Promise<Plan> {
  const end = performance.now() + ms
  let smallest = plan
  const attempt = async (smaller: Plan) => {
    if (performance.now() > end || !(await fails(smaller))) return false
    smallest = smaller
    return true
  }
  await dropParts(() => smallest, attempt)
  for (let at = smallest.length - 1; at >= 0; at -= 1) {
    const calls = () => callsOf(smallest[at]) ?? []
    const withCalls = (kept: ReturnType<typeof calls>) =>
      smallest.map((step, index): Step => (index === at && 'calls' in step ? { ...step, calls: kept } : step))
    await dropParts(calls, (kept) => attempt(withCalls(kept)))
    for (let call = calls().length - 1; call >= 0; call -= 1) {
      const script = () => calls()[call]!.script
      await dropParts(script, async (kept) => {
        // The journal row is what ties a call to its commit: without it the plan would fail for another
        // reason.
        if (calls()[call]!.writes && !kept.some((op) => op.op === 'insert' && op.table === 'journal'))
          return false
        return attempt(withCalls(calls().map((it, index) => (index === call ? { ...it, script: kept } : it))))
      })
    }
  }
  return smallest
}

const callsOf = (step: Step | undefined) => (step && 'calls' in step ? step.calls : undefined)

/** Halves first, single parts last. */
async function dropParts<T>(
  current: () => readonly T[],
  attempt: (kept: readonly T[]) => Promise<boolean>,
): Promise<void> {
  for (let size = current().length >> 1; size >= 1; size >>= 1) {
    for (let from = 0; from < current().length;) {
      const list = current()
      if (!(await attempt([...list.slice(0, from), ...list.slice(from + size)]))) from += size
    }
  }
}

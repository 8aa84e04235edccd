/**
 * The calls of a simulation: those of one random plan after the other (support/plans.ts), numbered on. A plan is aimed at the state
 * that its own calls lead to; after a crash it meets another one, and more of its calls fail, each for a reason the model knows.
 */
import { planOf, type Call } from '../support/plans.js'
import { randomOf } from '../support/random.js'

const callsPerPlanMax = 10_000

export class CallSource {
  /** All that were handed out, by number. */
  readonly calls = new Map<number, Call>()
  readonly #waiting: Call[] = []
  #seed: number
  #plans = 0

  constructor(seed: number) {
    this.#seed = seed
  }

  next(): Call {
    if (this.#waiting.length === 0) this.#plan()
    const call = this.#waiting.shift()!
    this.calls.set(call.n, call)
    return call
  }

  #plan(): void {
    const plan = planOf(randomOf(this.#seed), { steps: 12, reopen: false })
    this.#seed = (this.#seed + 0x9e37_79b1) >>> 0
    // Each plan counts its calls, events and notes from 1.
    const base = this.#plans * callsPerPlanMax
    this.#plans += 1
    for (const step of plan) if ('calls' in step) for (const call of step.calls) this.#waiting.push(renumbered(call, base))
    if (this.#waiting.length === 0) this.#plan()
  }
}

/** Journal rows, notes and events of a plan are told apart by number. */
function renumbered(call: Call, base: number): Call {
  const shift = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(shift)
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
    const it = value as Record<string, unknown>
    const isNumbered = it['op'] === 'insert' && (it['table'] === 'journal' || it['table'] === 'note')
    const entries = Object.entries(it).map(([name, inner]): [string, unknown] => {
      const hasNumber = (isNumbered && name === 'row') || (it['op'] === 'emit' && name === 'payload')
      if (!hasNumber) return [name, name === 'script' ? shift(inner) : inner]
      const row = inner as Record<string, unknown>
      return [name, { ...row, n: Number(row['n']) + base }]
    })
    return Object.fromEntries(entries)
  }
  return { ...call, n: call.n + base, script: shift(call.script) as Call['script'] }
}

/**
 * What the client knows: how many steps of each plan were acknowledged, and which of them were refused.
 *
 * The steps of a plan run one after the other, so a count per plan says which ones were acknowledged. Any of them may
 * be refused: one bit per step. Dashboards commit nothing and are
 * not entered. A few bytes per plan travel easily between processes.
 */
const plansAtFirst = 1_024

export interface PackedLedger {
  readonly steps: Uint8Array
  readonly refused: Uint16Array
  readonly seen: Uint8Array
}

export class Ledger {
  #steps: Uint8Array = new Uint8Array(plansAtFirst)
  #refused: Uint16Array = new Uint16Array(plansAtFirst)
  #seen: Uint8Array = new Uint8Array(plansAtFirst)
  #plans = 0

  static unpack(packed: PackedLedger): Ledger {
    const ledger = new Ledger()
    ledger.#steps = packed.steps
    ledger.#refused = packed.refused
    ledger.#seen = packed.seen
    ledger.#plans = packed.steps.length
    return ledger
  }

  pack(): PackedLedger {
    const plans = this.#plans
    return {
      steps: this.#steps.slice(0, plans),
      refused: this.#refused.slice(0, plans),
      seen: this.#seen.slice(0, plans),
    }
  }

  /** Plans are numbered from 1; all below this number may have been acknowledged. */
  get plans(): number {
    return this.#plans
  }

  acknowledge(plan: number, step: number, refused: boolean): void {
    this.#reach(plan)
    if (this.#steps[plan] !== step) {
      throw new Error(
        `Step ${step} of plan ${plan} was acknowledged after ${this.#steps[plan]} of its steps.`,
      )
    }
    this.#steps[plan] = step + 1
    if (refused) this.#refused[plan]! |= 1 << step
  }

  /** A subscriber has seen the invoice of this plan's checkout. */
  see(plan: number): void {
    this.#reach(plan)
    this.#seen[plan] = 1
  }

  stepsOf(plan: number): number {
    return this.#steps[plan] ?? 0
  }

  /** One bit per step. */
  refusedSteps(plan: number): number {
    return this.#refused[plan] ?? 0
  }

  hasSeen(plan: number): boolean {
    return this.#seen[plan] === 1
  }

  #reach(plan: number): void {
    if (plan >= this.#plans) this.#plans = plan + 1
    if (plan < this.#steps.length) return
    const length = Math.max(plan + 1, 2 * this.#steps.length)
    const { steps, refused, seen } = this.pack()
    this.#steps = new Uint8Array(length)
    this.#refused = new Uint16Array(length)
    this.#seen = new Uint8Array(length)
    this.#steps.set(steps)
    this.#refused.set(refused)
    this.#seen.set(seen.subarray(0, length))
  }
}

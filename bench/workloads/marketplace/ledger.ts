/**
 * What the client knows: how many steps of each plan were acknowledged, and how the last of them ended.
 *
 * The steps of a plan run one after the other, so a count per plan says which ones. Only the last step of a
 * plan can be refused (a checkout), so one bit per plan is enough for that. Dashboards commit nothing and are
 * not entered. A few bytes per plan travel easily between processes.
 */
const plansAtFirst = 1_024

export interface PackedLedger {
  readonly steps: Uint8Array
  readonly refused: Uint8Array
  readonly seen: Uint8Array
}

export class Ledger {
  #steps: Uint8Array = new Uint8Array(plansAtFirst)
  #refused: Uint8Array = new Uint8Array(plansAtFirst)
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
    const upTo = (bytes: Uint8Array): Uint8Array => bytes.slice(0, this.#plans)
    return { steps: upTo(this.#steps), refused: upTo(this.#refused), seen: upTo(this.#seen) }
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
    if (refused) this.#refused[plan] = 1
  }

  /** A subscriber has seen the invoice of this plan's checkout. */
  see(plan: number): void {
    this.#reach(plan)
    this.#seen[plan] = 1
  }

  stepsOf(plan: number): number {
    return this.#steps[plan] ?? 0
  }

  refusedLast(plan: number): boolean {
    return this.#refused[plan] === 1
  }

  hasSeen(plan: number): boolean {
    return this.#seen[plan] === 1
  }

  #reach(plan: number): void {
    if (plan >= this.#plans) this.#plans = plan + 1
    if (plan < this.#steps.length) return
    const grow = (bytes: Uint8Array): Uint8Array => {
      const grown = new Uint8Array(Math.max(plan + 1, 2 * bytes.length))
      grown.set(bytes)
      return grown
    }
    this.#steps = grow(this.#steps)
    this.#refused = grow(this.#refused)
    this.#seen = grow(this.#seen)
  }
}

/**
 * What a criterion found: how often it looked, how often it was wrong, and the first examples. Plain data, so
 * that it travels.
 */

export const criteria = {
  1: 'Atomic checkout: every order has all its parts, in matching numbers',
  2: 'Money: order, items, payments and entries add up to the cent',
  3: 'Order ids: dense 1..n per customer',
  4: 'Stock: nothing reserved between checkouts, available + sold = initial',
  5: 'Product and stock: both exist, with one version and status',
  6: 'Replica: the cart service sees the catalogue as it is',
  7: 'Cart prices: current, and net price unchanged since the add',
  8: 'Dashboard: totals and list are of one moment',
  9: 'Delivery: one state in all services, each package once, oldest first',
  10: 'History: every order goes its way step by step',
  11: 'Serializability: a serial replay gives the same rows',
  12: 'Durability: everything acknowledged survived, nothing is half done',
} as const
export type Criterion = keyof typeof criteria

/** Ascending. Objects with integer keys keep that order. */
export const criterionNumbers = Object.keys(criteria).map(Number) as readonly Criterion[]

const examplesMax = 5

export interface Finding {
  readonly criterion: Criterion
  readonly checked: number
  readonly violations: number
  readonly examples: readonly string[]
}

export class Verdict {
  readonly criterion: Criterion
  #checked = 0
  #violations = 0
  readonly #examples: string[] = []

  constructor(criterion: Criterion) {
    this.criterion = criterion
  }

  /** `message` is asked for only when it is needed. */
  expect(holds: boolean, message: () => string): void {
    this.#checked += 1
    if (holds) return
    this.#violations += 1
    if (this.#examples.length < examplesMax) this.#examples.push(message())
  }

  finding(): Finding {
    return {
      criterion: this.criterion,
      checked: this.#checked,
      violations: this.#violations,
      examples: [...this.#examples],
    }
  }
}

/** Findings of several looks at the same criteria, as one list in the order of their numbers. */
export function merge(...lists: readonly (readonly Finding[])[]): Finding[] {
  const merged: Finding[] = []
  for (const criterion of criterionNumbers) {
    const found = lists.flat().filter((finding) => finding.criterion === criterion)
    if (found.length === 0) continue
    merged.push({
      criterion,
      checked: found.reduce((sum, finding) => sum + finding.checked, 0),
      violations: found.reduce((sum, finding) => sum + finding.violations, 0),
      examples: found.flatMap((finding) => finding.examples).slice(0, examplesMax),
    })
  }
  return merged
}

/** A criterion that looked at nothing has not been met. */
export function holds(finding: Finding): boolean {
  return finding.checked > 0 && finding.violations === 0
}

/** What the call with number `n` of a list-append history asks for: known to the parent and to the child without talking. */
import type { Wish } from '../support/apps/list-app.js'
import { randomOf } from '../support/random.js'

/** Lists are replaced when so many calls have come. */
const callsPerKeys = 120
const keysAtOnce = 4
const valuesPerCall = 8
/** Lists of the table of parts are numbered apart. */
export const partsApart = 1_000_000

export interface ListCall {
  readonly n: number
  /** In rows of their own, each list in a partition; else as one value each, in the cross-partition lane. */
  readonly isInParts: boolean
  readonly fails: boolean
  readonly wishes: readonly Wish[]
}

export function listCallOf(n: number): ListCall {
  const random = randomOf(n + 1)
  const keyOf = (): number => Math.floor(n / callsPerKeys) * keysAtOnce + random.below(keysAtOnce)
  const isInParts = random.chance(0.4)
  const fails = random.chance(0.06)
  const wishes = Array.from({ length: 1 + random.below(4) }, (_, at): Wish =>
    random.chance(0.5) ? { read: keyOf() } : { append: keyOf(), value: (n + 1) * valuesPerCall + at },
  )
  return { n, isInParts, fails, wishes }
}

/** All lists that calls below `n` have to do with. */
export const keysBelow = (n: number): number[] => Array.from({ length: (Math.floor(n / callsPerKeys) + 1) * keysAtOnce }, (_, key) => key)

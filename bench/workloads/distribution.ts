/**
 * Who is asked for: uniformly, or skewed as in YCSB (Gray et al., "Quickly generating billion-record synthetic databases"): the
 * item of rank r with weight 1 / (r + 1) ** 0.99.
 *
 * Popular items are scattered over all of them, as in YCSB's scrambled distribution. There a hash does it, under which some items
 * share a place and others get none; here ranks are permuted, so that the skew is exactly the one that is named.
 */
export type Distribution = 'uniform' | 'zipf'

export const zipfSkew = 0.99

/** A prime: multiplying by it permutes the numbers below any `count` that is no multiple of it. */
const scatterPrime = 2_654_435_761
/** Products stay whole numbers. */
const countMax = Math.floor(Number.MAX_SAFE_INTEGER / scatterPrime)

const words = 0x1_0000_0000

/** Draws of 0 to `count` - 1. `below` is where chance comes from. */
export function draws(distribution: Distribution, count: number, below: (limit: number) => number): () => number {
  if (distribution === 'uniform') return () => below(count)
  if (count > countMax) throw new RangeError(`at most ${countMax} items can be scattered, not ${count}`)
  const rank = zipfRanks(count, below)
  return () => (rank() * scatterPrime) % count
}

/** Ranks from 0, the most popular one, to `count` - 1. */
export function zipfRanks(count: number, below: (limit: number) => number): () => number {
  let zeta = 0
  for (let rank = 1; rank <= count; rank += 1) zeta += 1 / rank ** zipfSkew
  const zetaOfTwo = 1 + 0.5 ** zipfSkew
  const alpha = 1 / (1 - zipfSkew)
  const eta = (1 - (2 / count) ** (1 - zipfSkew)) / (1 - zetaOfTwo / zeta)
  return () => {
    const fraction = below(words) / words
    const target = fraction * zeta
    if (target < 1 || count === 1) return 0
    if (target < zetaOfTwo || count === 2) return 1
    return Math.min(count - 1, Math.floor(count * (eta * fraction - eta + 1) ** alpha))
  }
}

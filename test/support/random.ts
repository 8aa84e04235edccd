/**
 * Seeded randomness for tests. A failure always prints its seed; `SLUICE_SEED=<n>` runs that seed alone.
 */
export interface Random {
  readonly seed: number
  /** Whole, from 0 to below `end`. */
  below(end: number): number
  chance(probability: number): boolean
  pick<T>(from: readonly T[]): T
  fraction(): number
}

/** mulberry32: 32 bits of state, good enough to choose test data. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  const fraction = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (end: number) => Math.floor(fraction() * end)
  return {
    seed,
    fraction,
    below,
    chance: (probability) => fraction() < probability,
    pick: (from) => from[below(from.length)]!,
  }
}

/** `count` seeds: the first half always the same, the others new in every run. `SLUICE_RUNS` multiplies. */
export function seeds(count: number): number[] {
  const wanted = process.env['SLUICE_SEED']
  if (wanted !== undefined) return [Number(wanted)]
  const total = Math.max(1, Math.round(count * Number(process.env['SLUICE_RUNS'] ?? 1)))
  const fixed = Math.ceil(count / 2)
  return Array.from({ length: total }, (_, at) =>
    at < fixed ? 1_000 + at : Math.floor(Math.random() * 2 ** 31),
  )
}

export async function withSeed<T>(seed: number, run: (random: Random) => Promise<T>): Promise<T> {
  try {
    return await run(randomOf(seed))
  } catch (error) {
    throw new Error(
      `seed ${seed} (run it alone with SLUICE_SEED=${seed}): ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
}

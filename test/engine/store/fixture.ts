/** A small region with one domain and room for cells; and a generator whose seed stands in the name of the test. */
import { Domain, domainWords } from '../../../engine/store/domain.js'
import { Region } from '../../../engine/shared/region.js'

export interface Fixture {
  readonly region: Region
  readonly domain: Domain
  /** Zeroed words for states and cells. */
  readonly take: (words: number) => number
}

export function fixture(bytes: number): Fixture {
  const region = Region.reserve(bytes, false)
  const at = region.takeExtent(domainWords)
  const domain = new Domain(region, at)
  return { region, domain, take: (words) => region.takeExtent(words) }
}

export interface Random {
  /** 0 .. below - 1 */
  below(n: number): number
  chance(p: number): boolean
  int32(): number
}

export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
  return { below: (n) => next() % n, chance: (p) => next() < p * 2 ** 32, int32: () => next() | 0 }
}

/** Two known seeds and a fresh one; SEED=... runs that one alone. */
export const seeds: readonly number[] =
  process.env['SEED'] === undefined ? [1, 20_240_607, Math.floor(Math.random() * 2 ** 31)] : [Number(process.env['SEED'])]

/**
 * Random numbers by name: the stream of `(seed, place)` is the same wherever and whenever it is asked for.
 *
 * That is what lets the parent, the child before the kill, the child after it and the serial replay agree on
 * the input of request 4711 without telling each other.
 */

/** sfc32, seeded by mixing the two numbers with splitmix32. */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number, place: number) {
    let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(place + 1, 0x85ebca77)) >>> 0
    const mix = (): number => {
      state = (state + 0x9e3779b9) >>> 0
      let word = state
      word = Math.imul(word ^ (word >>> 16), 0x21f0aaad)
      word = Math.imul(word ^ (word >>> 15), 0x735a2d97)
      return (word ^ (word >>> 15)) >>> 0
    }
    this.#a = mix()
    this.#b = mix()
    this.#c = mix()
    for (let round = 0; round < 12; round += 1) this.word()
  }

  word(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    this.#c |= 0
    return sum >>> 0
  }

  /** In [0, 1). */
  fraction(): number {
    return this.word() / 0x1_0000_0000
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low + 1))
  }

  pick<T>(values: readonly T[]): T {
    return values[this.between(0, values.length - 1)]!
  }
}

/** Ranks 0..count-1 with weight 1 / (rank + 1) ** skew. A skew of 0 is the uniform distribution. */
export function ranks(count: number, skew: number): (random: Random) => number {
  if (skew === 0) return (random) => random.between(0, count - 1)
  const upTo = new Float64Array(count)
  let sum = 0
  for (let rank = 0; rank < count; rank += 1) upTo[rank] = sum += 1 / (rank + 1) ** skew
  return (random) => {
    const target = random.fraction() * sum
    let low = 0
    let high = count - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (upTo[middle]! > target) high = middle
      else low = middle + 1
    }
    return low
  }
}

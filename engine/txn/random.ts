/**
 * Randomness of a transaction (R33): a function of the database's seed, the batch, and the place of the request among those
 * that the batch took in. So it is the same in a re-run, on any worker, and in a replay.
 *
 * Mixing: SplitMix-style finalizers into the state of sfc32 (Chris Doty-Humphrey, PractRand), which passes the usual batteries
 * and costs a few nanoseconds. Not for secrets.
 */
export class TransactionRandom {
  #a = 0
  #b = 0
  #c = 0
  #counter = 0

  seed(database: number, batch: number, place: number): void {
    const low = batch | 0
    const high = Math.floor(batch / 2 ** 32) | 0
    this.#a = mix(database ^ 0x9e3779b9)
    this.#b = mix(low ^ this.#a)
    this.#c = mix(place ^ high ^ this.#b)
    this.#counter = 1
    for (let n = 0; n < 12; n += 1) this.u32()
  }

  u32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** In [0, 1), 53 bits. */
  unit(): number {
    return ((this.u32() >>> 5) * 67_108_864 + (this.u32() >>> 6)) / 9_007_199_254_740_992
  }

  fill(bytes: Uint8Array): void {
    for (let n = 0; n < bytes.length; n += 1) bytes[n] = this.u32() >>> 24
  }

  /** A version 4 UUID. */
  uuid(): string {
    const words = [this.u32(), this.u32(), this.u32(), this.u32()] as const
    const hex = words.map((word) => word.toString(16).padStart(8, '0')).join('')
    const variant = ((words[2] >>> 28) & 3) | 8
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant.toString(16)}${hex.slice(17, 20)}-${hex.slice(20)}`
  }
}

function mix(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x21f0aaad)
  value = Math.imul(value ^ (value >>> 15), 0x735a2d97)
  return value ^ (value >>> 15)
}

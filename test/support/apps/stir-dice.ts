/** A hash of what was read, and dice that are thrown with it. */
import type { Tx } from './stir-tables.js'

/** Set while somebody wants to know what programs do: gets each step and what it answered. */
export const watcher: { saw: ((step: string, answer: unknown) => void) | undefined } = { saw: undefined }

export const places = 6

export class Dice {
  /** All that was read so far. */
  stirred = 0
  readonly answers: unknown[] = []
  protected readonly tx: Tx
  protected readonly home: number | undefined
  #dice = 0

  constructor(tx: Tx, home: number | undefined) {
    this.tx = tx
    this.home = home
  }

  /** For the next step. Three of four numbers are thrown with what was read. */
  protected throwWith(number: number): number {
    const isBlind = (number & 3) === 0
    this.#dice = mixed(number, isBlind ? 0 : this.stirred)
    return this.#dice >>> 2
  }
  protected below(end: number): number {
    this.#dice = mixed(this.#dice, end)
    return (this.#dice >>> 8) % end
  }
  protected pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }
  /** Mostly at home, where there is one. */
  protected at(): number {
    const at = this.below(places)
    return this.home === undefined || this.below(12) === 0 ? at : this.home
  }
  protected see(step: string, answer: unknown): void {
    watcher.saw?.(step, answer)
    if (answer === undefined) return
    this.stirred = stirredWith(this.stirred, answer)
    if (this.answers.length < 3) this.answers.push(typeof answer === 'object' ? this.stirred : answer)
  }
}

function mixed(a: number, b: number): number {
  let mix = Math.imul(a ^ Math.imul(b, 0x9e3779b1), 0x85ebca6b)
  mix ^= mix >>> 13
  mix = Math.imul(mix, 0xc2b2ae35)
  return mix ^ (mix >>> 16)
}

/** Any two different answers leave different stirs, as good as always. */
function stirredWith(from: number, value: unknown): number {
  switch (typeof value) {
    case 'number':
      return Number.isInteger(value) ? mixed(from, value | 0) : stirredWith(from, String(value))
    case 'string': {
      let hash = mixed(from, value.length)
      for (let n = 0; n < value.length; n += 1) hash = Math.imul(hash ^ value.charCodeAt(n), 0x01000193)
      return hash
    }
    case 'boolean':
      return mixed(from, value ? 3 : 5)
    case 'bigint':
      return mixed(from, Number(BigInt.asIntN(32, value)))
    case 'object': {
      if (value === null) return mixed(from, 7)
      if (value instanceof Uint8Array) return value.reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), mixed(from, value.length))
      let hash = mixed(from, 9)
      for (const entry of Object.values(value)) hash = stirredWith(hash, entry)
      return hash
    }
    default:
      return mixed(from, 11)
  }
}

/**
 * A map from Int32 to Int32 that is emptied in no time: open addressing, where a slot counts only while its stamp is the
 * current one. For what a transaction or a batch remembers about addresses and forgets as a whole.
 *
 * 0 is no value: `get` answers it for a key that is not there.
 */
const slotInts = 3
const loadMax = 0.5

export class StampedMap {
  #slots: Int32Array
  #count = 0
  #stamp = 1

  /** `capacity`: a power of two; the map grows by itself. */
  constructor(capacity = 64) {
    this.#slots = new Int32Array(capacity * slotInts)
  }

  get size(): number {
    return this.#count
  }

  clear(): void {
    this.#count = 0
    this.#stamp = (this.#stamp + 1) | 0
    if (this.#stamp !== 0) return
    this.#slots.fill(0)
    this.#stamp = 1
  }

  get(key: number): number {
    const slots = this.#slots
    const mask = slots.length / slotInts - 1
    for (let slot = slotOf(key) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * slotInts
      if (slots[at] !== this.#stamp) return 0
      if (slots[at + 1] === key) return slots[at + 2]!
    }
  }

  set(key: number, value: number): void {
    if (this.#count + 1 > (this.#slots.length / slotInts) * loadMax) this.#grow()
    const at = this.#placeOf(key)
    this.#slots[at + 2] = value
  }

  /** Sets bits of the value of a key. */
  add(key: number, bits: number): void {
    if (this.#count + 1 > (this.#slots.length / slotInts) * loadMax) this.#grow()
    const at = this.#placeOf(key)
    this.#slots[at + 2] = this.#slots[at + 2]! | bits
  }

  /** The slot of a key, made where there is none. */
  #placeOf(key: number): number {
    const slots = this.#slots
    const mask = slots.length / slotInts - 1
    for (let slot = slotOf(key) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * slotInts
      if (slots[at] !== this.#stamp) {
        slots[at] = this.#stamp
        slots[at + 1] = key
        slots[at + 2] = 0
        this.#count += 1
        return at
      }
      if (slots[at + 1] === key) return at
    }
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Int32Array(old.length * 2)
    this.#count = 0
    for (let at = 0; at < old.length; at += slotInts) {
      if (old[at] === this.#stamp) this.#slots[this.#placeOf(old[at + 1]!) + 2] = old[at + 2]!
    }
  }
}

function slotOf(key: number): number {
  const hash = Math.imul(key, 0x9e3779b1)
  return (hash ^ (hash >>> 15)) >>> 0
}

/**
 * Snapshot table: which old versions are still being read.
 *
 * Every open snapshot owns one slot and publishes the batch it reads at. A reclaimer takes the minimum over all slots; a
 * version that was superseded at or before that minimum is unreachable.
 *
 *   byte 0          8                                       64
 *        +----------+---------------------------------------+
 *  head  | used     | slots ever taken                      |
 *        +----------+---------------------------------------+
 *  floor | floor    | of domain 0 ...                       |   one line for each domain
 *        +----------+---------------------------------------+
 *  slot  | held     | padding, so that no two threads share |
 *        |          | a cache line                          |
 *        +----------+---------------------------------------+
 *
 * Invariants:
 *   S1  A slot is written by the thread that owns the snapshot; a reclaimer may only overwrite it with `expired` (R15).
 *   S2  After announcing a durable batch the reader sees that `durable` has not moved, or takes the newer one.
 *   S3  A reclaimer reads `durable` before the slots. With S2 a slot it misses holds at least the `durable` it has.
 *   S4  A reader of an older batch (`asOf`) announces first and then looks at the floors; a reclaimer raises its floor first
 *       and then looks at the slots. One of the two sees the other.
 *
 * Why not a reference count per version: readers would write to cache lines that all other readers need.
 */
import { assert } from '../base/assert.js'
import { limits } from '../base/limits.js'

const slotWords = 8
const nothingHeld = 0n
const expired = -1n

export class SnapshotTable {
  readonly buffer: SharedArrayBuffer
  readonly #held: BigInt64Array
  readonly #slotsAt: number
  readonly #free: number[] = []

  constructor(buffer: SharedArrayBuffer, domains: number) {
    this.buffer = buffer
    this.#held = new BigInt64Array(buffer)
    this.#slotsAt = (1 + domains) * slotWords
  }

  static create(domains: number): SnapshotTable {
    return new SnapshotTable(new SharedArrayBuffer((1 + domains + limits.snapshotSlots) * slotWords * 8), domains)
  }

  // ── readers ───────────────────────────────────────────────────────────────────────────────────────────

  /** A free slot, or -1 when all are taken. Slots are handed out by main only. */
  take(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const used = Number(Atomics.load(this.#held, 0))
    if (used === limits.snapshotSlots) return -1
    Atomics.store(this.#held, 0, BigInt(used + 1))
    return used
  }

  give(slot: number): void {
    Atomics.store(this.#held, this.#word(slot), nothingHeld)
    this.#free.push(slot)
  }

  /** Pins the newest durable batch (S2) and answers it. */
  holdNewest(slot: number, durable: () => number): number {
    for (;;) {
      const batch = durable()
      Atomics.store(this.#held, this.#word(slot), BigInt(batch))
      if (durable() === batch) return batch
    }
  }

  /**
   * Moves a hold forward to a batch that was durable when it was looked up. No second look is needed: a reclaimer that misses
   * the new hold sees the old one, which is below it.
   */
  moveHold(slot: number, batch: number): void {
    Atomics.store(this.#held, this.#word(slot), BigInt(batch))
  }

  /** Pins an older batch; false when it was reclaimed already (S4). */
  holdOld(slot: number, batch: number, domains: number): boolean {
    Atomics.store(this.#held, this.#word(slot), BigInt(batch))
    for (let domain = 0; domain < domains; domain += 1) {
      if (this.floor(domain) > batch) {
        Atomics.store(this.#held, this.#word(slot), nothingHeld)
        return false
      }
    }
    return true
  }

  /** The slot was overwritten by a reclaimer that ran out of memory (R15). */
  isExpired(slot: number): boolean {
    return Atomics.load(this.#held, this.#word(slot)) === expired
  }

  // ── reclaimers ────────────────────────────────────────────────────────────────────────────────────────

  /** The batch below which a domain has forgotten versions. */
  floor(domain: number): number {
    return Number(Atomics.load(this.#held, (1 + domain) * slotWords))
  }
  raiseFloor(domain: number, batch: number): void {
    assert(batch >= this.floor(domain), 'a floor never falls')
    Atomics.store(this.#held, (1 + domain) * slotWords, BigInt(batch))
  }

  /** The oldest batch anybody holds, `ceiling` at most. */
  oldestHeld(ceiling: number): number {
    let oldest = ceiling
    const used = Number(Atomics.load(this.#held, 0))
    for (let slot = 0; slot < used; slot += 1) {
      const held = Atomics.load(this.#held, this.#word(slot))
      if (held > 0n && Number(held) < oldest) oldest = Number(held)
    }
    return oldest
  }

  /** Takes the oldest snapshot away from its holder, who will find `SNAPSHOT_TOO_OLD`. `spare`: main's own standing slot. */
  expireOldest(spare: number): boolean {
    let victim = -1
    let oldest = 0n
    const used = Number(Atomics.load(this.#held, 0))
    for (let slot = 0; slot < used; slot += 1) {
      if (slot === spare) continue
      const held = Atomics.load(this.#held, this.#word(slot))
      if (held > 0n && (victim < 0 || held < oldest)) {
        victim = slot
        oldest = held
      }
    }
    if (victim < 0) return false
    return Atomics.compareExchange(this.#held, this.#word(victim), oldest, expired) === oldest
  }

  #word(slot: number): number {
    return this.#slotsAt + slot * slotWords
  }
}

/**
 * The hash index: primary keys of one table in one partition, by 32-bit hash (R7, R17).
 *
 *   state (3 words)   i32: directory, spare | i32: entries, pieces | f64: words taken
 *   directory block   i32: depth, slots | i32: piece, one for each of the 2^depth leading bits of a mixed hash
 *   piece block       i32: mask, used | i32: live, depth | [hash, row] ...         2^n words, mask = 2^n - 1
 *
 * Extendible hashing. A piece that is three quarters full is built anew: at the same size when tombstones filled it, doubled
 * while it is small, else as two pieces by the next bit. So no operation costs more than one piece. The two header words stand
 * in places 0 and 1 of the table itself, which keeps a piece a power of two and so a size class of its own.
 *
 * Invariants:
 *   H1  Entries never move inside a piece and never become empty again (a removed one keeps a tombstone), and the row word is
 *       written last: a reader on another thread stops its probe at the first empty place and has missed nothing.
 *   H2  A new piece is complete before a slot shows it, and a new directory before the state does. The old block is retired
 *       as it is, so whoever still looks at it finds every row of its snapshot.
 *   H3  Linking replaces a slot only if it shows the old piece. If a thread dies between two slots, the others still show a
 *       piece that is whole for their hashes (R4).
 *   H4  All that can fail is in `reserve`, which changes no content.
 *
 * A foreign reader may meet a torn pair (new hash, old row): `equals` compares whole keys, so that is only a wasted look.
 * A hash may be any int32; it is mixed here, because directory and place take different ends of it. If so many keys share
 * one hash that splitting does not help, their piece grows beyond its limit instead of the directory.
 *
 * Why not one table: rehashing 2.5 M rows stops a partition for 90 ms.
 */
import { assert } from '../base/assert.js'
import { limits } from '../base/limits.js'
import type { Region } from '../shared/region.js'
import type { Domain } from './domain.js'

export const hashStateWords = 3
const entriesAt = 2
const piecesAt = 3
const wordsAt = 2

const pieceHeaderWords = 2
const pieceWordsMin = 16
const pieceWordsMax = limits.hashPieceEntriesMax
/** More directory bits than this and the hashes are to blame: the piece grows instead. */
const depthMax = 16
const tombstone = -1

assert((pieceWordsMax & (pieceWordsMax - 1)) === 0, 'a piece is a power of two')

/** The sought key: answers whether a row has it. */
export interface KeyMatcher {
  equals(row: number): boolean
}

const mixed = (hash: number): number => {
  const spread = Math.imul(hash ^ (hash >>> 16), 0x9e3779b1)
  return spread ^ (spread >>> 15)
}
const slotOf = (mix: number, depth: number): number => (mix >>> 1) >>> (31 - depth)
const directoryWords = (depth: number): number => 1 + ((2 ** depth + 1) >>> 1)
/** The size at which so many live entries leave at least as much room again. */
function pieceWordsFor(live: number): number {
  let words = pieceWordsMin
  while (words < live * 2 + pieceHeaderWords) words *= 2
  return words
}

export class HashIndex {
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly #domain: Domain
  readonly #region: Region
  readonly #address: number
  readonly #state: number

  /** `address`: `hashStateWords` words of the region; zeroed words are an empty index. */
  constructor(region: Region, domain: Domain, address: number) {
    this.#region = region
    this.#i32 = region.i32
    this.#f64 = region.f64
    this.#domain = domain
    this.#address = address
    this.#state = address * 2
  }

  get entries(): number {
    return this.#i32[this.#state + entriesAt]!
  }
  /** Words that directory and pieces take now, without retired ones. */
  get words(): number {
    return this.#f64[this.#address + wordsAt]!
  }

  /** The row with this hash that `key` accepts, or 0. Any thread. */
  find(hash: number, key: KeyMatcher): number {
    const i32 = this.#i32
    const directory = i32[this.#state]!
    if (directory === 0) return 0
    const mix = mixed(hash)
    const piece = i32[directory * 2 + 2 + slotOf(mix, i32[directory * 2]!)]! * 2
    const mask = i32[piece]!
    for (let place = mix & mask, steps = mask; steps >= 0; place = (place + 1) & mask, steps -= 1) {
      if (place < pieceHeaderWords) place = pieceHeaderWords
      const row = i32[piece + place * 2 + 1]!
      if (row === 0) return 0
      if (i32[piece + place * 2] === hash && row > 0 && key.equals(row)) return row
    }
    return 0
  }

  /**
   * The first row with this hash, or 0, for a caller who compares keys himself: `seekNext` answers the one behind it. Only while
   * nothing is inserted or removed.
   */
  seek(hash: number): number {
    const i32 = this.#i32
    const directory = i32[this.#state]!
    if (directory === 0) return 0
    const mix = mixed(hash)
    const piece = i32[directory * 2 + 2 + slotOf(mix, i32[directory * 2]!)]! * 2
    const mask = i32[piece]!
    for (let place = mix & mask, steps = mask; steps >= 0; place = (place + 1) & mask, steps -= 1) {
      if (place < pieceHeaderWords) place = pieceHeaderWords
      const row = i32[piece + place * 2 + 1]!
      if (row === 0) return 0
      if (i32[piece + place * 2] === hash && row > 0) {
        this.#soughtPlace = place
        this.#soughtSteps = steps
        return row
      }
    }
    return 0
  }

  /** Where in the region, in 32-bit words, the probe for a hash begins: for who wants it near before it is asked for. 0: nowhere. */
  homeOf(hash: number): number {
    const i32 = this.#i32
    const directory = i32[this.#state]!
    if (directory === 0) return 0
    const mix = mixed(hash)
    const piece = i32[directory * 2 + 2 + slotOf(mix, i32[directory * 2]!)]! * 2
    return piece + (mix & i32[piece]!) * 2
  }

  #soughtPlace = 0
  #soughtSteps = 0
  /** The next row with the hash that was sought last, or 0. */
  seekNext(hash: number): number {
    const i32 = this.#i32
    const directory = i32[this.#state]!
    const piece = i32[directory * 2 + 2 + slotOf(mixed(hash), i32[directory * 2]!)]! * 2
    const mask = i32[piece]!
    for (let place = (this.#soughtPlace + 1) & mask, steps = this.#soughtSteps - 1; steps >= 0; place = (place + 1) & mask, steps -= 1) {
      if (place < pieceHeaderWords) place = pieceHeaderWords
      const row = i32[piece + place * 2 + 1]!
      if (row === 0) return 0
      if (i32[piece + place * 2] === hash && row > 0) {
        this.#soughtPlace = place
        this.#soughtSteps = steps
        return row
      }
    }
    return 0
  }

  /** Room for one `insert` of this hash, and for the retire records that go with it. Throws OUT_OF_SPACE unchanged. */
  reserve(hash: number): void {
    const i32 = this.#i32
    const directory = i32[this.#state]!
    if (directory === 0) return this.#begin()
    const piece = i32[directory * 2 + 2 + slotOf(mixed(hash), i32[directory * 2]!)]!
    const words = i32[piece * 2]! + 1
    // Three quarters of the places behind the header, in whole numbers.
    if ((i32[piece * 2 + 1]! + 1) * 4 > (words - pieceHeaderWords) * 3) this.#rebuild(piece, mixed(hash))
  }

  /** Adds an absent pair. Needs `reserve(hash)`. */
  insert(hash: number, row: number): void {
    const i32 = this.#i32
    const directory = i32[this.#state]!
    assert(directory !== 0 && row > 0, 'H4: reserve comes before insert')
    const mix = mixed(hash)
    const piece = i32[directory * 2 + 2 + slotOf(mix, i32[directory * 2]!)]! * 2
    const mask = i32[piece]!
    let place = mix & mask
    for (let steps = mask; ; place = (place + 1) & mask, steps -= 1) {
      assert(steps >= 0, 'H4: a piece has an empty place')
      if (place < pieceHeaderWords) place = pieceHeaderWords
      const there = i32[piece + place * 2 + 1]!
      if (there === tombstone) break
      if (there !== 0) continue
      i32[piece + 1]! += 1
      break
    }
    i32[piece + 2]! += 1
    i32[this.#state + entriesAt]! += 1
    i32[piece + place * 2] = hash
    i32[piece + place * 2 + 1] = row // H1: last
  }

  /** Takes a pair out. Cannot fail; the pair must be there. */
  remove(hash: number, row: number): void {
    const i32 = this.#i32
    const directory = i32[this.#state]!
    assert(directory !== 0, 'what is removed was inserted')
    const mix = mixed(hash)
    const piece = i32[directory * 2 + 2 + slotOf(mix, i32[directory * 2]!)]! * 2
    const mask = i32[piece]!
    for (let place = mix & mask, steps = mask; steps >= 0; place = (place + 1) & mask, steps -= 1) {
      if (place < pieceHeaderWords) place = pieceHeaderWords
      const there = i32[piece + place * 2 + 1]!
      assert(there !== 0, 'what is removed was inserted')
      if (there !== row) continue
      i32[piece + place * 2 + 1] = tombstone
      i32[piece + 2]! -= 1
      i32[this.#state + entriesAt]! -= 1
      return
    }
    assert(false, 'what is removed was inserted')
  }

  /**
   * Every row address once, in no order, until `visit` answers false. Any thread: it loads the directory once, and of a
   * piece that spans more slots than are left (the writer split it meanwhile) it takes only what the slots before did not show.
   */
  forEach(visit: (row: number) => boolean | void): void {
    const i32 = this.#i32
    this.#region.fence()
    const directory = i32[this.#state]!
    if (directory === 0) return
    const depth = i32[directory * 2]!
    for (let slot = 0; slot < 2 ** depth; ) {
      const piece = i32[directory * 2 + 2 + slot]! * 2
      const span = 2 ** Math.max(0, depth - i32[piece + 3]!)
      const first = slot - (slot % span)
      for (let place = pieceHeaderWords, mask = i32[piece]!; place <= mask; place += 1) {
        const row = i32[piece + place * 2 + 1]!
        if (row <= 0) continue
        if (first < slot && slotOf(mixed(i32[piece + place * 2]!), depth) < slot) continue
        if (visit(row) === false) return
      }
      slot = first + span
    }
  }

  /** An empty index takes the size that so many entries need, so that none of its pieces is built twice on the way there. */
  reserveEntries(entries: number): void {
    const i32 = this.#i32
    if (i32[this.#state] !== 0) return
    let depth = 0
    // A tenth more: hashes do not spread evenly.
    while (depth < depthMax && pieceWordsFor(Math.ceil((entries / 2 ** depth) * 1.1)) > pieceWordsMax) depth += 1
    const words = Math.min(pieceWordsMax, pieceWordsFor(Math.ceil((entries / 2 ** depth) * 1.1)))
    const directory = this.#domain.allocate(directoryWords(depth))
    i32[directory * 2] = depth
    i32[directory * 2 + 1] = 2 ** depth
    for (let slot = 0; slot < 2 ** depth; slot += 1) i32[directory * 2 + 2 + slot] = this.#newPiece(words, depth)
    this.#f64[this.#address + wordsAt]! += directoryWords(depth)
    i32[this.#state] = directory // H2
  }

  // ── growing ───────────────────────────────────────────────────────────────────────────────────────────

  #begin(): void {
    const i32 = this.#i32
    this.#domain.reserveVersion(0, 2)
    const piece = this.#newPiece(pieceWordsMin, 0)
    let directory = 0
    try {
      directory = this.#domain.allocate(directoryWords(0))
    } finally {
      if (directory === 0) this.#dropPiece(piece)
    }
    i32[directory * 2] = 0
    i32[directory * 2 + 1] = 1
    i32[directory * 2 + 2] = piece
    this.#f64[this.#address + wordsAt]! += directoryWords(0)
    i32[this.#state] = directory
  }

  /** Builds the piece of this hash anew; one or two pieces, until the hash has room. */
  #rebuild(piece: number, mix: number): void {
    const i32 = this.#i32
    const live = i32[piece * 2 + 2]!
    const depth = i32[piece * 2 + 3]!
    const words = pieceWordsFor(live + 1)
    // Retire records for the piece and for the directory.
    this.#domain.reserveVersion(0, 2)
    if (words <= pieceWordsMax || depth >= depthMax) {
      const next = this.#newPiece(words, depth)
      this.#copyEntries(piece, next, next, 0)
      this.#link(piece, next, next, mix)
    } else this.#split(piece, mix, live, depth)
    this.#retirePiece(piece)
  }

  #split(piece: number, mix: number, live: number, depth: number): void {
    const i32 = this.#i32
    if (depth === i32[i32[this.#state]! * 2]!) this.#doubleDirectory()
    let high = 0
    for (let place = pieceHeaderWords; place <= i32[piece * 2]!; place += 1) {
      const at = piece * 2 + place * 2
      if (i32[at + 1]! > 0) high += slotOf(mixed(i32[at]!), depth + 1) & 1
    }
    const left = this.#newPiece(pieceWordsFor(live - high + 1), depth + 1)
    let right = 0
    try {
      right = this.#newPiece(pieceWordsFor(high + 1), depth + 1)
    } finally {
      if (right === 0) this.#dropPiece(left)
    }
    this.#copyEntries(piece, left, right, depth + 1)
    this.#link(piece, left, right, mix)
  }

  /** A directory of twice the slots says the same; so it may stay when what it was made for then runs out of space. */
  #doubleDirectory(): void {
    const i32 = this.#i32
    const old = i32[this.#state]!
    const depth = i32[old * 2]! + 1
    const words = directoryWords(depth)
    const next = this.#domain.allocate(words)
    i32[next * 2] = depth
    i32[next * 2 + 1] = 2 ** depth
    for (let slot = 0; slot < 2 ** depth; slot += 1) i32[next * 2 + 2 + slot] = i32[old * 2 + 2 + (slot >>> 1)]!
    i32[this.#state] = next // H2
    this.#domain.retireBlock(old, directoryWords(depth - 1))
    this.#f64[this.#address + wordsAt]! += words - directoryWords(depth - 1)
    // The records for the caller's piece were reserved with ours.
  }

  /** Shows `left` and `right` (or one piece twice) in the slots that show `old` (H3). */
  #link(old: number, left: number, right: number, mix: number): void {
    const i32 = this.#i32
    const directory = i32[this.#state]!
    const depth = i32[directory * 2]!
    const span = 2 ** (depth - i32[old * 2 + 3]!)
    const slot = slotOf(mix, depth)
    const first = slot - (slot % span)
    for (let n = 0; n < span; n += 1) {
      const at = directory * 2 + 2 + first + n
      if (i32[at] === old) i32[at] = n * 2 < span ? left : right
    }
  }

  #copyEntries(from: number, left: number, right: number, depth: number): void {
    const i32 = this.#i32
    for (let place = pieceHeaderWords; place <= i32[from * 2]!; place += 1) {
      const at = from * 2 + place * 2
      const row = i32[at + 1]!
      if (row <= 0) continue
      const hash = i32[at]!
      const mix = mixed(hash)
      const to = (left === right || (slotOf(mix, depth) & 1) === 0 ? left : right) * 2
      const mask = i32[to]!
      let free = mix & mask
      for (; ; free = (free + 1) & mask) {
        if (free < pieceHeaderWords) free = pieceHeaderWords
        if (i32[to + free * 2 + 1] === 0) break
      }
      i32[to + free * 2] = hash
      i32[to + free * 2 + 1] = row
      i32[to + 1]! += 1
      i32[to + 2]! += 1
    }
  }

  #newPiece(words: number, depth: number): number {
    const piece = this.#domain.allocate(words)
    this.#i32.fill(0, piece * 2, (piece + words) * 2)
    this.#i32[piece * 2] = words - 1
    this.#i32[piece * 2 + 3] = depth
    this.#i32[this.#state + piecesAt]! += 1
    this.#f64[this.#address + wordsAt]! += words
    return piece
  }

  /** A piece that no slot has shown. */
  #dropPiece(piece: number): void {
    const words = this.#forget(piece)
    this.#domain.release(piece, words)
  }
  #retirePiece(piece: number): void {
    const words = this.#forget(piece)
    this.#domain.retireBlock(piece, words)
  }
  #forget(piece: number): number {
    const words = this.#i32[piece * 2]! + 1
    this.#i32[this.#state + piecesAt]! -= 1
    this.#f64[this.#address + wordsAt]! -= words
    return words
  }
}

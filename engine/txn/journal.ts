/**
 * What one transaction has done so far, so that it can be undone (R9) and recorded.
 *
 * The version undo knows a row before the batch; the journal knows it before the transaction. It is private memory of the
 * worker: when the worker dies, the whole batch goes back to the version undo, and nobody needs the journal.
 *
 *   op      5 ints: kind, table, partition, a, b
 *   image   the columns of a row as they were at the transaction's first touch
 *
 *   touched        a row, an image of ours             treeInserted   a tree, a record
 *   touchedFirst   a row, its version of this batch    treeRemoved    a tree, a removal
 *   inserted       a row                               counted        rows more: one op for each part
 *   brought        a row of a fork's base (store/fork-store.ts)
 *
 * The first transaction of a batch that touches a row finds it as the batch found it: the version that has just been saved serves
 * as the image too, and the row is copied once and not twice.
 *
 * Undoing walks the ops backwards and allocates nothing (R11).
 */
export const opKind = { touched: 1, inserted: 2, treeInserted: 3, treeRemoved: 4, counted: 5, touchedFirst: 6, brought: 7 } as const
export const opInts = 5

const mapLoadMax = 0.5
/** Stamp, row, op, spare. */
const slotInts = 4

export class Journal {
  ops = new Int32Array(64 * opInts)
  images = new Int32Array(1_024)
  length = 0
  imagesLength = 0
  /** Row address → op. Open addressing; a slot counts when its stamp is the transaction's. */
  #rows = new Int32Array(64 * slotInts)
  #mask = 63
  #rowsMax = 64 * mapLoadMax
  #rowCount = 0
  #stamp = 1

  clear(): void {
    this.length = 0
    this.imagesLength = 0
    this.#rowCount = 0
    this.#stamp = (this.#stamp + 1) | 0
    if (this.#stamp === 0) {
      this.#rows.fill(0)
      this.#stamp = 1
    }
  }

  /** Makes room, so that the next `push` (with an image of so many ints) only stores. */
  reserve(imageInts: number): void {
    if (this.length + opInts > this.ops.length || this.imagesLength + imageInts > this.images.length || this.#rowCount >= this.#rowsMax) this.#grow(imageInts)
  }

  #grow(imageInts: number): void {
    if (this.length + opInts > this.ops.length) this.ops = grown(this.ops)
    while (this.imagesLength + imageInts > this.images.length) this.images = grown(this.images)
    if (this.#rowCount >= this.#rowsMax) this.#growRows()
  }

  push(kind: number, table: number, partition: number, a: number, b: number): number {
    const at = this.length
    const ops = this.ops
    ops[at] = kind
    ops[at + 1] = table
    ops[at + 2] = partition
    ops[at + 3] = a
    ops[at + 4] = b
    this.length = at + opInts
    return at
  }

  /** Keeps the ints of a row from `from` to `end` and answers where. */
  keepImage(source: Int32Array, from: number, end: number): number {
    const at = this.imagesLength
    const images = this.images
    for (let n = from, to = at; n < end; n += 1, to += 1) images[to] = source[n]!
    this.imagesLength = at + end - from
    return at
  }

  /** The op that first touched or inserted a row in this transaction, or -1. */
  opOfRow(row: number): number {
    const rows = this.#rows
    const mask = this.#mask
    for (let slot = slotOf(row) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * slotInts
      if (rows[at] !== this.#stamp) return -1
      if (rows[at + 1] === row) return rows[at + 2]!
    }
  }

  noteRow(row: number, op: number): void {
    const rows = this.#rows
    const mask = this.#mask
    let slot = slotOf(row) & mask
    while (rows[slot * slotInts] === this.#stamp) slot = (slot + 1) & mask
    rows[slot * slotInts] = this.#stamp
    rows[slot * slotInts + 1] = row
    rows[slot * slotInts + 2] = op
    this.#rowCount += 1
  }

  /** The rows of a table that the transaction has touched or inserted, in the order of first touch. */
  rowsOf(table: number): readonly number[] {
    const rows: number[] = []
    for (let at = 0; at < this.length; at += opInts) {
      const kind = this.ops[at]
      if (this.ops[at + 1] === table && (kind === opKind.inserted || kind === opKind.touched || kind === opKind.touchedFirst)) rows.push(this.ops[at + 3]!)
    }
    return rows
  }

  /** How many rows more a table has by the transaction. */
  rowsMore(table: number): number {
    let more = 0
    for (let at = 0; at < this.length; at += opInts) if (this.ops[at] === opKind.counted && this.ops[at + 1] === table) more += this.ops[at + 3]!
    return more
  }

  #growRows(): void {
    const old = this.#rows
    this.#rows = new Int32Array(old.length * 2)
    this.#mask = this.#mask * 2 + 1
    this.#rowsMax *= 2
    this.#rowCount = 0
    for (let at = 0; at < old.length; at += slotInts) if (old[at] === this.#stamp) this.noteRow(old[at + 1]!, old[at + 2]!)
  }
}

function slotOf(row: number): number {
  const hash = Math.imul(row, 0x9e3779b1)
  return (hash ^ (hash >>> 15)) >>> 0
}

function grown(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2)
  larger.set(array)
  return larger
}

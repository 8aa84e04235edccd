/**
 * What one transaction has done so far, so that it can be undone (R9) and recorded.
 *
 * The version undo knows a row before the batch; the journal knows it before the transaction. It is private memory of the
 * worker: when the worker dies, the whole batch goes back to the version undo, and nobody needs the journal.
 *
 *   op      5 ints: kind, table, partition, a, b
 *   image   the columns of a row as they were at the transaction's first touch
 *
 * Undoing walks the ops backwards and allocates nothing (R11).
 */
export const opKind = { touched: 1, inserted: 2, treeInserted: 3, treeRemoved: 4, counted: 5 } as const
export const opInts = 5

const mapLoadMax = 0.5

export class Journal {
  ops = new Int32Array(64 * opInts)
  images = new Int32Array(1_024)
  length = 0
  imagesLength = 0
  /** Row address → op. Open addressing; a slot counts when its stamp is the transaction's. */
  #rows = new Int32Array(64 * 3)
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
    if (this.length + opInts > this.ops.length) this.ops = grown(this.ops)
    while (this.imagesLength + imageInts > this.images.length) this.images = grown(this.images)
    if (this.#rowCount + 1 > (this.#rows.length / 3) * mapLoadMax) this.#growRows()
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
    const mask = rows.length / 3 - 1
    for (let slot = slotOf(row) & mask; ; slot = (slot + 1) & mask) {
      if (rows[slot * 3] !== this.#stamp) return -1
      if (rows[slot * 3 + 1] === row) return rows[slot * 3 + 2]!
    }
  }

  noteRow(row: number, op: number): void {
    const rows = this.#rows
    const mask = rows.length / 3 - 1
    let slot = slotOf(row) & mask
    while (rows[slot * 3] === this.#stamp) slot = (slot + 1) & mask
    rows[slot * 3] = this.#stamp
    rows[slot * 3 + 1] = row
    rows[slot * 3 + 2] = op
    this.#rowCount += 1
  }

  #growRows(): void {
    const old = this.#rows
    this.#rows = new Int32Array(old.length * 2)
    this.#rowCount = 0
    for (let at = 0; at < old.length; at += 3) if (old[at] === this.#stamp) this.noteRow(old[at + 1]!, old[at + 2]!)
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
